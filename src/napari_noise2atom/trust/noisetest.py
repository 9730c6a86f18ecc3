"""The noise test: how many atoms a model sees where there are none."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.metrics import find_atoms
from napari_noise2atom.movie import Movie, is_bad_frame
from napari_noise2atom.settings import Settings

from .confidence import Denoise
from .nulls import NULLS, NullKind, null_movie
from .threshold import atom_threshold

__all__ = ["NoiseTest", "noise_test", "spread_frames"]

MOST_FRAMES = 40
"""Tested of a movie: enough to tell one false atom in a thousand."""


@dataclass(frozen=True, eq=False)
class NoiseTest:
    """Atoms found in a movie and in its null movies; arrays have one entry for each tested frame."""

    threshold: float
    """Least height of an atom in denoised frames, in [0, 1]."""
    frames: NDArray[np.intp]
    """Indices of the tested frames."""
    real: NDArray[np.intp]
    """Atoms found in the movie."""
    nulls: dict[NullKind, NDArray[np.intp]]
    """Atoms found in the null movies, which hold none."""

    def false_discovery_rate(self, kind: NullKind) -> float:
        """Return the atoms found in a null relative to those found in the movie, in [0, 1]; NaN if there are none."""
        real, false = int(self.real.sum()), int(self.nulls[kind].sum())
        return min(1.0, false / real) if real else float("nan")

    @property
    def sentence(self) -> str:
        """The result in words."""
        counts = ", ".join(f"{counts.mean():.2g} in the {kind}" for kind, counts in self.nulls.items())
        rates = ", ".join(f"{self.false_discovery_rate(kind):.1%} by the {kind}" for kind in self.nulls)
        rates = rates if self.real.any() else "none, as the movie has no atoms"
        return (
            f"{self.real.mean():.1f} atoms a frame are found in the movie; in frames of noise alone {counts}. "
            f"False discovery rate: {rates} ({len(self.frames)} frames, atoms at least {self.threshold:.3g} high)."
        )


def noise_test(
    movie: Movie,
    denoise: Denoise,
    settings: Settings,
    *,
    threshold: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NoiseTest:
    """Count atoms in a movie and in movies of its noise alone, all denoised by the same model.

    Parameters
    ----------
    movie : Movie
        The raw movie; up to 40 of its frames, spread over it, are tested.
    denoise : callable
        Returns a denoised movie, in [0, 1], lazily; as `napari_noise2atom.inference.denoise` with a model.
    settings : Settings
        Those of the model, for `null_movie` and `atom_threshold`.
    threshold : float, optional
        Least height of an atom; that of `atom_threshold` if left out.
    progress : callable, optional
        Called after every frame with the number of frames done and of all frames.

    Returns
    -------
    NoiseTest

    Raises
    ------
    ValueError
        If no frame carries an image.
    """
    height = atom_threshold(settings) if threshold is None else threshold
    frames = spread_frames(movie, MOST_FRAMES)
    movies = [movie, *(null_movie(kind, movie, settings) for kind in NULLS)]
    counts = np.zeros((len(movies), len(frames)), np.intp)
    for row, denoised in enumerate(map(denoise, movies)):
        for column, index in enumerate(frames):
            counts[row, column] = len(find_atoms(denoised.frame(index), height))
            progress(row * len(frames) + column + 1, counts.size)
    return NoiseTest(height, frames, counts[0], dict(zip(NULLS, counts[1:], strict=True)))


def spread_frames(movie: Movie, most: int) -> NDArray[np.intp]:
    """Return the numbers of frames that are spread evenly over a movie, without bad ones.

    Parameters
    ----------
    movie : Movie
        The movie.
    most : int
        How many at most.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        If none of them carries an image.
    """
    count = min(most, len(movie))
    # the middle of equal parts: end frames, whose neighbours are missing, must not weigh more than they do in the movie
    chosen = ((np.arange(count) + 0.5) * len(movie) / count).astype(np.intp)
    good = [index for index in chosen if not is_bad_frame(movie.frame(index))]
    if not good:
        raise ValueError(f"{movie.name}: none of {len(chosen)} frames carries an image; check the recording")
    return np.array(good, np.intp)
