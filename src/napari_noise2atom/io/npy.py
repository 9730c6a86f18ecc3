"""NumPy files: a movie as a bare array, without calibration."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

from .frames import MAX_FRAME_PX, MovieFileError, check_shape, lazy_frames, missing_note, movie_name, raw_frames, reason

__all__ = ["read_npy", "read_npy_frame"]


def read_npy(path: Path) -> Movie:
    """Map a ``.npy`` file of shape (t, y, x).

    Raises
    ------
    ValueError
        If the file is no such array.
    """
    shape, fortran, dtype, start = _header(path)
    check_shape(path.name, shape, dtype)
    there = (path.stat().st_size - start) // (shape[1] * shape[2] * dtype.itemsize)
    if fortran:
        if there < shape[0]:
            raise MovieFileError(f"{path.name}: the file is cut off; copy it again from its source")
        array = np.memmap(path, dtype, "r", offset=start, shape=(shape[0], shape[1], shape[2]), order="F")
        return Movie(lazy_frames(array.__getitem__, array.shape, dtype, path.name), name=movie_name(path))
    frames = min(there, shape[0])
    check_shape(f"{path.name} (cut off)" if frames < shape[0] else path.name, (frames, *shape[1:]), dtype)
    starts = start + np.arange(frames, dtype=np.int64) * (shape[1] * shape[2] * dtype.itemsize)
    data = raw_frames(path, starts, (shape[1], shape[2]), dtype)
    return Movie(data, name=movie_name(path), notes=missing_note(path.name, frames, shape[0]))


def read_npy_frame(path: Path) -> NDArray[Any]:
    """Return the single image of a ``.npy`` file, shape (y, x)."""
    shape, fortran, dtype, start = _header(path)
    if len(shape) != 2 or dtype.kind not in "uif" or not 0 < shape[0] * shape[1] <= MAX_FRAME_PX:
        raise MovieFileError(f"{path.name}: got {dtype} of shape {shape}; expected one grey image of axes (y, x)")
    if start + shape[0] * shape[1] * dtype.itemsize > path.stat().st_size:
        raise MovieFileError(f"{path.name}: the file is cut off; copy it again from its source")
    image = np.memmap(path, dtype, "r", offset=start, shape=(shape[0], shape[1]), order="F" if fortran else "C")
    return image.astype(dtype.newbyteorder("="))


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether columns come first, type, and where the numbers start."""
    formats = np.lib.format
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = formats.read_magic(file)
            read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
            shape, fortran, dtype = read(file)
            return tuple(shape), fortran, dtype, file.tell()
    except Exception as error:
        # a damaged header raises whatever Python's parser of literals raises
        raise MovieFileError(
            f"{path.name}: not a readable NumPy file ({reason(error)}); write it with numpy.save"
        ) from error
