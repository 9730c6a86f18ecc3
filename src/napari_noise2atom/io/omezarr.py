"""OME-Zarr (0.4 and 0.5): read lazily, written one frame a chunk so that a killed run can go on."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from dask.utils import SerializableLock
from numpy.typing import NDArray

from napari_noise2atom.movie import BLOCK_PX, Movie

from .frames import MovieFileError, check_shape, lazy_frames, movie_name, reason
from .signals import choose_signal
from .units import length_nm, time_s

__all__ = ["begin_zarr", "is_zarr", "read_zarr", "write_frame", "write_zarr"]

_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_LEVEL = "0"
RECIPE = "noise2atom"
"""Attribute that tells how a movie was made."""


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr store."""
    return any((path / mark).is_file() for mark in _MARKS)


def read_zarr(path: Path, signal: int | str | None = None) -> Movie:
    """Read the full resolution of an OME-Zarr movie, or a bare Zarr array of shape (t, y, x), lazily.

    Parameters
    ----------
    path : Path
        The folder.
    signal : int, str or None
        Which channel or image, by number or name; None takes the first that is a movie.

    Returns
    -------
    Movie

    Raises
    ------
    ValueError
        If the folder is no Zarr store, or holds no movie.
    """
    if not is_zarr(path):
        raise MovieFileError(
            f"{path.name}: not a Zarr store, it has no {' or '.join(_MARKS[:2])}; choose another folder"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            node = zarr.open(str(path), mode="r")
            images = _images(node)
            movies = [view for image in images for view in _views(*image)]
    except Exception as error:
        # metadata are JSON by any hand: a wrong type in it raises anything
        raise MovieFileError(
            f"{path.name}: not a readable OME-Zarr ({reason(error)}); expected multiscales metadata, write it anew"
        ) from error
    if not movies:
        raise MovieFileError(f"{path.name}: no array in this Zarr store; expected an OME-Zarr movie with axes t, y, x")
    usable = [view for view in movies if not view.problem] or movies[:1]
    chosen = choose_signal([view.name for view in usable], signal, path.name)
    return replace(usable[chosen.number].movie(path, chosen.notes), signals=chosen.names)


class _View:
    """One time series of images in a Zarr array; other axes are fixed."""

    def __init__(
        self, name: str, array: zarr.Array[Any], axes: list[dict[str, Any]], scale: list[float], at: int
    ) -> None:
        self.name, self.array, self.axes, self.scale = name, array, axes, scale
        letters = [str(axis.get("name", "")).lower() for axis in axes]
        long = [i for i, n in enumerate(array.shape[:-2]) if n > 1 and letters[i] != "c"]
        self.time = long[0] if long else 0
        self.key = [at if letter == "c" else 0 for letter in letters[:-2]]
        images = letters[-2:] == ["y", "x"] and array.ndim > 2
        self.problem = "" if images and len(long) == 1 else f"an array of shape {array.shape}, axes {','.join(letters)}"

    def movie(self, path: Path, notes: tuple[str, ...]) -> Movie:
        if self.problem:
            raise MovieFileError(
                f"{path.name}: got {self.problem}; expected a movie with axes t, y, x, save such a part"
            )
        array, lead = self.array, len(self.key)
        shape = (array.shape[self.time], array.shape[lead], array.shape[lead + 1])
        check_shape(path.name, shape, array.dtype)
        x, t = self.axes[-1], self.axes[self.time]
        pixel = length_nm(self.scale[-1], x.get("unit", ""))
        frame_time = time_s(self.scale[self.time], t.get("unit", ""))
        data = lazy_frames(_ChunkReader(array, self.key, self.time), shape, array.dtype, path.name)
        return Movie(data, pixel, frame_time, movie_name(path), notes + _unwritten(path.name, array))


class _ChunkReader:
    """Reads frames; of a chunk of several, all at once, since it is decoded as a whole for any of them."""

    def __init__(self, array: zarr.Array[Any], key: list[int], time: int) -> None:
        self._array, self._key, self._time = array, key, time
        self._length = array.chunks[time]
        self._lock = SerializableLock()
        self._kept: dict[int, NDArray[Any]] = {}
        """The latest chunks: two, since frames are read in several threads, not quite in order."""

    def __call__(self, index: int) -> NDArray[Any]:
        if self._length == 1 or self._length * np.prod(self._array.shape[-2:]) > BLOCK_PX:
            return self._read(index)
        number, within = divmod(index, self._length)
        with self._lock:
            if number not in self._kept:
                chunk = self._read(slice(number * self._length, (number + 1) * self._length))
                self._kept = dict([*self._kept.items()][-1:]) | {number: chunk}
            frame: NDArray[Any] = self._kept[number][within].copy()
        return frame

    def _read(self, time: int | slice) -> NDArray[Any]:
        key: list[Any] = [*self._key, slice(None), slice(None)]
        key[self._time] = time
        return np.asarray(self._array[tuple(key)])


def _images(node: Any) -> list[tuple[str, Any, list[dict[str, Any]], list[float]]]:
    """Return name, full-resolution array, axes and scale of each image in a store."""
    if isinstance(node, zarr.Array):
        names = [*["?"] * (node.ndim - 2), "y", "x"][-node.ndim :]
        return [("movie", node, [{"name": name} for name in names], [1.0] * node.ndim)]
    attributes = dict(node.attrs)
    described = attributes.get("ome", attributes).get("multiscales", [])
    images = []
    for number, multiscale in enumerate(described):
        level = multiscale["datasets"][0]
        array = node[level["path"]]
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale["axes"]]
        if len(axes) != array.ndim:
            raise MovieFileError(f"{len(axes)} axes are described, the array has {array.ndim}")
        scale = np.ones(array.ndim)
        for source in (multiscale, level):
            for step in source.get("coordinateTransformations", []):
                scale = scale * np.asarray(step.get("scale", 1.0), float)
        images.append((str(multiscale.get("name") or f"image {number}"), array, axes, scale.tolist()))
    if described:
        return images
    # a store of several images without metadata of its own, as bioformats2raw and HCS plates have
    return [(f"{name} {title}", *rest) for name, group in node.groups() for title, *rest in _images(group)] + [
        (name, *rest) for name, array in node.arrays() for _, *rest in _images(array)
    ]


def _views(name: str, array: Any, axes: list[dict[str, Any]], scale: list[float]) -> list[_View]:
    """Return one view for each channel."""
    channels = [n for axis, n in zip(axes, array.shape, strict=True) if str(axis.get("name", "")).lower() == "c"]
    if not channels or channels[0] == 1:
        return [_View(name, array, axes, scale, 0)]
    return [_View(f"{name} channel {c + 1}", array, axes, scale, c) for c in range(min(channels[0], 64))]


def _unwritten(name: str, array: Any) -> tuple[str, ...]:
    """Return a note if chunks are not in the store: a write that was broken off, or chunks without content."""
    if array.nchunks > 2**20 or (there := array.nchunks_initialized) >= array.nchunks:
        return ()
    if array.nchunks == array.shape[0]:
        return (f"{name}: {there} of {array.nchunks} frames are there, the others read as {array.fill_value}.",)
    return (f"{name}: {there} of {array.nchunks} chunks are there, the others read as {array.fill_value}.",)


def write_zarr(
    movie: Movie,
    path: str | Path,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> None:
    """Write a movie as OME-Zarr 0.5, one chunk a frame, computing few frames at a time.

    The parameters are those of `write_movie`. An unfinished folder is resumed even when its writing was killed; only
    frames that are not there are computed.

    Raises
    ------
    ValueError
        If there is something at that path already, or, to resume, something else than this movie.
    """
    path = Path(path)
    missing = begin_zarr(movie, path, resume, recipe)
    done = len(movie) - len(missing)
    if progress:
        progress(done, len(movie))
    for index, frame in zip(missing, movie.stream(missing), strict=True):
        _store(path, index, frame)
        done += 1
        if progress:
            progress(done, len(movie))


def begin_zarr(movie: Movie, path: Path, resume: bool, recipe: Mapping[str, Any] | None = None) -> list[int]:
    """Make the folder, or open an unfinished one; return the frames that are not there."""
    if path.exists() and not resume:
        raise MovieFileError(f"{path.name}: is there already; delete it, choose another name, or resume")
    if path.exists() and any(path.iterdir()):
        _check_resumable(movie, path, recipe)
    else:
        _create(movie, path, recipe)
    return [index for index in range(len(movie)) if not _chunk(path, index).exists()]


def write_frame(movie: Movie, path: Path, index: int) -> None:
    """Compute a frame and write it into a folder that was begun, in one instant; one that is there is left alone."""
    if not _chunk(path, index).exists():
        _store(path, index, np.asarray(movie.data[index]))


def _store(path: Path, index: int, frame: NDArray[np.generic]) -> None:
    array = zarr.open_array(str(path / _LEVEL), mode="r+", zarr_format=3)
    # by default a frame of zeros leaves no trace, and would be computed again and again
    array.with_config({"write_empty_chunks": True})[index] = frame


def _chunk(path: Path, index: int) -> Path:
    return path / _LEVEL / "c" / str(index) / "0" / "0"


def _create(movie: Movie, path: Path, recipe: Mapping[str, Any] | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    group.create_array(
        _LEVEL,
        shape=movie.shape,
        chunks=(1, *movie.shape[1:]),
        dtype=movie.data.dtype.newbyteorder("="),
        dimension_names=["t", "y", "x"],
    )
    if recipe is not None:
        group.attrs[RECIPE] = dict(recipe)
    # last, so that a folder with metadata always has its array
    group.attrs["ome"] = _metadata(movie)


def _metadata(movie: Movie) -> dict[str, Any]:
    pixel, frame_time = movie.pixel_size_nm, movie.frame_time_s
    space = {"type": "space"} | ({"unit": "nanometer"} if pixel else {})
    time = {"type": "time"} | ({"unit": "second"} if frame_time else {})
    scale = [frame_time or 1.0, pixel or 1.0, pixel or 1.0]
    level = {"path": _LEVEL, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    axes = [{"name": "t"} | time, {"name": "y"} | space, {"name": "x"} | space]
    return {"version": "0.5", "multiscales": [{"name": movie.name, "axes": axes, "datasets": [level]}]}


def _check_resumable(movie: Movie, path: Path, recipe: Mapping[str, Any] | None) -> None:
    """Refuse what is not this movie; make it anew if it was killed before its metadata were whole."""
    try:
        group = zarr.open_group(str(path), mode="r+", zarr_format=3)
        described = group.attrs.get("ome")
        array = group[_LEVEL] if described else None
    except Exception as error:
        raise MovieFileError(
            f"{path.name}: is there already but no movie that could be resumed ({reason(error)}); choose another name"
        ) from error
    if not isinstance(array, zarr.Array):
        if set(group) <= {_LEVEL} and not any((path / _LEVEL / "c").glob("*")):
            _create(movie, path, recipe)
            return
        raise MovieFileError(f"{path.name}: is there already but no movie of this program; choose another name")
    wanted, chunks = (movie.shape, movie.data.dtype.newbyteorder("=")), (1, *movie.shape[1:])
    if (array.shape, array.dtype) != wanted or array.chunks != chunks or described != _metadata(movie):
        raise MovieFileError(
            f"{path.name}: holds another movie, {array.dtype} of shape {array.shape}; expected {wanted[1]} of shape "
            f"{wanted[0]} with the same name and calibration, choose another name"
        )
    if group.attrs.get(RECIPE) != json.loads(json.dumps(recipe)):
        raise MovieFileError(
            f"{path.name}: was begun with another model or another part of the movie; go on with that one, or choose "
            "another name"
        )
