"""What napari asks of a plugin without a window: reading, writing, sample data."""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .io import READABLE, MovieFileError, find_frames, is_zarr, read_files, read_movie, write_movie
from .layerdata import LOST_WIDTH, LayerTuple, calibration, layer_data, movie_of_layer
from .movie import Movie
from .settings import MovieSettings, preset
from .simulate.clean import lost_width_px
from .simulate.noisy import SimulatedMovie, simulate_movie

__all__ = ["Reader", "get_reader", "read_layers", "sample_movie", "sample_result", "write_layers"]

Reader = Callable[[str | list[str]], list[LayerTuple]]

_SAMPLE_RESULT = Path(__file__).parent / "sample" / "denoised.tif"
"""The sample movie denoised: what a demo left, in steps of 1/255."""
_MOST_LAYERS = 16
_MODEL = "model.safetensors"
"""The file by which the folder of a training run is known."""
_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
"""Characters that some system does not allow in the name of a file."""


def get_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of a movie, or None if this is none by its looks; nothing is opened.

    Parameters
    ----------
    path : str or list of str
        A file with one of the endings in `io.READABLE`, an OME-Zarr folder, a folder of single frames; or a list of
        files that are to be stacked, each a frame.

    Returns
    -------
    callable or None
        `read_layers`.
    """
    if isinstance(path, list) and len(path) != 1:
        return read_layers if path else None
    return read_layers if _is_movie(Path(_only(path))) else None


def _only(path: str | list[str]) -> str:
    return path[0] if isinstance(path, list) else path


def _is_movie(path: Path) -> bool:
    known = path.suffix.lower() in READABLE
    if not path.is_dir():
        return known
    # the folder of a training run has a reader of its own, and may hold movies too
    return known or is_zarr(path) or (not (path / _MODEL).exists() and len(find_frames(path)) > 1)


def read_layers(path: str | list[str]) -> list[LayerTuple]:
    """Read movies as image layers, lazily; what is worth knowing is given as warnings, which napari shows.

    Parameters
    ----------
    path : str or list of str
        As for `get_reader`.

    Returns
    -------
    list of tuple
        An image layer with scale, units and axis labels for each movie in the file, at most 16, all but the first
        hidden.

    Raises
    ------
    ValueError
        With one sentence, if there is no readable movie.
    """
    several = isinstance(path, list) and len(path) > 1
    movies = _movies(read_files(path) if several else read_movie(_only(path)), path)
    for note in dict.fromkeys(note for movie in movies for note in movie.notes):
        warnings.warn(note, stacklevel=2)
    return [layer_data(movie, visible=number == 0) for number, movie in enumerate(movies)]


def _movies(first: Movie, path: str | list[str]) -> list[Movie]:
    """Return all movies of a file, such as those of several detectors, by their names."""
    if not first.signals:
        return [first]
    chosen = first.signals[:_MOST_LAYERS]
    movies = [read_movie(_only(path), signal=number) for number in range(len(chosen))]
    named = [replace(movie, name=f"{movie.name} {signal}") for movie, signal in zip(movies, chosen, strict=True)]
    return named if len(chosen) == len(first.signals) else [replace(named[0], notes=first.notes), *named[1:]]


def write_layers(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """Write image layers with their calibration as ImageJ TIFF or OME-Zarr, one file or folder each.

    Nothing is written if one of the layers is no movie or one of the names is taken. Only the very file that the
    user chose is replaced.

    Parameters
    ----------
    path : str
        Ends in ``.tif``, ``.tiff`` or ``.zarr``; without an ending it gets ``.tif``. Of several layers, each is
        written beside it under that name and its own, as in ``path_layer.tif``.
    layers : sequence of tuple
        Layer data tuples of images.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    ValueError
        With one sentence, if a layer is no movie, the ending is another, or something is in the way.
    """
    chosen = Path(path)
    target = chosen if chosen.suffix else chosen.with_name(f"{chosen.name}.tif")
    movies = [movie_of_layer(data, meta) for data, meta, _ in layers]
    targets = [target] if len(movies) == 1 else _targets(target, [movie.name for movie in movies])
    for file in targets:
        _require_free(file, chosen)
    for movie, file in zip(movies, targets, strict=True):
        write_movie(movie, file)
    return [str(file) for file in targets]


def _targets(path: Path, names: Iterable[str]) -> list[Path]:
    """Return a path for each layer."""
    targets = [path.with_name(f"{path.stem}_{_FORBIDDEN.sub('-', name).strip()}{path.suffix}") for name in names]
    lower = [target.name.lower() for target in targets]  # some systems take a and A for the same
    if twice := {name for name in lower if lower.count(name) > 1}:
        raise MovieFileError(f"{min(twice)}: two layers would be written to it; rename one of them")
    return targets


def _require_free(path: Path, chosen: Path) -> None:
    """Refuse to replace what the user has not agreed to replace; a folder cannot be agreed to."""
    if path.exists() and (path != chosen or path.is_dir() or path.suffix.lower() == ".zarr"):
        raise MovieFileError(f"{path.name}: is there already; delete it, or choose another name")


def sample_movie() -> list[LayerTuple]:
    """Simulate a noisy movie with its truth.

    Returns
    -------
    list of tuple
        From bottom to top: the noisy movie and the clean one as images, and the atoms as points. The truth is
        hidden at first.
    """
    simulated = simulate_movie(MovieSettings())
    return [layer_data(simulated.noisy), _truth(simulated), _atoms(simulated)]


def sample_result() -> list[LayerTuple]:
    """Return the sample movie and what a short training made of it, without any training.

    Returns
    -------
    list of tuple
        From bottom to top: the noisy movie, the denoised one and the clean one as images, and the atoms as points.
        The truth is hidden at first.
    """
    simulated = simulate_movie(MovieSettings())
    frames = np.asarray(read_movie(_SAMPLE_RESULT).data) / np.float32(255)
    name = simulated.noisy.name
    denoised = simulated.noisy.with_data(frames, f"{name} denoised")
    variance = MovieSettings().spot_variance_px2
    drawn = preset("compact").simulation.model_copy(update={"variance_min_px2": variance, "variance_max_px2": variance})
    raw = layer_data(simulated.noisy)
    raw[1]["metadata"]["noise2atom"]["id"] = name
    origin = {"noise2atom": {"result": "denoised", "of": name, LOST_WIDTH: lost_width_px(drawn)}}
    result = layer_data(denoised, metadata=origin)
    return [raw, result, _truth(simulated), _atoms(simulated)]


def _truth(simulated: SimulatedMovie) -> LayerTuple:
    clean: Movie = simulated.noisy.with_data(simulated.clean, f"{simulated.noisy.name} truth")
    return layer_data(clean, visible=False)


def _atoms(simulated: SimulatedMovie) -> LayerTuple:
    meta = {
        "name": f"{simulated.noisy.name} atoms",
        **calibration(simulated.noisy),
        "size": 4 * float(np.sqrt(MovieSettings().spot_variance_px2)),
        "face_color": "transparent",
        "border_color": "yellow",
        "border_width": 0.08,
        "visible": False,
    }
    return _points(simulated.positions), meta, "points"


def _points(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (t, y, x) of the atoms that are there, shape (n, 3), from positions of shape (t, n, 2)."""
    frame, atom = np.nonzero(np.isfinite(positions).all(axis=-1))
    return np.column_stack([frame, positions[frame, atom]]).astype(np.float32)
