"""``noise2atom denoise``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .applying import ModelFile, check_device, denoiser, read_both
from .console import messages, results, say
from .options import Device, MovieFile, Overwrite, Signal, require_free
from .overrides import UsageError
from .progress import ProgressLine

if TYPE_CHECKING:
    from napari_noise2atom.movie import Movie

__all__ = ["denoise"]


def denoise(
    movie: MovieFile,
    model: ModelFile,
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
    device = check_device(device)

    from napari_noise2atom.io import write_movie

    source, trained = read_both(movie, model, signal)
    # Cut after denoising, so that the first and last frames have their neighbours.
    result = _cut(denoiser(trained, device)(source), chosen)
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
