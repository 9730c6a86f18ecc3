"""Rendering of Gaussian spots."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["render_spots"]


def render_spots(
    y: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    variance_px2: ArrayLike,
    size_px: tuple[int, int],
    reach_px: float = np.inf,
    xp: ModuleType = np,
) -> Any:
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
    xp : module, optional
        ``numpy``, or ``torch``, which takes tensors and renders them on their device.

    Returns
    -------
    array or tensor, shape (..., rows, columns), float32
    """
    single = {"dtype": xp.float32}
    width = 2 * xp.asarray(variance_px2, **single)[..., None]
    rows = _profile(xp.asarray(y, **single), size_px[0], width, reach_px, xp)
    columns = _profile(xp.asarray(x, **single), size_px[1], width, reach_px, xp)
    rows *= xp.asarray(weight, **single)[..., None]
    return xp.matmul(xp.swapaxes(rows, -1, -2), columns)


def _profile(centre: Any, size: int, width: Any, reach: float, xp: ModuleType) -> Any:
    distance = xp.arange(size, dtype=xp.float32, device=centre.device) - centre[..., None]
    square = xp.square(distance)
    profile = xp.exp(-square / width)
    if np.isfinite(reach):
        profile *= square <= reach**2
    return profile
