"""A movie: a stack of frames with its calibration."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from .edges import fill_edges, image_part
from .streaming import compute_ahead, frames_at_once

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["BLOCK_PX", "Movie", "is_bad_frame", "without_blank_ends"]

BLOCK_PX = 2**24
"""Of a longer chunk, frames of so many pixels are computed at a time [px]."""


def is_bad_frame(frame: NDArray[np.generic]) -> bool:
    """Tell whether a frame carries no usable image: any NaN or inf but at empty edges, or one single grey value.

    Parameters
    ----------
    frame : array, shape (y, x)
        One frame, in any unit.

    Returns
    -------
    bool
    """
    image = frame[image_part(frame)]
    low, high = float(image.min()), float(image.max())
    return not (np.isfinite(low) and np.isfinite(high)) or low == high


@dataclass(frozen=True, eq=False)
class Movie:
    """Frames with their calibration; the data may be lazy.

    Parameters
    ----------
    data : numpy or dask array, shape (t, y, x)
        Grey values of an integer or float type, in the recorder's own unit.
    pixel_size_nm : float, optional
        Side of a pixel [nm]; None if unknown.
    frame_time_s : float, optional
        Time from one frame to the next [s]; None if unknown.
    name : str
        What to call it, usually the file's name without ending.
    notes : tuple of str
        What a reader found worth telling the user, one sentence each.
    signals : tuple of str
        Names of all movies in the file, if there are several.

    Raises
    ------
    ValueError
        If the data are not a stack of at least two frames of real numbers.
    """

    data: "NDArray[np.generic] | da.Array"
    pixel_size_nm: float | None = None
    frame_time_s: float | None = None
    name: str = "movie"
    notes: tuple[str, ...] = field(default=())
    signals: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.data.ndim != 3:
            raise ValueError(f"{self.name}: got an array of shape {self.data.shape}; a movie has the axes (t, y, x)")
        if self.data.dtype.kind not in "uif":
            raise ValueError(f"{self.name}: got values of type {self.data.dtype}; expected integers or floats")
        if len(self.data) < 2:
            raise ValueError(f"{self.name}: got one frame; a movie has at least two")

    def __len__(self) -> int:
        return int(self.data.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns."""
        t, y, x = self.data.shape
        return int(t), int(y), int(x)

    def frame(self, index: int) -> NDArray[np.float32]:
        """Return one frame, computed, as float32 of shape (y, x); edges of NaN show what is next to them."""
        return _without_nan_edges(np.asarray(self.data[index]).astype(np.float32))

    def frames(self, indices: Iterable[int]) -> NDArray[np.float32]:
        """Return chosen frames, computed, as float32 of shape (n, y, x); edges as in `frame`."""
        return np.stack([_without_nan_edges(frame.astype(np.float32)) for frame in self.stream(indices)])

    def stream(self, indices: Iterable[int]) -> Iterator[NDArray[np.generic]]:
        """Yield chosen frames, computed, in their order; the next ones are computed while one is in use."""
        numbers = (int(index) for index in indices)
        if isinstance(self.data, np.ndarray):
            yield from (self.data[number] for number in numbers)
            return
        at_once = frames_at_once(self.shape[1:]) if max(self.data.chunks[0]) == 1 else 1
        for frames in compute_ahead(self._computed, self._blocks(numbers), at_once):
            yield from frames

    def _blocks(self, numbers: Iterator[int]) -> Iterator[list[int]]:
        """Yield numbers in their order, together those in one chunk, which is computed as a whole for each block."""
        stops = np.cumsum(self.data.chunks[0])  # type: ignore[union-attr]
        most = max(1, BLOCK_PX // (self.shape[1] * self.shape[2]))
        for _, there in groupby(numbers, lambda number: np.searchsorted(stops, number, side="right")):
            while block := list(islice(there, most)):
                yield block

    def _computed(self, block: list[int]) -> NDArray[np.generic]:
        frames = self.data[block[0] : block[-1] + 1] if block == [*range(block[0], block[-1] + 1)] else self.data[block]
        return np.asarray(frames.compute(scheduler="synchronous"))  # type: ignore[union-attr]

    def with_data(self, data: "NDArray[np.generic] | da.Array", name: str | None = None) -> Self:
        """Return a movie of other data with this one's calibration."""
        return replace(self, data=data, name=self.name if name is None else name, notes=(), signals=())


def without_blank_ends(movie: Movie) -> Movie:
    """Return a movie from its first to its last usable frame; all of them are read.

    Parameters
    ----------
    movie : Movie
        The movie.

    Returns
    -------
    Movie

    Raises
    ------
    ValueError
        If fewer than two frames are usable.
    """
    usable = [index for index, frame in enumerate(movie.stream(range(len(movie)))) if not is_bad_frame(frame)]
    if len(usable) < 2:
        raise ValueError(f"{movie.name}: found fewer than two usable frames; expected some that are not blank")
    return movie.with_data(movie.data[usable[0] : usable[-1] + 1])


def _without_nan_edges(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    corners = frame[:: max(1, len(frame) - 1), :: max(1, frame.shape[1] - 1)]
    return frame if np.isfinite(corners).all() else fill_edges(frame)
