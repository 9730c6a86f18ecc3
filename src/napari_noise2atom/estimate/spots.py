"""Width, brightness, density and motion of spots, without bias by noise, overlap or background.

Spots are looked for in the mean of a frame's neighbours and measured in the frame itself, whose noise played no part
in the choice. The measure is the covariance of a window around the spot at lags of at least one scan line, where
noise has none; it does not depend on where exactly in the window the spot is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import sigmaclip, skew

from .blobs import Blobs, maxima
from .columns import single_and_thickest
from .sample import neighbour_mean
from .width import variance_in_windows

__all__ = ["Spots", "measure_spots", "spot_skewness"]

SCALES_PX2 = np.geomspace(0.5, 22.6, 12)
"""Variances of the filters with which spots are looked for [px²]."""
FEWEST_SPOTS = 30
REACHES = (2, 6, 15)
"""Neighbours on each side in which spots are looked for: further ones show weaker atoms, if these are slow."""
FAST = 0.5
"""Steps from frame to frame, in standard deviations of a spot, from which on neighbours are no guide to a place."""
LEAST_DENSITY = 1 / 150
"""Spots per spot variance that are assumed where too few are found, about one per square of 12 standard deviations."""
GUESSED_VARIANCE_PX2 = 7.0
NARROWEST, WIDEST = 0.3, 1.0
"""Filters that count, relative to the variance found with them: broader ones take neighbours for one spot."""
BEST = 0.5
"""Of these filters, relative to the variance on which they agree: narrower ones find but a part of the spots."""
BROAD_PX2 = 10.0
"""Where no filter below this one finds enough spots, they may be clusters whose atoms more frames would show [px²]."""
FEW = 0.2
"""Share of the spots that broader filters find, below which narrower ones do not suffice."""
MANY = 0.5
"""The same where the narrowest measure is taken, which should not be one of noise."""
NEAR_NARROWEST = 1.3
"""Measures up to this multiple of the narrowest one are averaged with it."""
ENVELOPE = 4.0
"""Broad filters that agree on more than this multiple of what the narrowest one has measured have seen clusters."""
MOST_HIDDEN = 2.0
"""Spots per spot that is found, at most."""
PRESENT = 0.3
"""The same share for the dimmest spots that are counted, not for all together."""
CLEAR = 6.0
"""Responses of a guide, in standard deviations of what is no spot, that noise does not make."""
CLEAR_REACH = REACHES[1]
"""Neighbours on each side in which spots are looked for that are so clear: single atoms beside far brighter columns."""
LAGS = 6
"""Frames over which motion is followed: that from one to the next is less than what noise makes of it."""
STEPS = np.append(0, np.geomspace(0.02, 4, 200))
"""Steps from frame to frame among which the best one is taken, in standard deviations of a spot."""


@dataclass(frozen=True)
class Spots:
    """What the spots are like."""

    variance_px2: float
    """Variance of a single spot [px²]."""
    peak_counts: float
    """Height of a single atom's spot above the background [counts]."""
    column_atoms: int
    """Atoms in the thickest columns; 1 if the spots are as high as each other, but for a few."""
    density_per_px: float
    """Spots of the usual height that make up the movie's contrast, at least those that were found, per pixel."""
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


def measure_spots(runs: NDArray[np.float32], film: NDArray[np.bool_]) -> Spots:
    """Measure the spots of a movie.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values without afterglow.
    film : array, shape (y, x)
        Where spots are looked for, as from `find_film`.

    Returns
    -------
    Spots
    """
    search, found = _width(runs, film)
    variance = GUESSED_VARIANCE_PX2 if found is None else found
    step, energy = _step_and_energy(Blobs(_flat(runs)).response(variance).reshape(runs.shape)[..., film], variance)
    fast = step >= FAST * np.sqrt(variance)
    if fast:
        search = _by_rows(runs, film)
    found_by = {scale: search.peaks(scale) for scale in (wider * variance for wider in search.counted)}
    scale, peaks = max(found_by.items(), key=lambda item: item[1].present)
    density = LEAST_DENSITY / variance
    peak = float(np.sqrt(energy / density))
    single, thickest = 1.0, 1
    if peaks.reliable:
        bright = peaks.height[: max(FEWEST_SPOTS, peaks.present // 2)]  # the dim half holds noise
        # what the Laplacian at this scale makes of a spot of unit height
        peak = float(bright.mean()) * (scale + variance) ** 2 / (2 * scale * variance)
        if found is not None:
            # contrast tells spots that hide behind others; the film's own speckle adds to it, hence the bound
            counted = peaks.present / (len(_flat(runs)) * film.sum())
            density = float(np.clip(energy / peak**2, counted, max(MOST_HIDDEN * counted, density)))
        heights = (search if fast else _by_neighbours(runs, film, CLEAR_REACH)).clear_heights(scale)
        single, thickest = single_and_thickest(heights / bright.mean())
    return Spots(
        variance_px2=variance,
        peak_counts=max(single * peak, 0.05 * float(runs.std())),
        column_atoms=thickest,
        density_per_px=density,
        step_px=step,
        certain=found is not None and peaks.reliable,
    )


def spot_skewness(runs: NDArray[np.float32], variance_px2: float, film: NDArray[np.bool_]) -> float:
    """Return the skewness of the response to spots in means of neighbouring frames.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values without afterglow.
    variance_px2 : float
        Variance of the spots [px²].
    film : array, shape (y, x)
        Where there are spots, as from `find_film`.

    Returns
    -------
    float
        Well above 0 where spots are brighter than what lies between them, well below where they are darker.
    """
    margin = int(np.ceil(3 * np.sqrt(variance_px2))) + 1
    response = Blobs(_flat(neighbour_mean(runs, CLEAR_REACH))).response(variance_px2)
    inner = np.zeros_like(film)
    inner[margin:-margin, margin:-margin] = film[margin:-margin, margin:-margin]
    return float(skew(response[:, inner] if inner.any() else response, axis=None))


def _flat(runs: NDArray[np.float32]) -> NDArray[np.float32]:
    return runs.reshape(-1, *runs.shape[2:])


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


@dataclass(frozen=True)
class _Search:
    """A way of looking for spots in frames: by a guide to them whose noise is another one."""

    frames: Blobs
    guide: Blobs
    film: NDArray[np.bool_]
    """Where they are looked for."""
    confirmed: float
    """Least share of the guide's response that the frames show; noise alone has 0, spots without noise 1."""
    counted: tuple[float, ...]
    """Filters, relative to the variance, with which spots are counted: that counts to which most of them show."""

    def peaks(self, scale_px2: float) -> _Peaks:
        """Return maxima of the guide that the frame itself confirms, as many as share one height with it."""
        guide = self.guide.response(scale_px2)
        there = guide[:, self.film]
        noise = 1.4826 * np.median(np.abs(there - np.median(there)))
        index, found = self._maxima(guide, scale_px2, 3 * noise)
        seen = self.frames.response(scale_px2)[tuple(index.T)]
        confirmed = np.flatnonzero(np.cumsum(seen) >= self.confirmed * np.cumsum(found))
        number = int(confirmed[-1]) + 1 if len(confirmed) else 0
        present = int(np.cumsum(seen[:number] - PRESENT * found[:number]).argmax()) + 1 if number else 0
        return _Peaks(index[:number], seen[:number], present, number >= FEWEST_SPOTS)

    def clear_heights(self, scale_px2: float) -> NDArray[np.float32]:
        """Return the frame's response at maxima of the guide that no noise could be, in the order of the guide's."""
        guide = self.guide.response(scale_px2)
        noise = float(sigmaclip(guide[:, self.film], 3, 3).clipped.std())  # a crystal may fill a large part of it
        index, _ = self._maxima(guide, scale_px2, CLEAR * noise)
        seen: NDArray[np.float32] = self.frames.response(scale_px2)[tuple(index.T)]
        return seen

    def _maxima(
        self, guide: NDArray[np.float32], scale_px2: float, least: float
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        index, height = maxima(guide, scale_px2, least)
        there = self.film[index[:, 1], index[:, 2]]
        return index[there], height[there]


def _by_neighbours(runs: NDArray[np.float32], film: NDArray[np.bool_], reach: int) -> _Search:
    frames, guide = Blobs(_flat(runs)), Blobs(_flat(neighbour_mean(runs, reach)))
    return _Search(frames, guide, film, confirmed=0.55, counted=(1.0, 1.4, 2.0))


def _by_rows(runs: NDArray[np.float32], film: NDArray[np.bool_]) -> _Search:
    """Take every other row as a guide to the others; half the rows hold more noise, to which narrow filters cling."""
    frames, guide = (Blobs(_from_rows(_flat(runs), first)) for first in (1, 0))
    return _Search(frames, guide, film, confirmed=0.4, counted=(2.0,))


def _width(runs: NDArray[np.float32], film: NDArray[np.bool_]) -> tuple[_Search, float | None]:
    """Return the search that sees the spots best, and their variance, None if no search sees enough of them."""
    search = _by_neighbours(runs, film, REACHES[0])
    measured = _measured(search, _flat(runs))
    scale, variance, number = measured.T
    narrow = scale <= WIDEST * variance
    known = np.inf
    if number[narrow].sum() > FEW * number.max(initial=0):
        agreed, narrowest = _agreed(measured[narrow]), float(variance[0])
        known = agreed if agreed <= ENVELOPE * narrowest else narrowest
        if scale[narrow][0] < BROAD_PX2:
            return search, known
    # Weak spots show in more frames, fast ones within theirs, and both only to filters that are broader than they are.
    # Such filters take neighbours for one spot, the more the broader they are: the narrowest measure is the best.
    others = [*(_by_neighbours(runs, film, reach) for reach in REACHES[1:]), _by_rows(runs, film)]
    narrowest_of = [(_narrowest(measured), search), *((_narrowest(_measured(s, _flat(runs))), s) for s in others)]
    variance, other = min(narrowest_of, key=lambda item: item[0])
    if known <= ENVELOPE * variance:
        return search, known if np.isfinite(known) else None
    return other, variance


def _measured(search: _Search, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a row for each filter that finds enough spots: its variance, theirs, and how many stand alone."""
    measured = []
    for scale in map(float, SCALES_PX2):
        peaks = search.peaks(scale)
        if not peaks.reliable:
            continue
        alone = _isolated(peaks.index, scale)
        variance = variance_in_windows(frames, alone, scale)
        if variance is not None and scale >= NARROWEST * variance:
            measured.append((scale, variance, len(alone)))
    return np.array(measured).reshape(-1, 3)


def _narrowest(measured: NDArray[np.float64]) -> float:
    """Return the mean of the smallest variances that were measured on many spots; infinite if there are none."""
    variance, number = measured[measured[:, 2] >= MANY * measured[:, 2].max(initial=0), 1:].T
    near = variance <= NEAR_NARROWEST * variance.min(initial=np.inf)
    return float(np.exp(np.average(np.log(variance[near]), weights=number[near]))) if near.any() else np.inf


def _agreed(measured: NDArray[np.float64]) -> float:
    """Return the mean of the best filters' variances; rows are filter, variance and number of spots."""
    scale, variance, number = measured.T
    order = np.argsort(variance)
    share = np.cumsum(number[order])
    median = variance[order][np.searchsorted(share, share[-1] / 2)]
    best = (scale >= BEST * median) & (scale <= WIDEST * median)
    if not best.any():
        return float(median)
    return float(np.exp(np.average(np.log(variance[best]), weights=number[best])))


def _isolated(index: NDArray[np.intp], scale_px2: float) -> NDArray[np.intp]:
    """Keep spots without a neighbour within four standard deviations, or the fifth that is most alone."""
    points = index * np.array([1e4, 1, 1])
    distance = np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1]
    alone: NDArray[np.intp] = index[distance >= min(4 * np.sqrt(scale_px2), float(np.quantile(distance, 0.8)))]
    return alone


def _step_and_energy(response: NDArray[np.float32], variance_px2: float) -> tuple[float, float]:
    """Measure motion, and density × squared height, by how the covariance of blob responses falls with time.

    Responses have the shape (runs, frames, pixels).

    Responses to spots of height h and density n have the covariance 16π n h² v⁴ V^-3 at lag zero, with V = 4v without
    motion; each random step of variance D per axis adds D to V. One frame's noise is not in another one, so lag zero
    is left out. Of two frames the contrast is not known: 0.
    """
    lags = np.arange(1, min(LAGS, response.shape[1] - 1) + 1)
    if len(lags) < 2:
        return 0.5, 0.0
    covariance = np.array([(response[:, lag:] * response[:, :-lag]).mean(dtype=np.float64) for lag in lags])
    steps = np.sqrt(variance_px2) * STEPS
    falls = (1 + np.square(steps)[:, None] * lags / (4 * variance_px2)) ** -3.0
    falls /= np.sqrt(np.square(falls).sum(axis=1, keepdims=True))
    likeness = falls @ covariance
    best = int(likeness.argmax())
    if likeness[best] <= 0:
        return float(np.sqrt(4 * variance_px2)), 0.0
    square = steps[best] ** 2
    near = likeness[best] * falls[best, 0]
    energy = near * (4 * variance_px2 + square) ** 3 / (16 * np.pi * variance_px2**4)
    return float(steps[best]), float(energy)
