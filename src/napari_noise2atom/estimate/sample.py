"""A sample of the movie, small enough to be measured within seconds."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_noise2atom.edges import fill_edges, image_part
from napari_noise2atom.movie import Movie, is_bad_frame, without_blank_ends

__all__ = ["neighbour_mean", "sample_runs"]

RUN_FRAMES = 16
RUNS = (4, 8)
"""At least and at most; in between, as many as make up `PIXELS`."""
PIXELS = 2**21
SIDE_PX = 256
STEP_PX = 64
"""Between windows of that side which are looked at."""
FINE_PX, COARSE_PX = 3, 15
"""Sides of the squares between whose means structure is looked for."""
MORE = 2.0
"""Times the structure in the middle that another window must have to be sampled instead."""
CERTAIN = 5.0
"""Standard deviations of noise that this must be above 0."""


def sample_runs(movie: Movie) -> NDArray[np.float32]:
    """Return runs of consecutive frames from all over the movie, at most the same 256×256 pixels of each.

    They are from the middle, unless there is far more to see elsewhere. Bad frames are left out, so that a run may step
    over them. Runs of a short movie may overlap.

    Parameters
    ----------
    movie : Movie
        The movie.

    Returns
    -------
    array, shape (runs, frames, y, x), float32
        Grey values; at most 8 runs of 16 frames, 4 if frames are large, in the order of time.

    Raises
    ------
    ValueError
        If fewer than two frames are usable.
    """
    runs = _look_at_runs(movie)
    if max(len(run.numbers) for run in runs) < 2:
        movie = without_blank_ends(movie)
        runs = _look_at_runs(movie)
    length = max(len(run.numbers) for run in runs)
    if length < 2:
        raise ValueError(f"{movie.name}: found fewer than two usable frames in a row; leave out those that are blank")
    whole = [run for run in runs if len(run.numbers) == length]
    part = _shown(movie.shape[1:], [part for run in whole for part in run.parts])
    window = _window(np.sum([run.structure[part] for run in whole], axis=0))

    def cut(frame: NDArray[np.generic]) -> NDArray[np.float32]:
        filled: NDArray[np.float32] = fill_edges(frame.astype(np.float32))
        return filled[part][window].copy()

    return np.stack([np.stack([*map(cut, movie.stream(run.numbers))]) for run in whole])


class _Run(NamedTuple):
    """What is known of some frames in a row when it is decided what of them is sampled; large ones are not kept."""

    numbers: list[int]
    """Of those that are not bad."""
    parts: list[tuple[slice, ...]]
    """Rows and columns that each of them shows."""
    structure: NDArray[np.float32]
    """How much there is to see at each place."""


def _look_at_runs(movie: Movie) -> list[_Run]:
    """Look at evenly spread runs."""
    length = min(RUN_FRAMES, len(movie))
    height, width = (min(side, SIDE_PX) for side in movie.shape[1:])
    affordable = int(np.clip(PIXELS // (length * height * width), *RUNS))
    runs = max(1, min(affordable, (len(movie) + RUN_FRAMES // 2) // RUN_FRAMES))
    return [_look(movie, int(start), length) for start in np.linspace(0, len(movie) - length, runs)]


def _look(movie: Movie, start: int, most: int) -> _Run:
    """Look at the next frames that are not bad; up to as many bad ones are stepped over."""
    numbers: list[int] = []
    parts: list[tuple[slice, ...]] = []
    halves = np.zeros((2, *movie.shape[1:]), np.float32)
    span = range(start, min(start + 2 * most, len(movie)))
    for number, frame in zip(span, movie.stream(span), strict=True):
        if is_bad_frame(frame):
            continue
        halves[len(numbers) % 2] += fill_edges(frame.astype(np.float32))
        numbers.append(number)
        parts.append(image_part(frame))
        if len(numbers) == most:
            break
    return _Run(numbers, parts, _structure(halves / max(1.0, len(numbers) / 2)))


def _shown(size: tuple[int, int], parts: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """Return the rows and columns that all frames show, or those of the frames where these are few."""
    shown = []
    for side, lines in zip(size, zip(*parts, strict=True), strict=True):
        start, stop = max(line.start for line in lines), min(line.stop for line in lines)
        shown.append(slice(start, stop) if stop - start >= side / 2 else slice(0, side))
    return tuple(shown)


def _window(structure: NDArray[np.float32]) -> tuple[slice, slice]:
    """Return the rows and columns of the sample."""
    size = structure.shape
    sides = [min(side, SIDE_PX) for side in size]
    middle = [(whole - side) // 2 for whole, side in zip(size, sides, strict=True)]
    first = middle if list(size) == sides else _busiest(structure, sides, middle)
    rows, columns = (slice(start, start + side) for start, side in zip(first, sides, strict=True))
    return rows, columns


def _structure(halves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much both halves of a run have in common at each place; noise has nothing in common."""
    one, other = (uniform_filter(half, FINE_PX) - uniform_filter(half, COARSE_PX) for half in halves)
    common: NDArray[np.float32] = one * other
    return common


def _busiest(structure: NDArray[np.float32], sides: Sequence[int], middle: Sequence[int]) -> Sequence[int]:
    """Return where the window with the most structure begins; the middle one if there is nearly as much, or none."""
    until = np.pad(structure, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)

    def within(y: int, x: int) -> float:
        height, width = sides
        return float(until[y + height, x + width] - until[y, x + width] - until[y + height, x] + until[y, x])

    starts = (range(0, whole - side + 1, STEP_PX) for whole, side in zip(structure.shape, sides, strict=True))
    best = max(product(*starts), key=lambda first: within(*first))
    # As many pixels are independent of one another as there are fine squares.
    chance = 1.4826 * float(np.median(np.abs(structure))) * FINE_PX * np.sqrt(np.prod(sides))
    return best if within(*best) > max(MORE * within(*middle), CERTAIN * chance) else middle


def neighbour_mean(runs: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Average the neighbours up to `reach` frames away, the frame itself left out.

    What is found in this average knows nothing of the frame's own noise, so that a measurement on the frame itself at
    these places is free of selection bias.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Consecutive frames.
    reach : int
        Neighbours on each side; fewer at the ends of a run.

    Returns
    -------
    array, shape (runs, frames, y, x), float32
    """
    total, number = np.zeros_like(runs), np.zeros(runs.shape[1], np.float32)
    for lag in range(1, min(reach, runs.shape[1] - 1) + 1):
        total[:, lag:] += runs[:, :-lag]
        total[:, :-lag] += runs[:, lag:]
        number[lag:] += 1
        number[:-lag] += 1
    return total / number[:, None, None]
