"""MRC stacks (MRC2014), as cameras and tomography programs write them."""

from pathlib import Path

import numpy as np

from napari_noise2atom.movie import Movie

from .frames import MovieFileError, check_shape, missing_note, movie_name, raw_frames

__all__ = ["read_mrc"]

_HEADER_BYTES = 1024
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def read_mrc(path: Path) -> Movie:
    """Map an MRC stack; its sections are the frames.

    Raises
    ------
    ValueError
        If the file is no MRC stack of real numbers.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    order = _byte_order(head, path.name)
    columns, rows, sections, mode = (int(n) for n in np.frombuffer(head, order + "i4", 4))
    if mode not in _TYPES:
        raise MovieFileError(
            f"{path.name}: got pixels of MRC mode {mode}; expected one of {', '.join(map(str, _TYPES))}, convert them"
        )
    dtype = np.dtype(order + _TYPES[mode])
    check_shape(path.name, (sections, rows, columns), dtype)
    extended = int(np.frombuffer(head, order + "i4", 1, 92)[0])
    start, frame_bytes = _HEADER_BYTES + max(0, extended), rows * columns * dtype.itemsize
    there = min(sections, max(0, path.stat().st_size - start) // frame_bytes)
    check_shape(f"{path.name} (cut off)" if there < sections else path.name, (there, rows, columns), dtype)
    data = raw_frames(path, start + np.arange(there, dtype=np.int64) * frame_bytes, (rows, columns), dtype)
    return Movie(
        data, _pixel_size_nm(head, order), name=movie_name(path), notes=missing_note(path.name, there, sections)
    )


def _byte_order(head: bytes, name: str) -> str:
    """Tell the byte order by the one in which the sizes make sense: machine stamps are often missing."""
    if len(head) == _HEADER_BYTES:
        for order in "<>":
            *sizes, mode = np.frombuffer(head, order + "i4", 4)
            if all(0 < n < 2**24 for n in sizes) and 0 <= mode < 128:
                return order
    raise MovieFileError(f"{name}: its header is not that of an MRC file; give the file its own ending")


def _pixel_size_nm(head: bytes, order: str) -> float | None:
    """Return the cell's length over its intervals, which is in Å."""
    intervals = int(np.frombuffer(head, order + "i4", 1, 28)[0])
    length = float(np.frombuffer(head, order + "f4", 1, 40)[0])
    size = length / intervals / 10 if intervals > 0 else 0.0
    return size if np.isfinite(size) and size > 0 else None
