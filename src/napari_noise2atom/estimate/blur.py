"""Blur of frames that were registered, scaled or filtered, which leaves its traces in their noise.

Recorded noise is white along the slow scan axis y. Where it is weaker at high frequencies, something has smoothed it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.ndimage import shift as shifted

__all__ = ["Blur", "measure_blur"]

Order = Literal[0, 1, 3]
"""Of the splines with which frames were shifted by parts of a pixel; 0 stands for a Gaussian filter instead."""
GAUSSIANS_PX = np.round(np.append(0, np.arange(0.35, 0.951, 0.01)), 2)
"""Filters that are tried [px]; a weaker one changes the noise by less than a tenth, a stronger one leaves none."""
REGISTRATIONS: dict[Order, float] = {1: 0.51, 3: 0.46}
"""By order: the most similar Gaussian [px]."""
LOWEST, HIGHEST = 0.15, 0.48
"""Frequencies that are compared: hardly any signal, and not yet the noise of rounding [cycles per px]."""
WORST_FIT = 0.15
"""Standard deviation of the logarithm of the power beyond which the filter was none of those."""
CLEAR = 100.0
"""Least sum of the squares that a filter explains, in variances of what it leaves: few pixels tell nothing."""
FEWEST = 8
"""Frequencies without which nothing is told."""
STRONGEST = 300.0
"""By which a frequency is amplified at most."""
REACH_PX = 8


@dataclass(frozen=True, eq=False)
class Blur:
    """A filter through which all frames went."""

    blur_px: float
    """Standard deviation of the most similar Gaussian [px]; 0 if there is no blur."""
    order: Order
    """As of a registration, or of a Gaussian."""
    known: bool
    """False if the noise does not look like that of any filter which can be undone."""

    def undo(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames, shape (..., y, x), whose noise is white and whose spots are as narrow as they were."""
        if self.blur_px == 0:
            return frames
        sides = (np.arange(side) / (2 * side) for side in frames.shape[-2:])
        along_y, along_x = (np.sqrt(_power(self.order, self.blur_px, frequency)) for frequency in sides)
        transfer = np.maximum(along_y[:, None] * along_x, 1 / STRONGEST).astype(np.float32)
        restored: NDArray[np.float32] = idctn(dctn(frames, axes=(-2, -1)) / transfer, axes=(-2, -1))
        return restored


def measure_blur(runs: NDArray[np.float32]) -> Blur:
    """Return the filter whose transfer function the noise along y has.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values of at least two frames each.

    Returns
    -------
    Blur
    """
    height = runs.shape[2]
    change = np.diff(runs, axis=1)  # atoms that are in both frames have gone
    change -= change.mean(axis=2, keepdims=True)
    window = np.hanning(height + 2)[1:-1, None].astype(np.float32)
    noise = np.square(np.abs(rfft(change * window, axis=2))).mean(axis=(0, 1, 3), dtype=np.float64)
    frequency = np.arange(len(noise)) / height
    band = (frequency > LOWEST) & (frequency < HIGHEST)
    if band.sum() < FEWEST:
        return Blur(0.0, 0, known=True)
    logarithm = np.log(noise[band] + np.finfo(np.float32).tiny)
    filters: list[tuple[Order, float]] = [(0, float(px)) for px in GAUSSIANS_PX] + [*REGISTRATIONS.items()]
    misfits = [float(np.std(logarithm - np.log(_power(order, px, frequency[band])))) for order, px in filters]
    best = int(np.argmin(misfits))
    gain = band.sum() * (np.square(misfits[0]) - np.square(misfits[best]))
    if gain <= CLEAR * np.square(misfits[best]):
        return Blur(0.0, 0, known=True)
    order, px = filters[best]
    return Blur(px, order, misfits[best] <= WORST_FIT)


def _power(order: Order, blur_px: float, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the noise's power that a filter leaves at each frequency [cycles per px]."""
    phase = np.exp(-2j * np.pi * np.outer(frequency, np.arange(-REACH_PX, REACH_PX + 1)))
    power: NDArray[np.float64] = np.square(np.abs(phase @ _kernels(order, blur_px))).mean(axis=1)
    return np.maximum(power, 1e-12)


@cache
def _kernels(order: Order, blur_px: float) -> NDArray[np.float64]:
    """Return what a filter makes of one pixel, in columns; a registration shifts frames by any part of a pixel."""
    pixel = np.eye(1, 2 * REACH_PX + 1, REACH_PX)[0]
    if order:
        return np.stack([shifted(pixel, part, order=order) for part in np.linspace(-0.5, 0.5, 21)], axis=1)
    return (gaussian_filter1d(pixel, blur_px) if blur_px else pixel)[:, None]
