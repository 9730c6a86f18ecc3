"""A folder of single frames, one file each, in natural order."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

from .frames import MAX_FRAME_PX, MovieFileError, lazy_frames
from .npy import read_npy_frame
from .tiff import read_tiff_frame, tiff_pixel_nm

__all__ = ["find_frames", "natural_order", "read_files", "read_folder"]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which ``frame10`` comes after ``frame9``."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"([0-9]+)", name)]


def find_frames(path: Path) -> list[Path]:
    """Return the files in a folder that may be frames, in natural order.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    list of Path
        TIFF, PNG and NumPy files; hidden ones are left out.
    """
    return _ordered([file for file in path.iterdir() if _is_frame(file)])


def read_folder(path: Path) -> Movie:
    """Read a folder of TIFF, PNG or NumPy files as a movie, each file a frame.

    Frames are opened when they are needed; a frame of another size than the first, or of a type with
    more values, raises then.

    Raises
    ------
    ValueError
        If the folder holds no frames, frames of several formats, or a first frame that is no grey image.
    """
    files = find_frames(path)
    if not files:
        raise MovieFileError(f"{path.name}: no frames in this folder; expected files ending in {', '.join(_FORMATS)}")
    return _read(files, path.name)


def read_files(paths: Sequence[str | Path]) -> Movie:
    """Read chosen TIFF, PNG or NumPy files as a movie, each file a frame, in natural order of their names.

    Parameters
    ----------
    paths : sequence of str or Path
        The files; the movie is called like the folder of the first.

    Returns
    -------
    Movie

    Raises
    ------
    ValueError
        If a file is missing or none of a frame, formats differ, or the first frame is no grey image.
    """
    files = _ordered([Path(path) for path in paths])
    if strange := [file.name for file in files if not _is_frame(file)]:
        raise MovieFileError(
            f"{strange[0]}: no file of a single frame; expected {', '.join(_FORMATS)}, open movies one by one"
        )
    if not files:
        raise MovieFileError("got no files; expected two or more, each a frame, choose them")
    return _read(files, files[0].resolve().parent.name)


def _read(files: list[Path], name: str) -> Movie:
    kinds = sorted({_FORMATS[f.suffix.lower()][0] for f in files})
    if len(kinds) > 1:
        raise MovieFileError(f"{name}: holds frames of several formats, {', '.join(kinds)}; keep one of them")
    if len(files) == 1:
        raise MovieFileError(f"{name}: holds a single frame, {files[0].name}; expected two or more, or open the file")

    def read(index: int) -> NDArray[Any]:
        return _FORMATS[files[index].suffix.lower()][1](files[index])

    first = read(0)
    shape = (len(files), first.shape[0], first.shape[1])
    pixel = tiff_pixel_nm(files[0]) if kinds == ["TIFF"] else None
    return Movie(lazy_frames(read, shape, first.dtype, name), pixel, name=name)


def _ordered(files: list[Path]) -> list[Path]:
    return sorted(files, key=lambda file: natural_order(file.name))


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
