"""What the commands share that apply a model to a movie."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import tell_notes
from .options import parse_signal
from .overrides import override
from .train import MODEL

if TYPE_CHECKING:
    from napari_noise2atom.modelfile import TrainedModel
    from napari_noise2atom.movie import Movie

__all__ = ["ModelFile", "check_device", "denoiser", "model_files", "read_both"]

ModelFile = Annotated[Path, typer.Option("--model", "-m", metavar="RUN_OR_FILE", help="Run folder or model file.")]


def model_files(*models: Path | None) -> list[Path]:
    """Return the files that are read of models and of runs; tables may be written into the folder of a run."""
    return [model / MODEL if model.is_dir() else model for model in models if model is not None]


def check_device(device: str | None) -> str:
    """Return the device, checked before anything is read."""
    from napari_noise2atom.settings import RunSettings, Settings

    return override(Settings(), {"run": {"device": device or RunSettings().device}}).run.device


def read_both(movie: Path, model: Path, signal: str | None) -> "tuple[Movie, TrainedModel]":
    """Read a movie and a model, and tell what is worth knowing about them."""
    from napari_noise2atom.io import read_movie
    from napari_noise2atom.modelfile import load_model

    source = read_movie(movie, signal=parse_signal(signal))
    trained = load_model(model)
    tell_notes((*source.notes, *trained.doubts(source)))
    return source, trained


def denoiser(model: "TrainedModel", device: str, threads: int) -> "Callable[[Movie], Movie]":
    """Return the function that denoises movies with a model, lazily."""
    from napari_noise2atom.inference import denoise

    return partial(denoise, model=model, device=device, threads=threads)
