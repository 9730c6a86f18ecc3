"""Rendering of Gaussian spots."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["render_spots"]


def render_spots(
    y: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    variance_px2: ArrayLike,
    size_px: tuple[int, int],
    reach_px: float = np.inf,
) -> NDArray[np.float32]:
    """Add up Gaussian spots of unit peak, many images at once.

    A Gaussian is separable, so the sum over spots is one matrix product of row and column profiles per image.

    Parameters
    ----------
    y, x : array, shape (..., n)
        Positions of the spots [px]; the first pixel's centre is 0.
    weight : array, shape (..., n)
        Peak height of each spot; 0 for a spot that is absent.
    variance_px2 : array, broadcastable to (..., n)
        Variance of each spot [px²].
    size_px : (int, int)
        Rows and columns of the image.
    reach_px : float
        Half side of the square beyond which a spot is cut off [px].

    Returns
    -------
    array, shape (..., rows, columns), float32
    """
    width = 2 * np.asarray(variance_px2, np.float32)[..., None]
    rows = _profile(np.asarray(y, np.float32), size_px[0], width, reach_px)
    columns = _profile(np.asarray(x, np.float32), size_px[1], width, reach_px)
    rows *= np.asarray(weight, np.float32)[..., None]
    images: NDArray[np.float32] = np.matmul(np.swapaxes(rows, -1, -2), columns)
    return images


def _profile(centre: NDArray[np.float32], size: int, width: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    distance = np.arange(size, dtype=np.float32) - centre[..., None]
    square = np.square(distance)
    profile: NDArray[np.float32] = np.exp(-square / width)
    if np.isfinite(reach):
        profile[square > reach**2] = 0
    return profile
