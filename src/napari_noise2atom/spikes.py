"""Spikes: single pixels far brighter than the sample makes any, as where an X-ray hits the detector."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["QUANTILES", "spike_limit", "take_out_spikes", "without_spikes"]

Frame = TypeVar("Frame", bound=NDArray[np.generic])

QUANTILES = 0.01, 0.999
"""Quantiles between which lies what nearly all pixels of a movie have."""
STANDS_OUT = 3.0
"""A spike is so many times as bright as what is near, and as all but a thousandth of the movie's pixels."""


def spike_limit(low: float, high: float) -> float:
    """Return the grey value from which on a pixel may be a spike.

    Parameters
    ----------
    low, high : float
        The usual quantiles of the movie's grey values.

    Returns
    -------
    float
        Infinite where the two are one: spikes cannot be told where hardly a pixel has an electron.
    """
    return low + STANDS_OUT * (high - low) if high > low else np.inf


def without_spikes(
    frame: Frame, before: NDArray[np.generic], after: NDArray[np.generic], low: float, high: float
) -> Frame:
    """Return a frame whose spikes are replaced by the median of the pixels above and below, with their afterglow.

    A spike is in one frame and one scan line only. An atom that hops or flies by is in the next lines, too, and one
    that is hardly wider than a pixel is in the next frames.

    Parameters
    ----------
    frame : array, shape (y, x)
        At least three rows.
    before, after : array, shape (y, x)
        Two of the nearest frames.
    low, high : float
        As for `spike_limit`.

    Returns
    -------
    array, shape (y, x)
        The frame itself if it has no spikes.
    """
    rows, columns = np.nonzero(np.greater(frame, spike_limit(low, high)))
    lasting = np.minimum(*(_brightest_around(other, rows, columns) for other in (before, after)))
    tall = np.sort(_beside(frame, rows, columns), axis=0)[2]  # of four: another spike may be the brightest
    near = np.maximum(lasting, tall)
    spikes = frame[rows, columns].astype(np.float64) - low > STANDS_OUT * (near - low)
    if not spikes.any():
        return frame
    cleaned = frame.copy()
    rows, columns = rows[spikes], columns[spikes]
    while rows.size:
        beside = np.median(_beside(frame, rows, columns), axis=0)
        glowing = frame[rows, columns] > beside
        cleaned[rows[glowing], columns[glowing]] = beside[glowing]
        glowing &= columns < frame.shape[1] - 1
        rows, columns = rows[glowing], columns[glowing] + 1
    return cleaned


def take_out_spikes(runs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return runs of frames without spikes, also where there are so many that they are a thousandth of all pixels.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values.

    Returns
    -------
    array, shape (runs, frames, y, x), float32
        The same object if there are none.
    """
    last = runs.shape[1] - 1
    before, after = [min(2, last), *range(last)], [*range(1, last + 1), max(last - 2, 0)]
    low, high = np.quantile(runs, QUANTILES)
    cleaned = runs.copy()
    for run, t in np.ndindex(runs.shape[:2]):
        cleaned[run, t] = without_spikes(runs[run, t], runs[run, before[t]], runs[run, after[t]], low, high)
    # without the brightest spikes, others stand out
    return runs if np.array_equal(cleaned, runs) else take_out_spikes(cleaned)


def _beside(frame: NDArray[np.generic], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return two pixels above and two below each place, shape (4, places); at an edge those on one side twice."""
    last = len(frame) - 1
    lines = [last - np.abs(last - np.abs(rows + down)) for down in (-2, -1, 1, 2)]
    return np.stack([frame[line, columns] for line in lines]).astype(np.float64)


def _brightest_around(
    frame: NDArray[np.generic], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the largest of the 3×3 pixels around each place."""
    reach = range(-1, 2)
    last_row, last_column = frame.shape[0] - 1, frame.shape[1] - 1
    around = [
        frame[np.clip(rows + down, 0, last_row), np.clip(columns + right, 0, last_column)]
        for down in reach
        for right in reach
    ]
    brightest: NDArray[np.float64] = np.max(around, axis=0).astype(np.float64)
    return brightest
