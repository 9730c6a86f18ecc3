"""Bright blobs of a certain width, and where they are brightest."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

__all__ = ["Blobs", "maxima"]


class Blobs:
    """Scale-normalised negative Laplacian of Gaussian of frames (Lindeberg 1998), blind to background and slope."""

    def __init__(self, frames: NDArray[np.float32]) -> None:
        self._shape = frames.shape[1:]
        self._spectrum = rfft2(frames)
        fy, fx = fftfreq(frames.shape[1]), rfftfreq(frames.shape[2])
        self._square = np.square(2 * np.pi) * (np.square(fy)[:, None] + np.square(fx))

    def response(self, scale_px2: float) -> NDArray[np.float32]:
        """Return the response at a scale, shape (n, y, x); it is periodic, so the margin means nothing."""
        transfer = scale_px2 * self._square * np.exp(-scale_px2 * self._square / 2)
        response: NDArray[np.float32] = irfft2(self._spectrum * transfer.astype(np.float32), self._shape)
        return response


def maxima(
    response: NDArray[np.float32], scale_px2: float, least: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return where a response is higher than all around it, and its height there, the highest first.

    Few pixels are higher than the four beside them. To look around these alone is several times as fast as a filter.

    Parameters
    ----------
    response : array, shape (n, y, x)
        As of `Blobs`.
    scale_px2 : float
        Its scale: a maximum is the highest pixel within a standard deviation, and three away from the edges.
    least : float
        Height above which a maximum counts.

    Returns
    -------
    index : array, shape (m, 3)
        Frame, row and column.
    height : array, shape (m,)
        The response there.
    """
    sigma = float(np.sqrt(scale_px2))
    margin, reach = int(np.ceil(3 * sigma)) + 1, max(1, round(sigma))
    rows, columns = response.shape[1:]
    inner = response[:, margin : rows - margin, margin : columns - margin]
    candidate = inner > least
    for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        candidate &= inner >= response[:, margin + y : rows - margin + y, margin + x : columns - margin + x]
    index = np.argwhere(candidate) + np.array([0, margin, margin])
    height = response[tuple(index.T)]
    if len(index):  # else frames may be smaller than what is looked at
        around = sliding_window_view(response, (2 * reach + 1, 2 * reach + 1), axis=(1, 2))
        frame, row, column = index.T
        highest = height == around[frame, row - reach, column - reach].max(axis=(1, 2))
        index, height = index[highest], height[highest]
    order = np.argsort(-height)
    return index[order], height[order]
