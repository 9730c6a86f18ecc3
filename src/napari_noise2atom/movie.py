"""A movie: a stack of frames with its calibration."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from .edges import fill_edges, image_part
from .streaming import compute_ahead, frames_at_once

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Movie", "is_bad_frame"]


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
            yield from map(self._computed, numbers)
        else:
            yield from compute_ahead(self._computed, numbers, frames_at_once(self.shape[1:]))

    def _computed(self, index: int) -> NDArray[np.generic]:
        frame = self.data[index]
        return frame if isinstance(frame, np.ndarray) else np.asarray(frame.compute(scheduler="synchronous"))

    def with_data(self, data: "NDArray[np.generic] | da.Array", name: str | None = None) -> Self:
        """Return a movie of other data with this one's calibration."""
        return replace(self, data=data, name=self.name if name is None else name, notes=(), signals=())


def _without_nan_edges(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    corners = frame[:: max(1, len(frame) - 1), :: max(1, frame.shape[1] - 1)]
    return frame if np.isfinite(corners).all() else fill_edges(frame)
