"""Noise of the detector, measured where a movie has no signal: at the highest frequencies along the slow scan axis y.

Each scan line has noise of its own, so noise is white along y, while atoms are not finer than the probe.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter
from scipy.optimize import curve_fit

from .sample import neighbour_mean

__all__ = ["Noise", "high_pass", "measure_noise", "recorded_range", "shared_noise", "undo_afterglow"]

FOURTH_DIFFERENCE = np.array([1, -4, 6, -4, 1]) / np.sqrt(70)
"""High-pass along y of unit noise gain; it passes less than 1 % of the power of a spot of variance 1 px²."""
BINS = 24
FEWEST_BINS = BINS // 2
MOST_SATURATED = 0.01
"""Share of saturated pixels beyond which a bin's variance is too small to be used."""
SLACK = 1.3
"""By which the slope may miss what the third cumulant allows; beyond, it is the slope that is wrong."""
ASSUMED_PULSE_SHAPE = 4.0
"""Where there is no afterglow that tells shot noise from read-out noise."""
LEAST_AFTERGLOW = 0.08
DIM_SHARE = 0.15
"""Of all shot noise, what the dim half of the bins has at least, where no part of the frame is empty."""
LIT = 0.25
"""Shot noise, relative to that of the brightest bin, from which on a bin is not empty then."""
MOST_ABOVE_OFFSET = 2.0
"""Mean level above the offset, in spreads of the grey values, beyond which shot noise and constant noise are alike."""
SHOT_SHARE = 0.01
"""Variance of shot noise over the spread of the grey values, relative to that of constant noise, where none is seen."""


@dataclass(frozen=True)
class Noise:
    """How the detector records; units as in `DetectorSettings`."""

    offset_counts: float
    gain_counts: float
    pulse_shape: float
    afterglow: float
    read_noise_counts: float


def measure_noise(runs: NDArray[np.float32]) -> Noise:
    """Measure offset, gain, pulse heights, afterglow and read-out noise.

    The noise along x is the detector's afterglow a: the covariance at lag k is that of the shot noise times a^k, and
    what lag 0 has in excess is read-out noise. The shot noise grows with the mean by s = gain · E2 · F2, where
    E2 = 1 + 1/k comes from pulse heights of shape k and F2 = (1 - a)/(1 + a) from the afterglow; the third cumulant
    tells gain and k apart.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values [counts].

    Returns
    -------
    Noise
        Where the noise does not grow with the brightness, all of it is read-out noise, and electrons are nominal.
    """
    covariance = _noise_along_x(runs)
    afterglow, shot = _decay(covariance)
    mean, variance, third = _cumulants_by_brightness(runs)
    slope = _slope(mean, variance)
    f2 = (1 - afterglow) / (1 + afterglow)
    f3 = (1 - afterglow) ** 3 / (1 - afterglow**3)
    by_variance = slope / f2
    if afterglow >= LEAST_AFTERGLOW:
        read = max(float(covariance[0]) - shot, 0.0)
        shot_by_bin = np.maximum(variance - read, 1e-3 * variance)
        dim = _dim_bins(shot_by_bin)
        by_third = float(third[dim].sum() / shot_by_bin[dim].sum()) * f2 / f3
        # whatever the pulse heights, by_third / 2 ≤ by_variance ≤ by_third
        if by_third > 0:
            by_variance = float(np.clip(by_variance, by_third / 2 / SLACK, by_third * SLACK))
        gain = float(np.clip(2 * by_variance - by_third, by_variance / 2, by_variance / 1.02))
    else:
        gain = by_variance / (1 + 1 / ASSUMED_PULSE_SHAPE)
        expected = gain * (1 + 2 / ASSUMED_PULSE_SHAPE)
        read = float(np.clip(variance[0] - third[0] / expected, 0, 0.98 * variance[0]))
    above_offset = float(np.mean(variance - read)) / (by_variance * f2)
    spread = float(np.ptp(np.quantile(runs, (0.001, 0.999)))) or float(np.ptp(runs))
    if above_offset > MOST_ABOVE_OFFSET * spread:
        return _read_out_noise_alone(mean, variance, spread, afterglow)
    return Noise(float(mean.mean()) - above_offset, gain, 1 / (by_variance / gain - 1), afterglow, float(np.sqrt(read)))


def _dim_bins(shot_by_bin: NDArray[np.float64]) -> NDArray[np.intp]:
    """Choose the dim half, as atoms in motion have a third cumulant of their own; of bins with film, if need be."""
    dim = np.arange((len(shot_by_bin) + 1) // 2)
    if shot_by_bin[dim].sum() >= DIM_SHARE * shot_by_bin.sum():
        return dim
    lit = np.flatnonzero(shot_by_bin >= LIT * shot_by_bin.max())
    return lit[: (len(lit) + 1) // 2]


def _read_out_noise_alone(
    mean: NDArray[np.float64], variance: NDArray[np.float64], spread: float, afterglow: float
) -> Noise:
    """Return the noise of a movie that tells no electrons: the darkest places have none, an atom has very many."""
    level = float(variance.mean())
    gain = SHOT_SHARE * level / spread
    return Noise(float(mean.min()), gain, ASSUMED_PULSE_SHAPE, afterglow, float(np.sqrt(level)))


def recorded_range(runs: NDArray[np.float32]) -> tuple[float, float]:
    """Return the grey values at which the detector clips; where it does not, values far outside the movie's.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values [counts].

    Returns
    -------
    floor, saturation : float
        Smallest and largest grey value that can be recorded [counts].
    """
    low, high = float(runs.min()), float(runs.max())
    room = 4 * (high - low)
    floor = low if _clipped(runs, low).any() else low - room
    return floor, high if _clipped(runs, high).any() else high + room


def shared_noise(runs: NDArray[np.float32]) -> float:
    """Return the correlation of the noise of neighbouring frames.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values.

    Returns
    -------
    float
        About 0 where each frame was recorded by itself, 2/3 in a running mean of three, 1/2 where each comes twice.
    """
    high = high_pass(runs)
    power = max(float(np.square(high).mean(dtype=np.float64)), 1e-30)
    return float((high[:, 1:] * high[:, :-1]).mean(dtype=np.float64)) / power


def _slope(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    """Return how the variance grows with the mean; never zero, so that a gain can be told."""
    least = 1e-6 * float(variance[0]) / max(float(np.ptp(mean)), 1e-12)
    return max(float(np.polyfit(mean, variance, 1)[0]), least)


def undo_afterglow(frames: NDArray[np.float32], afterglow: float) -> NDArray[np.float32]:
    """Restore what the detector would have recorded without afterglow; exact but for the first column.

    Parameters
    ----------
    frames : array, shape (..., y, x)
        Grey values.
    afterglow : float
        Share of the signal that remains in the next pixel, in [0, 1).

    Returns
    -------
    array, shape (..., y, x), float32
    """
    restored = frames.copy()
    restored[..., 1:] -= np.float32(afterglow) * frames[..., :-1]
    restored[..., 1:] /= np.float32(1 - afterglow)
    return restored


def high_pass(runs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the noise alone, without the outermost two rows."""
    high: NDArray[np.float32] = convolve1d(runs, FOURTH_DIFFERENCE.astype(np.float32), axis=2)[:, :, 2:-2]
    return high


def _clipped(runs: NDArray[np.float32], limit: float) -> NDArray[np.bool_]:
    """Tell which pixels are at the movie's smallest or largest value, if many are."""
    there = runs == np.float32(limit)
    return there if there.sum() > max(3, 1e-4 * there.size) else np.zeros_like(there)


def _noise_along_x(runs: NDArray[np.float32], lags: int = 6) -> NDArray[np.float64]:
    """Return the covariance of the noise along x at lags 0, 1, ..."""
    high = high_pass(runs)
    high -= high.mean()
    width = high.shape[-1]
    return np.array([float((high[..., lag:] * high[..., : width - lag]).mean(dtype=np.float64)) for lag in range(lags)])


def _decay(covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Fit the shot noise K a^k to the lags k ≥ 1; return a and K."""
    lags = np.arange(1, len(covariance))
    if covariance[1] < 0.005 * covariance[0]:
        return 0.0, float(covariance[0])
    start = float(np.clip(covariance[2] / covariance[1], 0.05, 0.9))
    (afterglow, shot), _ = curve_fit(
        lambda k, a, height: height * a**k,
        lags,
        covariance[1:] / covariance[0],
        p0=(start, min(1.0, covariance[1] / covariance[0] / start)),
        bounds=((0.0, 0.0), (0.95, 1.0)),
    )
    return float(afterglow), float(shot * covariance[0])


def _cumulants_by_brightness(
    runs: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean, variance and third cumulant of the noise in pixels of equal expected brightness.

    Brightness is judged by the neighbouring frames, whose noise is another one.
    """
    guide = gaussian_filter(neighbour_mean(runs, 2), (0, 0, 1.5, 1.5))[:, :, 2:-2].ravel()
    full = _clipped(runs, float(runs.max()))[:, :, 2:-2].ravel()
    high = high_pass(runs).ravel()
    mean = convolve1d(runs, FOURTH_DIFFERENCE.astype(np.float32) ** 2, axis=2)[:, :, 2:-2].ravel()
    order = np.argsort(guide)
    means: list[float] = []
    variances: list[float] = []
    thirds: list[float] = []
    for chosen in np.array_split(order, BINS):
        if full[chosen].mean() > MOST_SATURATED and len(means) >= FEWEST_BINS:
            break
        means.append(mean[chosen].mean(dtype=np.float64))
        variances.append(np.square(high[chosen], dtype=np.float64).mean())
        thirds.append(np.power(high[chosen].astype(np.float64), 3).mean())
    # the third cumulant passes the filter with the sum of its cubed weights
    return np.array(means), np.array(variances), np.array(thirds) / float((FOURTH_DIFFERENCE**3).sum())
