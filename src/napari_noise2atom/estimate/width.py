"""Variance of spots in windows around them, whatever lies beside the windows."""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.optimize import curve_fit

__all__ = ["variance_in_windows"]

WINDOW = 2.5
"""Variance of the window in which a spot is measured, relative to the filter that found it."""
NEAR = 3.0
"""Squared lag up to which the covariance is fitted, relative to the same."""


def variance_in_windows(frames: NDArray[np.float32], index: NDArray[np.intp], scale_px2: float) -> float | None:
    """Measure the variance of spots that a filter found, in Gaussian windows broader than it.

    Parameters
    ----------
    frames : array, shape (n, y, x)
        Grey values.
    index : array, shape (spots, 3)
        Frame, row and column of each spot.
    scale_px2 : float
        Variance of the filter [px²].

    Returns
    -------
    float or None
        Their variance [px²]; None where it cannot be told from that of the window.
    """
    window = WINDOW * scale_px2
    half = int(np.ceil(3.5 * np.sqrt(window)))
    padded = np.pad(frames, ((0, 0), (half, half), (half, half)), mode="reflect")
    offset = np.arange(2 * half + 1)
    t, y, x = index.T[:, :, None, None]
    patches = padded[t, y + offset[:, None], x + offset]
    distance = np.hypot(offset[:, None] - half, offset - half)
    background = _background(patches.mean(axis=0), distance, float(np.sqrt(scale_px2)))
    windowed = (patches - background) * np.exp(-np.square(distance) / (2 * window)).astype(np.float32)
    farthest = max(5.0, NEAR * scale_px2)
    reach = int(np.sqrt(farthest))
    side = next_fast_len(2 * half + 1 + reach, real=True)
    covariance = irfft2(np.square(np.abs(rfft2(windowed, (side, side)))).mean(axis=0), (side, side))
    dy, dx = np.arange(1, reach + 1)[:, None], np.arange(-reach, reach + 1)
    square = dy**2 + dx**2
    near = square <= farthest
    # spot × window is a Gaussian of variance u with 1/u = 1/v + 1/window; its covariance has the variance 2u
    measured = covariance[dy, dx % side][near]
    try:
        (_, u), _ = curve_fit(
            lambda r2, height, u: height * np.exp(-r2 / (4 * u)),
            square[near].astype(float),
            measured / measured.max(),
            p0=(1.0, scale_px2 / 2),
            bounds=((0.0, 0.02), (np.inf, np.inf)),
        )
    except (RuntimeError, ValueError):
        return None
    return float(u * window / (window - u)) if u < 0.95 * window else None


def _background(mean: NDArray[np.float32], distance: NDArray[np.float64], sigma_px: float) -> float:
    """Return the darkest ring around the mean spot, from 1.5 to 3.5 standard deviations of the filter."""
    ring = np.maximum(np.round(distance), 1).astype(int).ravel()
    profile = np.bincount(ring, mean.ravel()) / np.maximum(np.bincount(ring), 1)
    return float(profile[max(1, int(1.5 * sigma_px)) : int(np.ceil(3.5 * sigma_px)) + 1].min())
