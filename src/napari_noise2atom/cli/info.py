"""``noise2atom info``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from napari_noise2atom.settings import PRESETS, Settings

from .console import messages, number, print_json, results, say, table
from .options import Json, Signal, parse_signal
from .overrides import setting_rows
from .progress import ProgressLine
from .report import estimate_table, movie_rows
from .train import CHECKPOINT, MODEL

if TYPE_CHECKING:
    from napari_noise2atom.modelfile import TrainedModel
    from napari_noise2atom.movie import Movie

__all__ = ["info"]

_BATCH = 64
"""Frames that are looked at between two signs of progress."""


def info(
    path: Annotated[Path, typer.Argument(metavar="MOVIE_OR_MODEL", help="Movie, model file or run folder.")],
    signal: Signal = None,
    as_json: Json = False,
) -> None:
    """Tell what a movie, a model or a run is."""
    if path.suffix == ".safetensors" or (path / MODEL).is_file() or (path / CHECKPOINT).is_file():
        _tell_model(path, as_json)
    else:
        _tell_movie(path, parse_signal(signal), as_json)


def _tell_movie(path: Path, signal: int | str | None, as_json: bool) -> None:
    from napari_noise2atom.estimate import estimate
    from napari_noise2atom.io import read_movie

    movie = read_movie(path, signal=signal)
    bad = _bad_frames(movie)
    found, doubts = None, []
    try:
        found = estimate(movie)
        doubts = found.doubts
    except ValueError as error:
        doubts = [str(error)]
    if as_json:
        print_json(
            {"kind": "movie", "name": movie.name, "shape": movie.shape, "dtype": str(movie.data.dtype)}
            | {"pixel_size_nm": movie.pixel_size_nm, "frame_time_s": movie.frame_time_s, "notes": movie.notes}
            | {"bad_frames": bad, "estimate": found}
        )
        return
    out = results()
    rows = movie_rows(movie) + [("note", note) for note in movie.notes] + [("bad frames", _listed(bad))]
    out.print(table("", rows))
    if found:
        out.print(estimate_table(found))
    for doubt in doubts:
        say(out, doubt)


def _bad_frames(movie: "Movie") -> list[int]:
    from napari_noise2atom.io import find_bad_frames

    bad: list[int] = []
    with ProgressLine("Looking at frames", messages()) as progress:
        for start in range(0, len(movie), _BATCH):
            stop = min(start + _BATCH, len(movie))
            bad += find_bad_frames(movie, range(start, stop))
            progress(stop, len(movie))
    return bad


def _listed(bad: list[int]) -> str:
    if not bad:
        return "none"
    names = ", ".join(map(str, bad[:10]))
    return f"{len(bad)}: {names}{', …' if len(bad) > 10 else ''}"


def _tell_model(path: Path, as_json: bool) -> None:
    from napari_noise2atom.modelfile import load_model

    resumable = (path / CHECKPOINT).is_file()
    if path.is_dir() and not (path / MODEL).is_file():
        say(results(as_json), f"{path} is a run without a model so far; go on with 'noise2atom train --resume'.")
        return
    model = load_model(path)
    if as_json:
        print_json(
            {"kind": "model", "settings": model.settings, "pixel_size_nm": model.pixel_size_nm}
            | {"normalisation": asdict(model.normalisation), "provenance": model.provenance, "resumable": resumable}
        )
        return
    out = results()
    out.print(table("", _model_rows(model, resumable)))
    _tell_changes(model.settings, out)


def _model_rows(model: "TrainedModel", resumable: bool) -> list[tuple[str, str]]:
    network, grey = model.settings.network, model.normalisation
    parameters = sum(weight.numel() for weight in model.weights.values())
    pixel = model.pixel_size_nm
    return [
        ("architecture", f"{network.architecture}, {parameters / 1e6:.2f} M weights, {network.frames_in} frames in"),
        ("preset", model.settings.preset),
        (
            "trained on",
            f"grey values {grey.low:.6g} to {grey.high:.6g}, {f'{pixel:.3g} nm' if pixel else 'unknown'} pixels",
        ),
        *_narrowing_row(model.settings),
        *((name, _short(value)) for name, value in model.provenance.items() if name != "preset"),
        *([("run", "can be resumed with 'noise2atom train --resume'")] if resumable else []),
    ]


def _narrowing_row(settings: Settings) -> list[tuple[str, str]]:
    from napari_noise2atom.simulate.clean import lost_width_px

    blur_px = lost_width_px(settings.simulation)
    told = f"narrower than the movie's; a Gaussian blur of σ = {blur_px:.2f} px gives them their width back"
    return [("spots", told)] if blur_px > 0 else []


def _short(value: str | float) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _tell_changes(settings: Settings, out: Console) -> None:
    """List the settings that differ from the preset's, be it by the user or by what the movie told."""
    usual: dict[str, Any] = {row.name: row.default for row in setting_rows(PRESETS[settings.preset])}
    rows = [
        (row.name, row.default, usual[row.name]) for row in setting_rows(settings) if row.default != usual[row.name]
    ]
    if rows:
        out.print(table("Settings of this run", rows, ("", "here", "in the preset")))
