"""A movie as napari takes it for a layer, and a layer, made by whatever reader, as a movie; without napari."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import pint
from numpy.typing import NDArray

from napari_noise2atom.io import MovieFileError, lazy_frames
from napari_noise2atom.movie import Movie

__all__ = ["LOST_WIDTH", "LayerTuple", "calibration", "contrast_limits", "layer_data", "movie_of_layer"]

LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, what napari is told about them, and the type of the layer."""

LOST_WIDTH = "lost_width_px"
"""In a denoised layer's metadata: the blur that gives its spots the movie's own width back [px]."""
_UNKNOWN = "pixel"
"""What napari calls the unit of an axis without one; 'px' is a 96th of an inch to it, and 'frame' is refused."""
_PERCENTILES = (0.5, 99.8)
_SAMPLED_FRAMES = 5
_SAMPLED_PX = 2**16
"""Pixels looked at in each sampled frame; a percentile needs no more."""
_UNEVEN = 0.01
"""Relative difference of a pixel's sides above which it is worth a note."""


def layer_data(movie: Movie, **extra: Any) -> LayerTuple:
    """Return a movie as the tuple of an image layer.

    Parameters
    ----------
    movie : Movie
        The movie; a few of its frames are computed, unless `extra` has `contrast_limits`.
    **extra
        More that napari knows of image layers, such as ``visible=False``; it goes before what the movie tells.
        `metadata` is added to that of the movie.

    Returns
    -------
    tuple of (array, dict, "image")
        The movie's own data, shape (t, y, x).
    """
    facts = {"pixel_size_nm": movie.pixel_size_nm, "frame_time_s": movie.frame_time_s, "notes": list(movie.notes)}
    meta = {"name": movie.name, **calibration(movie), **extra}
    meta["metadata"] = {"noise2atom": facts, **extra.get("metadata", {})}
    if "contrast_limits" not in meta:
        meta["contrast_limits"] = contrast_limits(movie)
    return movie.data, meta, "image"


def calibration(movie: Movie) -> dict[str, Any]:
    """Return scale, units and labels of the axes, the same for all layers that show a movie.

    Parameters
    ----------
    movie : Movie
        The movie; its data are not touched.

    Returns
    -------
    dict
        `scale` [s, nm, nm], `units` and `axis_labels`, each for (t, y, x); what is unknown is 1 pixel.
    """
    pixel, time = movie.pixel_size_nm, movie.frame_time_s
    length = "nm" if pixel else _UNKNOWN
    return {
        "scale": (_counted(time or 1.0, len(movie)), pixel or 1.0, pixel or 1.0),
        "units": ("s" if time else _UNKNOWN, length, length),
        "axis_labels": ("t", "y", "x"),
    }


def _counted(time: float, frames: int) -> float:
    """Return a time between frames, the same but for rounding, by which napari counts all of them.

    It takes the whole part of all the time divided by that between frames, which may round to one frame less.
    """
    while int((frames - 1) * time / time) < frames - 1:
        time = math.nextafter(time, math.inf)
    return time


def contrast_limits(movie: Movie) -> tuple[float, float]:
    """Return the grey values to show as black and white, from a few frames spread over the movie.

    They are the 0.5th and 99.8th percentile, of frames that carry an image if there are any. NaN, infinity and
    frames that cannot be read are passed over.

    Parameters
    ----------
    movie : Movie
        The movie; up to five frames of it are computed.

    Returns
    -------
    tuple of float
        The first is smaller than the second.
    """
    chosen = np.unique(np.linspace(0, len(movie) - 1, _SAMPLED_FRAMES).astype(int))
    sampled = [pixels for index in chosen if (pixels := _sampled_pixels(movie, int(index))).size]
    images = [pixels for pixels in sampled if pixels.min() < pixels.max()]
    if not images:
        low = float(sampled[0][0]) if sampled else 0.0
        return low, low + max(1.0, 1e-6 * abs(low))
    values = np.concatenate(images)
    low, high = (float(limit) for limit in np.percentile(values, _PERCENTILES))
    # where hardly any pixel was hit by an electron, both percentiles are the empty pixels
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def _sampled_pixels(movie: Movie, index: int) -> NDArray[np.float32]:
    """Return the finite ones of evenly spaced pixels of a frame; none if it cannot be read."""
    try:
        with np.errstate(over="ignore"):  # beyond float32 is beyond what napari shows, and as good as infinite
            frame = movie.frame(index)
    except MovieFileError:
        return np.empty(0, np.float32)
    step = max(1, math.isqrt(frame.size // _SAMPLED_PX))
    pixels: NDArray[np.float32] = frame[::step, ::step]
    return pixels[np.isfinite(pixels)]


def movie_of_layer(data: Any, meta: Mapping[str, Any]) -> Movie:
    """Return the movie that an image layer of any reader shows.

    Parameters
    ----------
    data : array-like, shape (t, y, x)
        What the layer shows: an array of numpy, dask, zarr, or anything with `shape`, `dtype` and items, which is
        then read one frame at a time. Of several resolutions, the finest is taken. Axes of length 1 may come before
        the three. If it has an attribute `exact` that is a movie, as data that are computed in the background
        have, that movie's data are taken.
    meta : mapping
        What napari knows about the layer, as in its layer data tuples; `name`, `scale`, `units`, `rgb` and
        `multiscale` are looked at.

    Returns
    -------
    Movie
        With pixel size and frame time where the units of the axes are a length and a time.

    Raises
    ------
    ValueError
        With one sentence, if the layer shows no movie.
    """
    name = str(meta.get("name") or "layer")
    exact = getattr(data, "exact", None)
    array = exact.data if isinstance(exact, Movie) else _finest(data, meta)
    _require_movie(name, array, bool(meta.get("rgb")))
    time = _sizes(meta, "s")[0]
    _, height, width = _sizes(meta, "nm")
    notes: tuple[str, ...] = ()
    if height and width and not math.isclose(height, width, rel_tol=_UNEVEN):
        notes = (f"{name}: its pixels are {width:.4g} nm wide and {height:.4g} nm high; the width is taken for both.",)
    return Movie(_frames(name, array), width, time, name, notes)


def _finest(data: Any, meta: Mapping[str, Any]) -> Any:
    levels = meta.get("multiscale")
    if levels is None:
        levels = isinstance(data, Sequence) and len(data) > 0 and hasattr(data[0], "shape")
    return data[0] if levels else data


def _require_movie(name: str, array: Any, rgb: bool) -> None:
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape is None or dtype is None:
        raise ValueError(f"{name}: got a {type(array).__name__}; expected an array, choose an image layer")
    if rgb:
        raise ValueError(f"{name}: got a colour image; expected grey values, split it with 'Split RGB'")
    if np.dtype(dtype).kind not in "uif":
        raise ValueError(f"{name}: got values of type {dtype}; expected integers or floats, convert the layer")
    long = tuple(int(n) for n in shape)
    while len(long) > 3 and long[0] == 1:
        long = long[1:]
    if len(long) < 3:
        raise ValueError(
            f"{name}: got a single image of shape {shape}; expected a movie with the axes (t, y, x), join images with "
            "'Merge to Stack' or choose another layer"
        )
    if len(long) > 3:
        raise ValueError(
            f"{name}: got an array of shape {shape}; expected a movie with the axes (t, y, x), take it apart with "
            "'Split Stack'"
        )
    if long[0] < 2:
        raise ValueError(f"{name}: got a single frame; expected a movie of at least two, choose another layer")


def _frames(name: str, array: Any) -> "NDArray[np.generic] | da.Array":
    """Drop leading axes of length 1, and make an unknown kind of array one that is read frame by frame."""
    lead = (0,) * (len(array.shape) - 3)
    if isinstance(array, np.ndarray | da.Array):
        return array[lead] if lead else array

    def read(index: int) -> NDArray[Any]:
        return np.asarray(array[(*lead, index)] if lead else array[index])

    rows, columns = array.shape[-2:]
    return lazy_frames(read, (int(array.shape[-3]), int(rows), int(columns)), array.dtype, name)


def _sizes(meta: Mapping[str, Any], unit: str) -> list[float | None]:
    """Return the step of each of the last three axes in a unit; None where it is of another kind."""
    scale, units = meta.get("scale"), meta.get("units")
    steps = [1.0, 1.0, 1.0, *([] if scale is None else scale)][-3:]
    names = [units] * 3 if units is None or isinstance(units, str | pint.Unit) else list(units)
    return [_converted(step, name, unit) for step, name in zip(steps, [None, None, None, *names][-3:], strict=True)]


def _converted(value: Any, unit: Any, target: str) -> float | None:
    text = str(_UNKNOWN if unit is None else unit)
    if text in {"px", "css_pixel"}:  # a length to pint, but nobody has measured it
        return None
    try:
        registry = pint.get_application_registry()  # type: ignore[no-untyped-call]
        number = abs(float(registry.Quantity(float(value), text).to(target).magnitude))
    except Exception:
        # the unit may be any text: what is no unit raises anything
        return None
    return number if math.isfinite(number) and number > 0 else None
