"""Brightness that whole frames or scan lines have of their own, as where the emission of electrons flickers."""

import numpy as np
from numpy.typing import NDArray

from .noise import high_pass

__all__ = ["FLICKERING", "level_frames", "level_lines", "measure_flicker"]

FLICKERING = 0.1
"""Flicker from which on frames are levelled; atoms that come, go and move make up to 0.01 of it."""
CLEAR = 6.0
"""Standard errors from which on noise of lines is no chance; up to 2.4 where there is none."""


def measure_flicker(runs: NDArray[np.float32]) -> float:
    """Return how much the mean of a frame jumps.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values of at least two frames each.

    Returns
    -------
    float
        Standard deviation, relative to that of the noise of a pixel.
    """
    change = np.diff(runs, axis=1)
    mean = change.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    noise = float((change - mean).var())
    jumps = float(mean.var()) - noise / runs[0, 0].size  # the mean of noise is not quite zero
    return float(np.sqrt(max(jumps, 0.0) / max(noise, 1e-30)))


def level_frames(runs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each frame the mean of all, shape (runs, frames, y, x), if they flicker; else return the same object."""
    if measure_flicker(runs) < FLICKERING:
        return runs
    return _at_one_level(runs, runs.mean(axis=(2, 3), keepdims=True))


def level_lines(runs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each scan line the level that it has in the mean of the movie, if lines have noise of their own.

    That noise does not decay along x, and would be taken for a strong afterglow. The level of a line is its median, to
    which atoms hardly contribute.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values.

    Returns
    -------
    array, shape (runs, frames, y, x), float32
        The same object where there is no such noise.
    """
    if not _have_noise_in_common(high_pass(runs)):
        return runs
    return _at_one_level(runs, np.median(runs, axis=3, keepdims=True))


def _at_one_level(runs: NDArray[np.float32], level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return runs without what levels differ by from their mean over all frames."""
    levelled: NDArray[np.float32] = runs - (level - level.mean(axis=(0, 1)))
    return levelled


def _have_noise_in_common(noise: NDArray[np.float32]) -> bool:
    """Tell whether the first third of lines is brighter where the last third is, too far away for an afterglow."""
    noise -= noise.mean()
    third = max(1, noise.shape[-1] // 3)
    common = noise[..., :third].mean(axis=-1) * noise[..., -third:].mean(axis=-1)
    return bool(common.mean() * np.sqrt(common.size) > CLEAR * common.std())
