"""Empty edges of frames: what a registration leaves of them where they were shifted."""

from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_edges", "image_part"]

Frame = TypeVar("Frame", bound=NDArray[np.generic])

BY_CHANCE = 1e-6
"""Probability below which pixels do not all have the same value by chance, as few electrons make them have."""


def image_part(frame: NDArray[np.generic]) -> tuple[slice, slice]:
    """Return the rows and columns of a frame that hold an image.

    Lines at its edges are empty if none of their pixels is finite, or if all have one grey value that is too rare in
    the rest of the frame for that.

    Parameters
    ----------
    frame : array, shape (y, x)
        One frame, in any unit.

    Returns
    -------
    rows, columns : slice
        All of them, if no pixel is left.
    """
    rows = _filled(frame)
    return rows, _filled(frame[rows].T)


def fill_edges(frame: Frame) -> Frame:
    """Return a frame whose empty edges show the mirror image of what is next to them, as networks expect an image.

    Parameters
    ----------
    frame : array, shape (y, x)
        One frame, in any unit.

    Returns
    -------
    array, shape (y, x)
        The frame itself if it has no empty edges.
    """
    part = image_part(frame)
    margins = [(lines.start, side - lines.stop) for lines, side in zip(part, frame.shape, strict=True)]
    return cast("Frame", np.pad(frame[part], margins, mode="reflect")) if np.any(margins) else frame


def _filled(lines: NDArray[np.generic]) -> slice:
    """Return which lines are not empty."""
    before, after = _plain(lines), _plain(lines[::-1])
    image = lines[before : len(lines) - after]
    if not len(image) or (before and _by_chance(lines[0], image)):
        before = 0
    if not len(image) or (after and _by_chance(lines[-1], image)):
        after = 0
    return slice(before, len(lines) - after)


def _plain(lines: NDArray[np.generic]) -> int:
    """Return how many of the first lines have one value, or none that is finite."""
    for number, line in enumerate(lines):
        if line.min() != line.max() and np.isfinite(line).any():
            return number
    return len(lines)


def _by_chance(line: NDArray[np.generic], others: NDArray[np.generic]) -> bool:
    return bool(np.mean(others == line[0]) ** line.size > BY_CHANCE)
