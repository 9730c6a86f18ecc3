"""``noise2atom denoise``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .applying import ModelFile, check_device, denoiser, model_files, read_both
from .console import messages, results, say
from .options import Device, MovieFiles, Overwrite, Signal, Threads, require_free, require_no_input
from .overrides import UsageError
from .progress import ProgressLine

if TYPE_CHECKING:
    from napari_noise2atom.movie import Movie

__all__ = ["denoise"]

ENDINGS = (".tif", ".tiff", ".zarr")


def denoise(
    movies: MovieFiles,
    model: ModelFile,
    out: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="OUT", help="File to write, .tif or .zarr; of several movies, folder of .zarr."
        ),
    ],
    frames: Annotated[
        str | None, typer.Option("--frames", metavar="A:B", help="Only frames A to B - 1, counted from 0.")
    ] = None,
    device: Device = None,
    threads: Threads = 0,
    signal: Signal = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Let the workers of a dask cluster do it, such as tcp://node1:8786; they reach all files by the same "
            "names.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished .zarr.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Apply a model to a movie, or to several; the results have the movies' calibration."""
    outputs = _outputs(movies, out)
    for path in outputs.values():
        _check_output(path, resume, overwrite, scheduler, *outputs, *model_files(model))
    chosen = _parse_range(frames)
    device = check_device(device)

    with _writer(scheduler, threads) as (write, threads):
        for movie, path in outputs.items():
            source, trained = read_both(movie, model, signal)
            # Cut after denoising, so that the first and last frames have their neighbours.
            result = _cut(denoiser(trained, device, threads)(source), chosen)
            recipe = trained.recipe | {"frames": list(chosen.indices(len(source))[:2])}
            path.parent.mkdir(parents=True, exist_ok=True)
            with ProgressLine("Denoising", messages()) as progress:
                write(result, path, resume=resume, progress=progress, recipe=recipe)
            say(results(), f"Denoised {len(result)} frames: {path}")


def _outputs(movies: list[Path], out: Path) -> dict[Path, Path]:
    """Return what is written for each movie; absolute paths of movies are the same on all computers."""
    if len(movies) == 1:
        return {movies[0].absolute(): out}
    if out.suffix.lower() in ENDINGS:
        raise UsageError(f"-o got {out} for {len(movies)} movies; expected a folder")
    outputs = {movie.absolute(): out / f"{movie.stem}_denoised.zarr" for movie in movies}
    if len(set(outputs.values())) < len(movies):
        raise UsageError("several movies have the same name; denoise them into folders of their own")
    if missing := [movie for movie in outputs if not movie.exists()]:  # else those before it are computed in vain
        raise ValueError(f"{missing[0]}: there is no such file; check the name")
    return outputs


@contextmanager
def _writer(scheduler: str | None, threads: int) -> "Iterator[tuple[Callable[..., None], int]]":
    """Return what writes a movie, and the CPU threads that a frame may take; on a cluster, its workers' affair."""
    if scheduler is None:
        from napari_noise2atom.io import write_movie

        yield write_movie, threads
        return
    try:
        from napari_noise2atom.io.cluster import connected, worker_threads, write_zarr_on_cluster
    except ImportError as error:
        raise UsageError("--scheduler needs dask.distributed; pip install 'napari-noise2atom[cluster]'") from error
    with connected(scheduler) as client:
        yield partial(write_zarr_on_cluster, client=client), worker_threads(client)


def _check_output(out: Path, resume: bool, overwrite: bool, scheduler: str | None, *inputs: Path) -> None:
    ending = out.suffix.lower()
    if scheduler is not None and ending != ".zarr":
        raise UsageError(f"--scheduler writes .zarr only; got {out}")
    if ending not in ENDINGS:
        raise UsageError(f"-o got {out}; expected a name that ends in .tif or .zarr")
    if ending != ".zarr" and resume:
        raise UsageError(f"--resume works with .zarr only; got {out}")
    if ending != ".zarr":
        require_free(out, overwrite, *inputs)
        return
    require_no_input(out, *inputs)
    if out.exists() and not resume:
        raise UsageError(f"{out} is there already; add --resume to go on with it, or delete it")


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
