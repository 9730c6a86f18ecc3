"""The support film: a level, a wedge and a speckle."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["film", "wedge"]

SPECKLE_SIGMA_PX = 1.5
"""Width of the film's grains in simulations [px]."""


def wedge(size_px: tuple[int, int], gradient: float, angle: float = 0.0) -> NDArray[np.float32]:
    """Return a plane of mean 1 that changes by `gradient` from one edge to the opposite one.

    Parameters
    ----------
    size_px : (int, int)
        Rows and columns.
    gradient : float
        Change relative to the mean, in [-2, 2], so that no pixel is negative.
    angle : float
        Direction of the change from the x axis towards y [rad].

    Returns
    -------
    array, shape (rows, columns), float32
    """
    y, x = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in size_px)
    along = np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None]
    plane: NDArray[np.float32] = 1 + gradient * along / (abs(np.cos(angle)) + abs(np.sin(angle)))
    return np.maximum(plane, 0).astype(np.float32)


def film(size_px: tuple[int, int], texture: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a speckle of mean 1 and relative standard deviation `texture`, never negative.

    Parameters
    ----------
    size_px : (int, int)
        Rows and columns.
    texture : float
        Standard deviation relative to the mean, in [0, 1].
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array, shape (rows, columns), float32
    """
    if texture == 0:
        return np.ones(size_px, np.float32)
    grains = gaussian_filter(rng.standard_normal(size_px, dtype=np.float32), SPECKLE_SIGMA_PX, mode="wrap")
    grains *= texture / grains.std()
    return np.maximum(1 + grains, 0)
