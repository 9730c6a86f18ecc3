"""A sample of the movie, small enough to be measured within seconds."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.edges import fill_edges, image_part
from napari_noise2atom.movie import Movie, is_bad_frame

__all__ = ["neighbour_mean", "sample_runs"]

RUN_FRAMES = 16
RUNS = (4, 8)
"""At least and at most; in between, as many as make up `PIXELS`."""
PIXELS = 2**21
SIDE_PX = 256


def sample_runs(movie: Movie) -> NDArray[np.float32]:
    """Return runs of consecutive frames from all over the movie, at most 256×256 pixels from the middle of each.

    Bad frames are left out, so that a run may step over them. Runs of a short movie may overlap.

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
    length = min(RUN_FRAMES, len(movie))
    height, width = (min(side, SIDE_PX) for side in movie.shape[1:])
    affordable = int(np.clip(PIXELS // (length * height * width), *RUNS))
    runs = max(1, min(affordable, (len(movie) + RUN_FRAMES // 2) // RUN_FRAMES))
    starts = np.linspace(0, len(movie) - length, runs).astype(int)
    good = [_good_frames(movie, int(start), length) for start in starts]
    length = max(map(len, good))
    if length < 2:
        raise ValueError(f"{movie.name}: found fewer than two usable frames in a row; a movie has at least two")
    whole = [run for run in good if len(run) == length]
    middle = _middle([frame for run in whole for frame in run])
    return np.stack([np.stack([fill_edges(frame)[middle] for frame in run]) for run in whole])


def _good_frames(movie: Movie, start: int, most: int) -> list[NDArray[np.float32]]:
    """Return the next frames that are not bad; up to as many bad ones are stepped over."""
    frames = movie.stream(range(start, min(start + 2 * most, len(movie))))
    return list(islice((frame.astype(np.float32) for frame in frames if not is_bad_frame(frame)), most))


def _middle(frames: Sequence[NDArray[np.float32]]) -> tuple[slice, ...]:
    """Return the rows and columns in the middle of what all frames show, or of the frames where that is little."""
    middle = []
    for side, lines in zip(frames[0].shape, zip(*map(image_part, frames), strict=True), strict=True):
        start, stop = max(line.start for line in lines), min(line.stop for line in lines)
        if stop - start < side / 2:
            start, stop = 0, side
        first = start + max(0, stop - start - SIDE_PX) // 2
        middle.append(slice(first, min(first + SIDE_PX, stop)))
    return tuple(middle)


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
