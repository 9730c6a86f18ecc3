"""SER series of TIA (FEI/Thermo Fisher): a list of images, each with its own small header.

The layout follows the public description of the format by Chris Boothroyd.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

from .frames import MovieFileError, check_shape, lazy_frames, missing_note, movie_name

__all__ = ["read_ser"]

_TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
_IMAGES = 0x4122
_ELEMENT = struct.Struct("<ddiddiHii")
_UNTIMED_TAG_BYTES = 4
_LEAST_S = 20
"""Shortest series whose frame time the stamps tell [s]: each is a whole second, which is 5 % of it at most."""


@dataclass(frozen=True)
class _Header:
    total: int
    offsets: NDArray[np.int64]
    """Position of each element that is there."""
    tags: NDArray[np.int64]
    """Position of its time stamp."""


def read_ser(path: Path) -> Movie:
    """Read a SER series lazily.

    Frames are turned upside down, since TIA stores the lowest line first. The frame time comes from the time stamps,
    which have a resolution of one second; it is the mean over the series, and unknown of one shorter than 20 s.

    Raises
    ------
    ValueError
        If the file is no series of images of real numbers.
    """
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        header = _read_header(path.name, buffer, size)
        first = _read_element(path.name, buffer, header.offsets[0])
        shape, dtype, pixel_m = first
        fits = header.offsets + _ELEMENT.size + shape[0] * shape[1] * dtype.itemsize <= size
        starts = header.offsets[fits]
        check_shape(path.name, (len(starts), *shape), dtype)
        uneven = sum(_read_element(path.name, buffer, start)[:2] != first[:2] for start in starts)
        if uneven:
            raise MovieFileError(
                f"{path.name}: {uneven} of {len(starts)} images differ from the first in size or type; expected frames "
                "that are alike"
            )
        frame_time = _frame_time_s(buffer, header.tags[fits], size)

    def read(index: int) -> NDArray[np.generic]:
        stored = np.memmap(path, dtype, "r", offset=int(starts[index]) + _ELEMENT.size, shape=shape)
        return stored[::-1]

    data = lazy_frames(read, (len(starts), *shape), dtype, path.name)
    pixel_nm = pixel_m * 1e9 if np.isfinite(pixel_m) and pixel_m > 0 else None
    return Movie(data, pixel_nm, frame_time, movie_name(path), missing_note(path.name, len(starts), header.total))


def _read_header(name: str, buffer: mmap.mmap, size: int) -> _Header:
    if size < 30 or buffer[:4] != b"II\x97\x01":
        raise MovieFileError(f"{name}: its header is not that of a SER file; give the file its own ending")
    version, kind, _, total, valid = struct.unpack_from("<HIIII", buffer, 4)
    if kind != _IMAGES:
        raise MovieFileError(f"{name}: got a series of spectra; expected a series of images, open one")
    wide = version >= 0x220
    start = struct.unpack_from("<Q" if wide else "<I", buffer, 22)[0]
    width = 8 if wide else 4
    count = min(valid, max(0, size - start) // (2 * width))
    if valid < 1 or count < valid:
        raise MovieFileError(
            f"{name}: its table of {valid} images is not in the file ({size} bytes); copy it again from its source"
        )
    table = np.frombuffer(buffer[start : start + (total + valid) * width], f"<u{width}").astype(np.int64)
    offsets, tags = table[:valid], table[total : total + valid]
    if offsets.min() < 0 or offsets[0] + _ELEMENT.size > size:
        raise MovieFileError(f"{name}: its first image is not in the file; copy it again from its source")
    return _Header(total, offsets, tags if len(tags) == valid else np.zeros(0, np.int64))


def _read_element(name: str, buffer: mmap.mmap, start: int) -> tuple[tuple[int, int], np.dtype[np.generic], float]:
    """Return shape, type and pixel size [m] of one image."""
    _, pixel, _, _, _, _, kind, columns, rows = _ELEMENT.unpack_from(buffer, start)
    if kind not in _TYPES:
        raise MovieFileError(f"{name}: got images of the TIA type {kind}; expected integers or floats, convert them")
    return (rows, columns), np.dtype(_TYPES[kind]), abs(pixel)


def _frame_time_s(buffer: mmap.mmap, tags: NDArray[np.int64], size: int) -> float | None:
    if len(tags) < 2 or tags.min() < 0 or tags.max() + 8 > size:
        return None
    first, last = (struct.unpack_from("<I", buffer, int(at) + _UNTIMED_TAG_BYTES)[0] for at in (tags[0], tags[-1]))
    return (last - first) / (len(tags) - 1) if last - first >= _LEAST_S else None
