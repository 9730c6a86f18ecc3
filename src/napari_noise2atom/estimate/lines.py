"""Noise that all pixels of a scan line have in common, as where the emission of electrons flickers."""

import numpy as np
from numpy.typing import NDArray

from .noise import high_pass

__all__ = ["level_lines"]

CLEAR = 6.0
"""Standard errors from which on noise in common is no chance; up to 2.4 where there is none."""


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
    level = np.median(runs, axis=3, keepdims=True)
    levelled: NDArray[np.float32] = runs - (level - level.mean(axis=(0, 1)))
    return levelled


def _have_noise_in_common(noise: NDArray[np.float32]) -> bool:
    """Tell whether the first third of lines is brighter where the last third is, too far away for an afterglow."""
    noise -= noise.mean()
    third = max(1, noise.shape[-1] // 3)
    common = noise[..., :third].mean(axis=-1) * noise[..., -third:].mean(axis=-1)
    return bool(common.mean() * np.sqrt(common.size) > CLEAR * common.std())
