"""One call for every format."""

from collections.abc import Callable
from pathlib import Path

from napari_noise2atom.movie import Movie

from .folder import read_folder
from .frames import MovieFileError, reason
from .microscope import MICROSCOPE_READERS, read_microscope
from .mrc import read_mrc
from .npy import read_npy
from .omezarr import is_zarr, read_zarr
from .ser import read_ser
from .tiff import read_tiff

__all__ = ["READABLE", "read_movie"]

_WITH_SIGNALS: dict[str, Callable[[Path, int | str | None], Movie]] = {
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".zarr": read_zarr,
    **dict.fromkeys(MICROSCOPE_READERS, read_microscope),
}
_OF_ONE: dict[str, Callable[[Path], Movie]] = {".npy": read_npy, ".mrc": read_mrc, ".mrcs": read_mrc, ".ser": read_ser}
READABLE = (*_WITH_SIGNALS, *_OF_ONE)
"""Endings that can be read, besides a folder of frames."""


def read_movie(path: str | Path, *, signal: int | str | None = None) -> Movie:
    """Read a movie with its calibration, lazily: one chunk a frame, nothing decoded but the first.

    Parameters
    ----------
    path : str or Path
        A TIFF, ``.npy``, ``.mrc`` or ``.ser`` file, an OME-Zarr folder, a folder of single frames; with the extra
        ``em`` also ``.dm3``, ``.dm4``, ``.emd``, ``.hspy``, ``.zspy``.
    signal : int, str or None
        Which movie to take from a file with several, by number or name. None takes the first, and a note of the
        movie names the others.

    Returns
    -------
    Movie
        Grey values as they are in the file. ``notes`` says what is worth knowing, such as missing frames.

    Raises
    ------
    ValueError
        With one sentence, if there is no readable movie.
    """
    path = Path(path)
    try:
        return _read(path, signal)
    except OSError as error:
        raise MovieFileError(
            f"{path.name}: cannot be opened ({error.strerror or reason(error)}); check the path"
        ) from error


def _read(path: Path, signal: int | str | None) -> Movie:
    if not path.exists():
        raise MovieFileError(f"{path}: there is no such file; check the name")
    ending = path.suffix.lower()
    if path.is_dir():
        if ending == ".zspy":
            return read_microscope(path, signal)
        return read_zarr(path, signal) if is_zarr(path) or ending == ".zarr" else _single(read_folder(path), signal)
    if ending == ".zarr":
        raise MovieFileError(f"{path.name}: got a file; expected a folder, as Zarr stores are, give its path")
    if path.stat().st_size == 0:
        raise MovieFileError(f"{path.name}: the file is empty; copy it again from its source")
    if ending in _WITH_SIGNALS:
        return _WITH_SIGNALS[ending](path, signal)
    if ending in _OF_ONE:
        return _single(_OF_ONE[ending](path), signal)
    raise MovieFileError(f"{path.name}: files ending in {ending or 'nothing'!r} are unknown; use {', '.join(READABLE)}")


def _single(movie: Movie, signal: int | str | None) -> Movie:
    """Refuse to choose where there is no choice."""
    if signal not in (None, 0, "0", movie.name):
        raise MovieFileError(f"{movie.name}: there is no signal {signal!r}; it holds a single movie, leave signal out")
    return movie
