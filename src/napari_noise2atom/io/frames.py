"""Frames that are read one at a time, and the one sentence that says why a file is no movie."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_FRAMES",
    "MAX_FRAME_PX",
    "MovieFileError",
    "SameFile",
    "check_shape",
    "lazy_frames",
    "missing_note",
    "movie_name",
    "raw_frames",
    "reason",
]

MAX_FRAME_PX = 2**28
"""Largest frame that is taken for an image, 16384 × 16384 [px]; a larger one is a broken header."""
MAX_FRAMES = 2**20
"""Longest movie; more frames are a broken header, and would drown dask in chunks."""


class MovieFileError(ValueError):
    """A file is no readable movie; the message is one sentence for the user."""


class _ReplacedError(MovieFileError):
    """Another file has the name of the one whose layout is known."""

    def __init__(self) -> None:
        super().__init__("another file has its name now")


class SameFile:
    """Makes sure that a name still means the file that was opened; one that has only grown is the same.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._identity = path, self._now(path)

    @staticmethod
    def _now(path: Path) -> tuple[int, int]:
        there = path.stat()
        return there.st_dev, there.st_ino

    def check(self) -> None:
        """Raise if it does not."""
        if self._now(self._path) != self._identity:
            raise _ReplacedError


def reason(error: BaseException) -> str:
    """Return the first line of an exception, shortened, or its type if it has no text."""
    lines = str(error).strip().splitlines()
    text = lines[0][:160].rstrip(". ") if lines else ""
    return text or type(error).__name__


def movie_name(path: Path) -> str:
    """Return a file's name without its ending, for ``movie.ome.tif`` too."""
    return path.stem.removesuffix(".ome")


def missing_note(name: str, there: int, promised: int) -> tuple[str, ...]:
    """Return a note if a file holds fewer frames than its header promises, else nothing."""
    if there >= promised:
        return ()
    return (f"{name}: {there} of {promised} frames are there, the file was cut off or damaged.",)


def check_shape(name: str, shape: Sequence[int], dtype: Any) -> None:
    """Refuse what is no stack of at least two images of real numbers.

    Parameters
    ----------
    name : str
        The file's name, for the message.
    shape : sequence of int
        Shape of the array, frames first.
    dtype : dtype
        Type of its values.

    Raises
    ------
    ValueError
        With a sentence that says what was found, what was expected, and what to do.
    """
    shape, dtype = tuple(int(n) for n in shape), np.dtype(dtype)
    if dtype.kind not in "uif":
        raise MovieFileError(
            f"{name}: got values of type {dtype}; expected grey values, integers or floats, convert them"
        )
    if len(shape) == 2:
        raise MovieFileError(
            f"{name}: got a single image of {shape[0]} × {shape[1]} px; expected a movie, open one, or a folder of "
            "such images"
        )
    if len(shape) != 3:
        raise MovieFileError(
            f"{name}: got an array of shape {shape}; expected a movie with the axes (t, y, x)"
            f"{', save one such part of it' if len(shape) > 3 else ''}"
        )
    if shape[0] < 2:
        raise MovieFileError(f"{name}: got {_counted(shape[0])}; expected a movie, open one with at least two frames")
    if min(shape) < 1 or shape[1] * shape[2] > MAX_FRAME_PX or shape[0] > MAX_FRAMES:
        raise MovieFileError(
            f"{name}: its header asks for the shape {shape}; expected at most {MAX_FRAMES} frames of {MAX_FRAME_PX} "
            "pixels, copy the file again from its source"
        )


def _counted(frames: int) -> str:
    return "a single frame" if frames == 1 else f"{frames} frames"


class _Frames:
    """An array-like of shape (t, y, x) that reads whole frames on demand."""

    ndim = 3

    def __init__(self, read: Callable[[int], NDArray[Any]], shape: tuple[int, int, int], dtype: Any, name: str) -> None:
        self.read, self.shape, self.dtype, self.name = read, shape, np.dtype(dtype), name

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        chosen = np.arange(self.shape[0])[key[0]]
        images = [self._frame(int(i))[key[1:]] for i in np.atleast_1d(chosen)]
        return images[0] if np.ndim(chosen) == 0 else np.stack(images)

    def _frame(self, index: int) -> NDArray[Any]:
        try:
            image = self.read(index)
            if image.shape != self.shape[1:]:
                raise MovieFileError(f"its shape is {image.shape}, expected {self.shape[1:]}")
        except Exception as error:
            advice = "open it again" if isinstance(error, _ReplacedError) else "copy the file again from its source"
            raise MovieFileError(f"{self.name}: frame {index} cannot be read ({reason(error)}); {advice}") from error
        # what does not fit would wrap around or lose its decimals, and nobody would know
        if not np.can_cast(image.dtype, self.dtype, "safe"):
            raise MovieFileError(
                f"{self.name}: frame {index} is {image.dtype.name}, the first is {self.dtype.name}; convert them to "
                "one type"
            )
        return image.astype(self.dtype, copy=False)


def lazy_frames(read: Callable[[int], NDArray[Any]], shape: tuple[int, int, int], dtype: Any, name: str) -> da.Array:
    """Return a dask array, one chunk a frame, whose frames are read when they are computed.

    Parameters
    ----------
    read : callable
        Returns the frame of a number as an array of shape (y, x).
    shape : tuple of int
        Frames, rows, columns.
    dtype : dtype
        Type of the grey values; what comes out has the machine's byte order.
    name : str
        The file's name, for messages.

    Returns
    -------
    dask array, shape (t, y, x)

    Raises
    ------
    ValueError
        If the shape or type is that of no movie.
    """
    check_shape(name, shape, dtype)
    source = _Frames(read, shape, np.dtype(dtype).newbyteorder("="), name)
    meta = np.empty((0, 0, 0), source.dtype)
    chunks = (1, shape[1], shape[2])
    frames: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        source, chunks=chunks, name=False, asarray=False, fancy=False, meta=meta
    )
    return frames


class _RawReader:
    """Maps one frame of a file; the file is open only while its frame is in use."""

    def __init__(self, path: Path, starts: NDArray[np.int64], shape: tuple[int, int], dtype: Any) -> None:
        self.path, self.starts, self.shape, self.dtype = path, starts, shape, np.dtype(dtype)
        self.same_file = SameFile(path)

    def __call__(self, index: int) -> NDArray[Any]:
        self.same_file.check()
        return np.memmap(self.path, self.dtype, "r", offset=int(self.starts[index]), shape=self.shape)


def raw_frames(path: Path, starts: NDArray[np.int64], shape: tuple[int, int], dtype: Any) -> da.Array:
    """Return frames that lie uncompressed in a file, mapped when they are needed.

    Parameters
    ----------
    path : Path
        The file.
    starts : int64 array, shape (t,)
        Position of each frame [bytes].
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Type of the grey values in the file, with its byte order.

    Returns
    -------
    dask array, shape (t, y, x)
    """
    return lazy_frames(_RawReader(path, starts, shape, dtype), (len(starts), *shape), dtype, path.name)
