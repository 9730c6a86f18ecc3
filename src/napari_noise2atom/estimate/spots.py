"""Width, brightness, density and motion of spots, without bias by noise, overlap or background.

Spots are looked for in the mean of a frame's neighbours and measured in the frame itself, whose noise played no part
in the choice. The measure is the covariance of a window around the spot at lags of at least one scan line, where
noise has none; it does not depend on where exactly in the window the spot is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, next_fast_len, rfft2, rfftfreq
from scipy.ndimage import maximum_filter
from scipy.optimize import curve_fit
from scipy.spatial import cKDTree

from .sample import neighbour_mean

__all__ = ["Spots", "measure_spots"]

SCALES_PX2 = np.geomspace(0.5, 22.6, 12)
"""Variances of the filters with which spots are looked for [px²]."""
FEWEST_SPOTS = 30
REACH = 2
FAST = 0.5
"""Steps from frame to frame, in standard deviations of a spot, from which on neighbours are no guide to a place."""
LEAST_DENSITY = 1 / 150
"""Spots per spot variance that are assumed where too few are found, about one per square of 12 standard deviations."""
GUESSED_VARIANCE_PX2 = 7.0
CONFIRMED = {2: 0.55, 1: 0.55, 0: 0.4}
"""Least share of the guide's response that the frames themselves show; noise alone has 0, spots without noise 1."""
NARROWEST, WIDEST = 0.3, {2: 1.0, 1: 1.0, 0: 4.0}
"""Filters that count, relative to the variance found with them: broader ones take neighbours for one spot.

Half the rows hold more noise, to which narrow filters cling.
"""
TOO_WIDE = {2: 2.0, 1: 2.0, 0: 4.0}
"""The same where spots are too weak for narrower filters."""
BEST = 0.5
"""Of these filters, relative to the variance on which they agree: narrower ones find but a part of the spots."""
FEW = 0.2
"""Share of the spots that broader filters find, below which narrower ones do not suffice."""
ENVELOPE = 4.0
"""Broad filters that agree on more than this multiple of what the narrowest one has measured have seen clusters."""
COUNTED = {2: (1.0, 1.4, 2.0), 1: (1.0, 1.4, 2.0), 0: (2.0,)}
"""Filters, relative to the variance, with which spots are counted: that counts to which most of them show."""
WINDOW = 2.5
"""Variance of the window in which a spot is measured, relative to the filter that found it."""
NEAR = 3.0
"""Squared lag up to which the covariance is fitted, relative to the same."""
PRESENT = 0.3
"""The same share for the dimmest spots that are counted, not for all together."""


@dataclass(frozen=True)
class Spots:
    """What the spots are like."""

    variance_px2: float
    """Variance of a single spot [px²]."""
    peak_counts: float
    """Height of a single spot above the background [counts]."""
    density_per_px: float
    """Spots that are bright enough to be found, per pixel of a frame."""
    step_px: float
    """Standard deviation per axis of the motion from one frame to the next [px]."""
    certain: bool
    """False if too few spots were found; the numbers are guesses then."""


@dataclass(frozen=True)
class _Peaks:
    """Places of found spots, as indices into (runs · frames, y, x), brightest first."""

    index: NDArray[np.intp]
    height: NDArray[np.float32]
    """Response of the frame itself, unbiased."""
    present: int
    """How many of them show themselves in the frame, each of the others being noise rather than a spot."""
    reliable: bool


def measure_spots(runs: NDArray[np.float32]) -> Spots:
    """Measure the spots of a movie.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values without afterglow.

    Returns
    -------
    Spots
    """
    for reach in (REACH, 1, 0):  # neighbours further away show more, unless atoms are fast
        consistent = _consistent_variance(runs, reach)
        if consistent is not None:
            break
    variance = GUESSED_VARIANCE_PX2 if consistent is None else consistent
    step = _step(_Blobs(_flat(runs)).response(variance).reshape(runs.shape), variance)
    reach = reach if step < FAST * np.sqrt(variance) else 0
    frames, guide = _frames_and_guide(runs, reach)
    found = {
        scale: _find(frames.response(scale), guide.response(scale), scale, CONFIRMED[reach])
        for scale in (wider * variance for wider in COUNTED[reach])
    }
    scale, peaks = max(found.items(), key=lambda item: item[1].present)
    certain = consistent is not None and peaks.reliable
    bright = peaks.height[: max(FEWEST_SPOTS, peaks.present // 2)]  # the dim half holds noise
    # what the Laplacian at this scale makes of a spot of unit height
    unit = 2 * scale * variance / (scale + variance) ** 2
    peak = float(bright.mean()) / unit if peaks.reliable else 0.0
    return Spots(
        variance_px2=variance,
        peak_counts=max(peak, 0.05 * float(runs.std())),
        density_per_px=peaks.present / runs.size if certain else LEAST_DENSITY / variance,
        step_px=step,
        certain=certain,
    )


def _flat(runs: NDArray[np.float32]) -> NDArray[np.float32]:
    return runs.reshape(-1, *runs.shape[2:])


def _frames_and_guide(runs: NDArray[np.float32], reach: int) -> "tuple[_Blobs, _Blobs]":
    """Return the frames and a guide whose noise is another one: their neighbours, or without reach every other row."""
    if reach:
        return _Blobs(_flat(runs)), _Blobs(_flat(neighbour_mean(runs, reach)))
    return _Blobs(_from_rows(_flat(runs), 1)), _Blobs(_from_rows(_flat(runs), 0))


def _from_rows(frames: NDArray[np.float32], first: int) -> NDArray[np.float32]:
    """Interpolate frames from every other row; the outermost rows are repeated."""
    rows = np.arange(frames.shape[1])
    known = frames[:, first::2]
    at = np.clip((rows - first) / 2, 0, known.shape[1] - 1)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, known.shape[1] - 1)
    part = (at - below).astype(np.float32)[:, None]
    interpolated: NDArray[np.float32] = known[:, below] * (1 - part) + known[:, above] * part
    return interpolated


class _Blobs:
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


def _find(
    response: NDArray[np.float32], guide: NDArray[np.float32], scale_px2: float, least_confirmed: float
) -> _Peaks:
    """Return maxima of the guide that the frame itself confirms, as many as share one height with it."""
    sigma = float(np.sqrt(scale_px2))
    margin, side = int(np.ceil(3 * sigma)) + 1, max(3, 2 * round(sigma) + 1)
    peak = guide == maximum_filter(guide, (1, side, side))
    peak[:, :margin] = peak[:, -margin:] = peak[:, :, :margin] = peak[:, :, -margin:] = False
    peak &= guide > 3 * 1.4826 * np.median(np.abs(guide - np.median(guide)))
    index = np.argwhere(peak)
    found, seen = guide[peak], response[peak]
    order = np.argsort(-found)
    index, found, seen = index[order], found[order], seen[order]
    confirmed = np.flatnonzero(np.cumsum(seen) >= least_confirmed * np.cumsum(found))
    number = int(confirmed[-1]) + 1 if len(confirmed) else 0
    present = int(np.cumsum(seen[:number] - PRESENT * found[:number]).argmax()) + 1 if number else 0
    return _Peaks(index[:number], seen[:number], present, number >= FEWEST_SPOTS)


def _consistent_variance(runs: NDArray[np.float32], reach: int) -> float | None:
    """Return the variance on which the measurements with filters of about that variance agree."""
    frames, guide = _frames_and_guide(runs, reach)
    measured = []
    for scale in map(float, SCALES_PX2):
        peaks = _find(frames.response(scale), guide.response(scale), scale, CONFIRMED[reach])
        if not peaks.reliable:
            continue
        alone = _isolated(peaks.index, scale)
        variance = _variance_in_windows(_flat(runs), alone, scale)
        if variance is not None and NARROWEST <= scale / variance <= TOO_WIDE[reach]:
            measured.append((scale, variance, len(alone)))
    if not measured:
        return None
    scale, variance, number = np.array(measured).T
    widest = WIDEST[reach]
    if number[scale <= widest * variance].sum() < FEW * number.max():
        widest = TOO_WIDE[reach]
    agreed = _agreed(np.array(measured)[scale <= widest * variance], widest)
    narrowest = float(variance[0])
    return agreed if agreed <= ENVELOPE * narrowest else narrowest


def _agreed(measured: NDArray[np.float64], widest: float) -> float:
    """Return the mean of the best filters' variances; rows are filter, variance and number of spots."""
    scale, variance, number = measured.T
    order = np.argsort(variance)
    share = np.cumsum(number[order])
    median = variance[order][np.searchsorted(share, share[-1] / 2)]
    best = (scale >= BEST * median) & (scale <= widest * median)
    if not best.any():
        return float(median)
    return float(np.exp(np.average(np.log(variance[best]), weights=number[best])))


def _isolated(index: NDArray[np.intp], scale_px2: float) -> NDArray[np.intp]:
    """Keep spots without a neighbour within four standard deviations, or the fifth that is most alone."""
    points = index * np.array([1e4, 1, 1])
    distance = np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1]
    alone: NDArray[np.intp] = index[distance >= min(4 * np.sqrt(scale_px2), float(np.quantile(distance, 0.8)))]
    return alone


def _variance_in_windows(frames: NDArray[np.float32], index: NDArray[np.intp], scale_px2: float) -> float | None:
    """Measure the variance of spots that a filter found, in Gaussian windows broader than it."""
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


def _step(response: NDArray[np.float32], variance_px2: float) -> float:
    """Measure motion by how the covariance of blob responses falls from one frame's distance to two.

    Responses have a covariance ∝ V^-3 at lag zero with V = 4v without motion; a step of variance D per axis adds D to
    V, two random steps 2D.
    """
    if response.shape[1] < 3:
        return 0.5
    near, far = (float((response[:, lag:] * response[:, :-lag]).mean(dtype=np.float64)) for lag in (1, 2))
    if far <= 0 or near <= 0:
        return float(np.sqrt(4 * variance_px2))
    ratio = float(np.clip((near / far) ** (1 / 3), 1, 1.8))
    return float(np.sqrt(4 * variance_px2 * (ratio - 1) / (2 - ratio)))
