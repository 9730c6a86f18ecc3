"""A folder of single frames, one file each, in natural order."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

from .frames import MAX_FRAME_PX, MovieFileError, lazy_frames
from .npy import read_npy_frame
from .tiff import read_tiff_frame, tiff_pixel_nm

__all__ = ["natural_order", "read_folder"]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which ``frame10`` comes after ``frame9``."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"([0-9]+)", name)]


def read_folder(path: Path) -> Movie:
    """Read a folder of TIFF, PNG or NumPy files as a movie, each file a frame.

    Frames are opened when they are needed; a frame of another size than the first raises then.

    Raises
    ------
    ValueError
        If the folder holds no frames, frames of several formats, or a first frame that is no grey image.
    """
    files = sorted((f for f in path.iterdir() if _is_frame(f)), key=lambda f: natural_order(f.name))
    kinds = sorted({_FORMATS[f.suffix.lower()][0] for f in files})
    if not files:
        raise MovieFileError(f"{path.name}: no frames in this folder; expected files ending in {', '.join(_FORMATS)}")
    if len(kinds) > 1:
        raise MovieFileError(f"{path.name}: holds frames of several formats, {', '.join(kinds)}; keep one of them")
    if len(files) == 1:
        raise MovieFileError(
            f"{path.name}: holds a single frame, {files[0].name}; expected two or more, or open the file"
        )

    def read(index: int) -> NDArray[Any]:
        return _FORMATS[files[index].suffix.lower()][1](files[index])

    first = read(0)
    shape = (len(files), first.shape[0], first.shape[1])
    pixel = tiff_pixel_nm(files[0]) if kinds == ["TIFF"] else None
    return Movie(lazy_frames(read, shape, first.dtype, path.name), pixel, name=path.name)


def _is_frame(path: Path) -> bool:
    return path.suffix.lower() in _FORMATS and not path.name.startswith(".") and path.is_file()


def _read_png_frame(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        head = file.read(33)
        width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
        if not head.startswith(b"\x89PNG") or not 0 < width * height <= MAX_FRAME_PX:
            raise MovieFileError(f"{path.name}: not a readable PNG image; copy it again from its source")
        file.seek(0)
        image = np.asarray(imagecodecs.png_decode(file.read()))
    if image.ndim != 2:
        raise MovieFileError(f"{path.name}: got a colour image; expected grey frames, convert them")
    return image


_FORMATS: dict[str, tuple[str, Callable[[Path], NDArray[Any]]]] = {
    ".tif": ("TIFF", read_tiff_frame),
    ".tiff": ("TIFF", read_tiff_frame),
    ".png": ("PNG", _read_png_frame),
    ".npy": ("NumPy", read_npy_frame),
}
