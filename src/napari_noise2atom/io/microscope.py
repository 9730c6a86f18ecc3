"""Files of microscopes and HyperSpy, parsed by RosettaSciIO: an optional extra that is called, never copied."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from napari_noise2atom.movie import Movie

from .frames import MAX_FRAME_PX, MAX_FRAMES, MovieFileError, check_shape, movie_name, reason
from .signals import choose_signal
from .units import is_reciprocal, length_nm, time_s

__all__ = ["MICROSCOPE_READERS", "read_microscope"]

MICROSCOPE_READERS = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".hspy": "hspy",
    ".zspy": "zspy",
}
"""Which RosettaSciIO reader takes which ending."""
_STORED_PLAIN = {".dm3", ".dm4"}
_OPTIONS: dict[str, dict[str, Any]] = {
    ".dm3": {"chunks": {0: 1}},
    ".dm4": {"chunks": {0: 1}},
    # leave out the spectra, but keep all the frames that were recorded with them
    ".emd": {"select_type": "images", "load_SI_image_stack": True},
    # without it, a lazily read store is opened for writing
    ".zspy": {"mode": "r"},
}


@dataclass(frozen=True, slots=True)
class _Signal:
    """One data set of a file."""

    name: str
    data: Any
    axes: list[dict[str, Any]]
    problem: str
    """Why it is no movie, if it is none."""


def read_microscope(path: Path, signal: int | str | None = None) -> Movie:
    """Read a file of a microscope lazily.

    Parameters
    ----------
    path : Path
        The file; its ending chooses the reader.
    signal : int, str or None
        Which of the movies in the file, by number or name; None takes the first.

    Returns
    -------
    Movie
        With pixel size [nm] and frame time [s] where the file knows them.

    Raises
    ------
    ValueError
        If RosettaSciIO is missing, the file cannot be read, or holds no movie.
    """
    signals = [_signal(found, i) for i, found in enumerate(_parse(path))]
    movies = [found for found in signals if not found.problem]
    if not movies:
        found = "; ".join(f"{s.name!r} is {s.problem}" for s in signals[:5]) or "the file is empty"
        raise MovieFileError(f"{path.name}: no movie in it, {found}; expected frames along one axis, open such a file")
    chosen = choose_signal([movie.name for movie in movies], signal, path.name)
    return replace(_movie(path, movies[chosen.number], chosen.notes), signals=chosen.names)


def _movie(path: Path, chosen: _Signal, notes: tuple[str, ...]) -> Movie:
    time, _, column = chosen.axes
    check_shape(path.name, chosen.data.shape, chosen.data.dtype)
    data = da.asarray(chosen.data)  # type: ignore[no-untyped-call]
    if path.suffix.lower() in _STORED_PLAIN and data.nbytes > path.stat().st_size:
        raise MovieFileError(
            f"{path.name}: its header asks for {data.nbytes} bytes of frames but the file has {path.stat().st_size}; "
            "copy it again from its source"
        )
    data = data.rechunk((1, *data.shape[1:])).astype(data.dtype.newbyteorder("="))
    if is_reciprocal(column.get("units")):
        notes += (f"{path.name}: its axes are in {column.get('units')}, these are diffraction patterns, not images.",)
    pixel = length_nm(_magnitude(column.get("scale")), column.get("units"))
    frame_time = time_s(_magnitude(time.get("scale")), time.get("units"))
    return Movie(data, pixel, frame_time, movie_name(path), notes)


def _magnitude(scale: object) -> float | None:
    """Return the size of a step whatever its direction."""
    return abs(float(scale)) if isinstance(scale, (int, float, np.number)) else None


def _parse(path: Path) -> list[dict[str, Any]]:
    reader = _reader(MICROSCOPE_READERS[path.suffix.lower()])
    options = _OPTIONS.get(path.suffix.lower(), {})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: list[dict[str, Any]] = reader(str(path), lazy=True, **options)
    except ImportError as error:
        raise MovieFileError(f"{path.name}: RosettaSciIO needs another package for it; {reason(error)}") from error
    except Exception as error:
        # readers of binary formats raise anything from struct.error to RecursionError on a damaged file
        raise MovieFileError(
            f"{path.name}: not a readable {path.suffix.lower()} file ({reason(error)}); copy it again from its source"
        ) from error
    return found


def _reader(name: str) -> Callable[..., Any]:
    try:
        module = import_module(f"rsciio.{name}")
    except ImportError as error:
        raise MovieFileError(
            f"reading this file needs RosettaSciIO ({reason(error)}); pip install 'napari-noise2atom[em]'"
        ) from error
    reader: Callable[..., Any] = module.file_reader
    return reader


def _signal(found: dict[str, Any], number: int) -> _Signal:
    data, axes = found["data"], sorted(found["axes"], key=lambda axis: axis.get("index_in_array") or 0)
    if len(axes) == data.ndim:
        # axes of length one are left out, as in a stack of one channel
        kept = [i for i, n in enumerate(data.shape) if n != 1]
        axes, data = [axes[i] for i in kept], data.reshape([data.shape[i] for i in kept])
    title = found.get("metadata", {}).get("General", {}).get("title")
    name = str(title or f"signal {number}")
    return _Signal(name, data, axes, _problem(found, data, axes))


def _problem(found: dict[str, Any], data: Any, axes: list[dict[str, Any]]) -> str:
    kind = str(found.get("metadata", {}).get("Signal", {}).get("signal_type", ""))
    if data.dtype.kind not in "uif":
        return f"of type {data.dtype}"
    if data.ndim != 3 or len(axes) != 3:
        return {0: "a number", 1: "a spectrum or profile", 2: "a single image"}.get(
            data.ndim, f"{data.ndim}-dimensional"
        )
    if kind.startswith(("EELS", "EDS", "CL")) or [bool(a.get("navigate")) for a in axes] == [True, True, False]:
        return "a map of spectra"
    if data.shape[1] * data.shape[2] > MAX_FRAME_PX or data.shape[0] > MAX_FRAMES:
        return f"of the impossible shape {data.shape}"
    return ""
