"""How steady the whole sample is: drift, and jumps of single frames."""

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.alignment import measure_drift, measure_jumps, shift_back

__all__ = ["DRIFTING_PX", "JUMPING_PX", "steady"]

DRIFTING_PX = 0.35
"""Mean drift per frame from which on it is undone; atoms that move by themselves seem to drift by up to 0.26."""
JUMPING_PX = 0.5
"""Standard deviation per axis of jumps from which on they are undone."""
LIKELY_PX = 1.0
"""Standard deviation that is expected where it is asked whether frames jump at all: noise then makes few large ones."""
CERTAIN = 3.0
"""Standard errors by which jumps are more than chance."""


def steady(runs: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, float]:
    """Undo drift and jumps, if the movie has them.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values.

    Returns
    -------
    steadied : array, shape (runs, frames, y, x)
        The same where the sample is at rest.
    drift_px : float
        How far it drifts from frame to frame, in the mean.
    jump_px : float
        Standard deviation of its jumps, per axis.
    """
    times = range(-(runs.shape[1] // 2), runs.shape[1] - runs.shape[1] // 2)
    drifts = np.stack([measure_drift(run, times) for run in runs])
    places = np.stack([np.outer(times, drift) for drift in drifts])
    drift_px, jump_px = float(np.linalg.norm(drifts, axis=1).mean()), _jumps(runs, places)
    if jump_px >= JUMPING_PX:
        places = places + [measure_jumps(run, place, jump_px) for run, place in zip(runs, places, strict=True)]
    elif drift_px < DRIFTING_PX:
        return runs, drift_px, jump_px
    return np.stack([shift_back(run, place) for run, place in zip(runs, places, strict=True)]), drift_px, jump_px


def _jumps(runs: NDArray[np.float32], places: NDArray[np.float64]) -> float:
    """Return the standard deviation of what both halves of frames have in common when they move.

    Atoms that move by themselves, and noise, differ between the halves. A slow motion cancels out in the differences
    of neighbouring frames; those of jumps have twice their variance.
    """
    common = _in_common(runs, places, LIKELY_PX)
    chance = common.std() / np.sqrt(common.size)
    if common.mean() <= CERTAIN * chance:
        return 0.0
    return float(np.sqrt(max(_in_common(runs, places, np.inf).mean(), 0)))


def _in_common(runs: NDArray[np.float32], places: NDArray[np.float64], expected_px: float) -> NDArray[np.float64]:
    """Return products of how both halves of each frame jump, whose mean is the variance of jumps."""
    axis = 2 if runs.shape[2] > runs.shape[3] else 3
    one, other = (
        [np.diff(measure_jumps(run, place, expected_px), axis=0) for run, place in zip(half, places, strict=True)]
        for half in np.array_split(runs, 2, axis)
    )
    products: NDArray[np.float64] = np.multiply(one, other) / 2
    return products
