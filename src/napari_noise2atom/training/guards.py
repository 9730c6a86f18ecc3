"""The known failures of the method, told from the scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.events import AlarmKind

from .probe import ProbeScores

__all__ = ["Finding", "find_failure", "find_gradient"]

INVERTED_BELOW = 0.0
COLLAPSED_SPREAD = 2e-3
GRADIENT_ABOVE = 0.25
"""Change of the denoised background across the frame, as a share of the range of the denoised frames."""


@dataclass(frozen=True)
class Finding:
    """A failure in words."""

    kind: AlarmKind
    message: str


def find_failure(scores: ProbeScores) -> Finding | None:
    """Return an inverted mapping or a collapse, which make a model useless (fig. 5 of the paper).

    Parameters
    ----------
    scores : ProbeScores
        Of the model in question.

    Returns
    -------
    Finding or None
    """
    values = scores.values
    if not np.isfinite(scores.denoised).all() or values["spread"] < COLLAPSED_SPREAD:
        return Finding(
            "collapse", f"the denoised frames are blank (standard deviation {values['spread']:.4f} of their range)"
        )
    if values["low-pass correlation"] < INVERTED_BELOW and values["quality"] < 0:
        return Finding(
            "inverted",
            "the mapping is inverted: bright places come out dark (correlation of low-passed raw and denoised frames "
            f"{values['low-pass correlation']:.2f})",
        )
    return None


def find_gradient(denoised: NDArray[np.float32]) -> Finding | None:
    """Return a slope of the denoised background, which makes false atoms on its bright side (fig. 6 of the paper).

    Parameters
    ----------
    denoised : array, shape (n, y, x)
        Denoised frames in [0, 1].

    Returns
    -------
    Finding or None
    """
    floor = np.quantile(denoised, 0.3, axis=0)  # atoms come and go, the background stays
    y, x = np.meshgrid(*(np.linspace(-0.5, 0.5, n) for n in floor.shape), indexing="ij")
    terms = np.stack([np.ones(floor.size), y.ravel(), x.ravel()], axis=1)
    _, along_y, along_x = np.linalg.lstsq(terms, floor.ravel(), rcond=None)[0]
    share = float(np.hypot(along_y, along_x)) / max(float(np.quantile(denoised, 0.999) - np.median(denoised)), 1e-6)
    if share < GRADIENT_ABOVE:
        return None
    return Finding(
        "gradient",
        f"the denoised background rises by {share:.0%} of the range across the frame: atoms on its bright side may be "
        "false; compare with the raw frames, or crop the movie to a flat part",
    )
