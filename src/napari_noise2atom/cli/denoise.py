"""``noise2atom denoise``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import messages, results, say
from .options import Device, MovieFile, Overwrite, Signal, parse_signal, require_free
from .overrides import UsageError, override
from .progress import ProgressLine

if TYPE_CHECKING:
    from napari_noise2atom.modelfile import TrainedModel
    from napari_noise2atom.movie import Movie

__all__ = ["denoise"]

TOLERANCE = 0.2
"""Relative difference of the pixel sizes of movie and model from which a warning is given."""


def denoise(
    movie: MovieFile,
    model: Annotated[Path, typer.Option("--model", "-m", metavar="RUN_OR_FILE", help="Run folder or model file.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="File to write, .tif or .zarr.")],
    frames: Annotated[
        str | None, typer.Option("--frames", metavar="A:B", help="Only frames A to B - 1, counted from 0.")
    ] = None,
    device: Device = None,
    signal: Signal = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished .zarr.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Apply a model to a movie; the result has the movie's calibration."""
    _check_output(out, resume, overwrite, movie)
    chosen = _parse_range(frames)
    device = _check_device(device)

    from napari_noise2atom.inference import denoise as apply
    from napari_noise2atom.io import read_movie, write_movie
    from napari_noise2atom.modelfile import load_model

    source = read_movie(movie, signal=parse_signal(signal))
    trained = load_model(model)
    for note in (*source.notes, *_mismatch(source, trained)):
        say(messages(), f"Note: {note}", style="yellow")
    # Cut after denoising, so that the first and last frames have their neighbours.
    result = _cut(apply(source, trained, device=device, threads=trained.settings.run.threads), chosen)
    out.parent.mkdir(parents=True, exist_ok=True)
    with ProgressLine("Denoising", messages()) as progress:
        write_movie(result, out, resume=resume, progress=progress)
    say(results(), f"Denoised {len(result)} frames: {out}")


def _check_output(out: Path, resume: bool, overwrite: bool, movie: Path) -> None:
    ending = out.suffix.lower()
    if ending not in (".tif", ".tiff", ".zarr"):
        raise UsageError(f"-o got {out}; expected a name that ends in .tif or .zarr")
    if ending != ".zarr" and resume:
        raise UsageError(f"--resume works with .zarr only; got {out}")
    if ending == ".zarr" and out.exists() and not resume:
        raise UsageError(f"{out} is there already; add --resume to go on with it, or delete it")
    require_free(out, overwrite or resume, movie)


def _check_device(device: str | None) -> str:
    from napari_noise2atom.settings import RunSettings, Settings

    return override(Settings(), {"run": {"device": device or RunSettings().device}}).run.device


def _parse_range(text: str | None) -> slice:
    """Read ``A:B``; either may be left out, or be counted from the end."""
    if text is None:
        return slice(None)
    first, colon, last = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return slice(int(first) if first else None, int(last) if last else None)
    except ValueError:
        raise UsageError(f"--frames got {text!r}; expected A:B with whole numbers, such as 0:100") from None


def _cut(movie: "Movie", chosen: slice) -> "Movie":
    start, stop, _ = chosen.indices(len(movie))
    if stop - start < 2:
        raise UsageError(
            f"--frames chooses {max(0, stop - start)} of the {len(movie)} frames; expected at least two, within 0 to "
            f"{len(movie)}"
        )
    return movie.with_data(movie.data[start:stop])


def _mismatch(movie: "Movie", model: "TrainedModel") -> tuple[str, ...]:
    here, there = movie.pixel_size_nm, model.pixel_size_nm
    if not (here and there) or abs(here / there - 1) <= TOLERANCE:
        return ()
    return (
        f"the pixels of {movie.name} are {here:.3g} nm wide, those of the movie on which the model was trained "
        f"{there:.3g} nm; atoms have another size than it has learned, so train on this movie.",
    )
