"""How the whole sample drifts and jumps through the frames, and neighbouring frames without that."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.ndimage import map_coordinates

__all__ = ["measure_drift", "measure_jumps", "shift_back"]

SIDE_PX = 512
"""Larger frames are binned to at most this side."""
FASTEST = 4.0
"""Drift that is looked for, along each axis [binned px per frame]."""
STEP = 0.1
"""Between drifts that are tried [binned px per frame]."""
LAGS = 6
"""Frames up to so many apart are compared."""
LOW_PASS_PX2, HIGH_PASS_PX2 = 2.0, 64.0
"""Variance of a Gaussian that makes little of noise, and of one that takes uneven backgrounds away [binned px²]."""
CERTAIN = 20.0
"""Least agreement, in standard deviations of the covariances: noise alone has up to 12, movies of atoms 40 or more."""
NEAR = np.arange(-4.0, 5.0)
"""Jumps that are looked for, along each axis [binned px]."""
COARSE = 0.3
"""Frequencies above it hold noise [1/binned px]; the low-pass leaves nothing of them."""
HANN = 35 / 18
"""By which the noise of covariances at small displacements exceeds the mean, as frames fade to their edges."""
TINY = float(np.finfo(np.float32).tiny)
ROUNDS = 2
"""In the second one, the others have been put in place themselves."""


def measure_drift(
    frames: Sequence[NDArray[np.generic]] | NDArray[np.generic], times: Sequence[int]
) -> NDArray[np.float64]:
    """Return the drift with which frames agree best, if it were the same for all of them.

    It is the one whose multiples the covariances of all pairs of frames, by the time between them, add up to most.
    Single atoms that move by themselves take part in that, but hardly sway it.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (y, x)
        Finite grey values.
    times : sequence of int
        Number of each frame in the movie.

    Returns
    -------
    array, shape (2,)
        Along y and x [px per frame]; 0 where no drift stands out of the noise.
    """
    small, binning = _small(frames)
    fastest = min(FASTEST, min(small.shape[1:]) / (4 * LAGS))
    steps = STEP * np.arange(-int(fastest / STEP), int(fastest / STEP) + 1)
    along_y, along_x = np.meshgrid(steps, steps, indexing="ij")
    agreement, noise = np.zeros(along_y.shape), 0.0
    for lag, covariance in _covariances(small, times).items():
        agreement += map_coordinates(covariance, [lag * along_y, lag * along_x], order=1, mode="grid-wrap")
        noise = np.hypot(noise, 1.4826 * np.median(np.abs(covariance)))
    best = np.unravel_index(agreement.argmax(), agreement.shape)
    if agreement[best] <= CERTAIN * noise:
        return np.zeros(2)
    drift: NDArray[np.float64] = binning * np.array([along_y[best], along_x[best]])
    return drift


def measure_jumps(
    frames: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    places: NDArray[np.float64],
    expected_px: float = np.inf,
) -> NDArray[np.float64]:
    """Return how far each frame is from where its drift would have taken it, to where it agrees with the others best.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (y, x)
        Finite grey values.
    places : array, shape (frames, 2)
        Where drift has taken the sample, along y and x [px].
    expected_px : float
        Standard deviation of jumps along each axis: the less a frame agrees with the others, the more weight this has
        against what noise tells. If it is infinite, frames are put wherever they agree best.

    Returns
    -------
    array, shape (frames, 2)
        Along y and x [px], 0 in the mean.
    """
    small, binning = _small(frames)
    view = _coarse(small)
    jumps = np.zeros((len(small), 2))
    for _ in range(ROUNDS):
        agreement = _agreement(view, places / binning + jumps)
        found = [_likeliest(near, jump, expected_px / binning) for near, jump in zip(agreement, jumps, strict=True)]
        # What one frame is off from all the others is more than what it is off from their common mean.
        jumps += (1 - 1 / len(small)) * np.array(found)
        jumps -= jumps.mean(axis=0)
    return binning * jumps


class _Coarse(NamedTuple):
    """What frames show coarsely, as spectra."""

    spectra: NDArray[np.complex64]
    """Shape (frames, y, x), of frequencies up to `COARSE`, along x those that are not negative; the highest is 1."""
    band: NDArray[np.float32]
    """Shape (y, x), for products of two spectra."""
    noise: NDArray[np.float32]
    """Shape (frames, 1, x): power of the noise, as it is at the other frequencies along y."""
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    """Frequencies [1/px]."""


def _coarse(frames: NDArray[np.float32]) -> _Coarse:
    spectra, band = _spectra(frames)
    spectra /= max(float(np.abs(spectra).max()), TINY)
    y, x = fftfreq(frames.shape[1]), rfftfreq(frames.shape[2])
    rows, columns = np.abs(y) <= COARSE, x <= COARSE
    noise = np.square(np.abs(spectra[:, ~rows][:, :, columns])).mean(axis=1, keepdims=True)
    return _Coarse(spectra[:, rows][:, :, columns], band[rows][:, columns], noise, y[rows], x[columns])


def _agreement(view: _Coarse, places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return each frame's covariances with all others, shape (frames, y, x), relative to what its noise makes."""
    aligned = view.spectra * _waves(places[:, 0], view.y)[:, :, None] * _waves(places[:, 1], view.x)[:, None]
    others = (aligned.sum(axis=0) - aligned) * view.band
    both_signs = np.where(view.x > 0, 2, 1).astype(np.float32)
    products = np.conj(others) * aligned * both_signs
    covariances = (_waves(NEAR, view.y) @ products @ _waves(view.x, NEAR)).real
    variances = (np.square(np.abs(others)) * view.noise * both_signs).sum(axis=(1, 2), keepdims=True)
    agreement: NDArray[np.float32] = covariances / (HANN * np.sqrt(np.maximum(variances, TINY)))
    return agreement


def _waves(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return waves of frequencies [1/px] at places [px], whichever comes first."""
    waves: NDArray[np.complex64] = np.exp(2j * np.pi * np.outer(one, other)).astype(np.complex64)
    return waves


def _likeliest(agreement: NDArray[np.float32], jump: NDArray[np.float64], expected_px: float) -> NDArray[np.float64]:
    """Return how much farther than so far a frame has jumped, to parts of a pixel."""
    along_y, along_x = (np.square((NEAR + so_far) / expected_px) / 2 for so_far in jump)
    # Logarithms of the likelihood, of a frame that agrees with the others as well as this one does, and of the prior.
    likely = agreement.max() * agreement - along_y[:, None] - along_x
    y, x = np.unravel_index(likely.argmax(), likely.shape)
    return np.array([NEAR[y] + _vertex(likely[:, x], y), NEAR[x] + _vertex(likely[y], x)])


def _vertex(values: NDArray[np.floating], highest: np.intp) -> float:
    """Return how far the top of a parabola through the highest value and its neighbours is from it."""
    if not 0 < highest < len(values) - 1:
        return 0.0
    before, at, after = values[highest - 1 : highest + 2]
    return float(0.5 * (before - after) / (before - 2 * at + after))


def _small(frames: Sequence[NDArray[np.generic]] | NDArray[np.generic]) -> tuple[NDArray[np.float32], int]:
    """Return binned frames, and how many pixels make a side of theirs."""
    binning = -(-max(frames[0].shape) // SIDE_PX)
    return np.stack([_binned(frame, binning) for frame in frames]), binning


def _binned(frame: NDArray[np.generic], binning: int) -> NDArray[np.float32]:
    """Return the mean of each square of so many pixels."""
    height, width = (side // binning * binning for side in frame.shape)
    # Of strided slices: the mean of an array of four axes takes several times as long.
    rows = np.add.reduce([frame[start:height:binning] for start in range(binning)], dtype=np.float32)
    total = np.add.reduce([rows[:, start:width:binning] for start in range(binning)], dtype=np.float32)
    binned: NDArray[np.float32] = total / np.float32(binning**2)
    return binned


def _covariances(frames: NDArray[np.float32], times: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """Return, by the time between frames, the sum of their band-passed covariances, shape (y, x) of displacements."""
    spectra, band = _spectra(frames)
    sums: dict[int, NDArray[np.complex64]] = {}
    for (time, one), (later, other) in combinations(
        sorted(zip(times, spectra, strict=True), key=lambda item: item[0]), 2
    ):
        if 0 < later - time <= LAGS:
            sums[later - time] = sums.get(later - time, 0) + np.conj(one) * other
    return {lag: irfft2(spectrum * band, frames.shape[1:]) for lag, spectrum in sums.items()}


def _spectra(frames: NDArray[np.float32]) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Return the spectra of frames that fade to their edges, and the band-pass for products of two of them."""
    height, width = frames.shape[1:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    spectra = rfft2((frames - frames.mean(axis=(1, 2), keepdims=True)) * window.astype(np.float32))
    square = np.square(2 * np.pi) * (np.square(fftfreq(height))[:, None] + np.square(rfftfreq(width)))
    band = np.exp(-LOW_PASS_PX2 * square) * np.square(1 - np.exp(-HIGH_PASS_PX2 * square / 2))
    return spectra, band.astype(np.float32)


def shift_back(
    frames: Sequence[NDArray[np.generic]] | NDArray[np.generic], places: NDArray[np.float64]
) -> list[NDArray[np.generic]]:
    """Shift frames by whole pixels, so that what has moved is where it was; noise stays as it is.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (y, x)
        Grey values.
    places : array, shape (frames, 2)
        How far each frame's sample has moved, along y and x [px].

    Returns
    -------
    list of arrays, each of shape (y, x)
        What lies beyond a frame's edge is its mirror image.
    """
    return [_shifted(frame, place) for frame, place in zip(frames, np.round(places).astype(int), strict=True)]


def _shifted(frame: NDArray[np.generic], shift: NDArray[np.intp]) -> NDArray[np.generic]:
    """Return a frame's part of its own size that begins at a place of it."""
    if not shift.any():
        return frame
    by = [int(np.clip(pixels, 1 - side, side - 1)) for pixels, side in zip(shift, frame.shape, strict=True)]
    there = tuple(slice(max(0, n), side + min(0, n)) for n, side in zip(by, frame.shape, strict=True))
    return np.pad(frame[there], [(max(0, -n), max(0, n)) for n in by], mode="reflect")
