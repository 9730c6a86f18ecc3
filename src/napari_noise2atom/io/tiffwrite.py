"""TIFF stacks that ImageJ and Fiji open with their calibration."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

__all__ = ["write_tiff"]

_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_CLASSIC_BYTES = 2**32 - 2**25
"""Largest stack with offsets of 32 bits, with room for the directories."""


def write_tiff(movie: Movie, path: str | Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a movie as an ImageJ hyperstack, computing few frames at a time.

    ImageJ knows uint8, uint16 and float32; other types are written as float32. A stack of more than 4 GB becomes an
    OME-BigTIFF, which ImageJ opens through Bio-Formats. The file appears under its name when it is complete.

    Parameters
    ----------
    movie : Movie
        The movie; its data may be lazy.
    path : str or Path
        File to write; an existing one is replaced.
    progress : callable, optional
        Is told the number of frames that are done, and of all.
    """
    path = Path(path)
    dtype = np.dtype(movie.data.dtype.name if movie.data.dtype.name in _IMAGEJ_TYPES else "float32")
    big = int(np.prod(movie.shape, dtype=object)) * dtype.itemsize > _CLASSIC_BYTES
    options = _ome_options(movie) if big else _imagej_options(movie)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with tifffile.TiffWriter(partial, bigtiff=big, imagej=not big, ome=big) as file:
            frames = _frames(movie, dtype, progress)
            file.write(frames, shape=movie.shape, dtype=dtype, photometric="minisblack", **options)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _frames(
    movie: Movie, dtype: np.dtype[Any], progress: Callable[[int, int], None] | None
) -> Iterator[NDArray[np.generic]]:
    for done, frame in enumerate(movie.stream(range(len(movie))), start=1):
        yield np.ascontiguousarray(frame.astype(dtype, copy=False))
        if progress:
            progress(done, len(movie))


def _imagej_options(movie: Movie) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TYX"}
    options: dict[str, Any] = {"metadata": metadata}
    if movie.pixel_size_nm:
        metadata["unit"] = "nm"
        options["resolution"] = (1 / movie.pixel_size_nm, 1 / movie.pixel_size_nm)
    if movie.frame_time_s:
        metadata |= {"finterval": movie.frame_time_s, "fps": 1 / movie.frame_time_s, "tunit": "s"}
    return options


def _ome_options(movie: Movie) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TYX", "Name": movie.name}
    if movie.pixel_size_nm:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": movie.pixel_size_nm, f"PhysicalSize{axis}Unit": "nm"}
    if movie.frame_time_s:
        metadata |= {"TimeIncrement": movie.frame_time_s, "TimeIncrementUnit": "s"}
    return {"metadata": metadata}
