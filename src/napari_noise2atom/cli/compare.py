"""``noise2atom compare``."""

from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from napari_noise2atom.settings import CompareSettings

from .console import messages, number, results, say, table, tell_notes
from .options import Json, MovieFile, Overwrite, Signal, Threads, TruthFile, parse_signal, require_free, setting
from .overrides import UsageError, given, override
from .progress import ProgressLine, clock

if TYPE_CHECKING:
    from napari_noise2atom.comparison import CompareEvent, MethodProgress
    from napari_noise2atom.comparisonfolder import ComparisonFolder
    from napari_noise2atom.events import Command
    from napari_noise2atom.metrics import Truth
    from napari_noise2atom.modelfile import TrainedModel
    from napari_noise2atom.movie import Movie

__all__ = ["compare"]

SCORES, CSS, PICTURE = "scores.csv", "css.csv", "compare.png"
COLUMNS = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "false_per_frame": "false / frame",
    "error_px": "error [px]",
    "psnr_db": "PSNR [dB]",
    "ssim": "SSIM",
    "css": "CSS",
    "low_pass_correlation": "low-pass corr.",
}
_STOPPING = b"\nStopping this method at its next step, results so far are kept; Ctrl-C once more aborts.\n"


def compare(
    movie: MovieFile,
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the results.")],
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="A,B", help="Names of methods; all that there are if left out.")
    ] = None,
    truth: TruthFile = None,
    models: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", metavar="RUN_OR_FILE", help="Trained model that joins in; may be repeated."),
    ] = None,
    filter_px: Annotated[float | None, setting(CompareSettings, "filter_px", "--filter-px", metavar="PX")] = None,
    filter_frames: Annotated[
        float | None, setting(CompareSettings, "filter_frames", "--filter-frames", metavar="N")
    ] = None,
    minutes: Annotated[float | None, setting(CompareSettings, "minutes", "--minutes", "-t", metavar="M")] = None,
    seed: Annotated[int | None, setting(CompareSettings, "seed", "--seed", metavar="N")] = None,
    device: Annotated[str | None, setting(CompareSettings, "device", "--device")] = None,
    threads: Threads = 0,
    signal: Signal = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Denoise a movie with several methods and score the results side by side.

    Ctrl-C stops and keeps the results so far.
    """
    changes = given(
        filter_px=filter_px, filter_frames=filter_frames, minutes=minutes, seed=seed, device=device, threads=threads
    )
    settings = override(CompareSettings(), changes)
    chosen, named = _choose(methods), _name_models(models or ())
    if not (chosen or named):
        raise UsageError(f"--methods got {methods!r}; expected some names, or --model")
    files = [f"{name}.tif" for name in (*chosen, *(f"noise2atom ({name})" for name in named))]
    for file in (*files, SCORES, CSS, PICTURE):
        require_free(folder / file, overwrite, movie, truth, *(models or ()))

    from napari_noise2atom.comparison import compare as run
    from napari_noise2atom.comparisonfolder import ComparisonFolder

    source, known, trained = _read(movie, parse_signal(signal), truth, named)
    left = ComparisonFolder(folder, source, known)
    _follow(run(source, chosen, settings, truth=known, models=trained), left, as_json)
    _tell_end(left, results(as_json))


def _read(
    movie: Path, signal: int | str | None, truth: Path | None, models: dict[str, Path]
) -> "tuple[Movie, Truth | None, dict[str, TrainedModel]]":
    """Read all that a comparison begins with, and tell what is worth knowing about it."""
    from napari_noise2atom.io import read_movie
    from napari_noise2atom.metrics import load_truth
    from napari_noise2atom.modelfile import load_model

    source = read_movie(movie, signal=signal)
    known = None if truth is None else load_truth(truth)
    trained = {name: load_model(path) for name, path in models.items()}
    doubts = (f"{name}: {doubt}" for name, model in trained.items() for doubt in model.doubts(source))
    tell_notes((*source.notes, *doubts))
    return source, known, trained


def _choose(methods: str | None) -> list[str]:
    """Read the names of methods."""
    from napari_noise2atom.baselines import METHODS

    if methods is None:
        return list(METHODS)
    chosen = list(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip()))
    for name in chosen:
        if name not in METHODS:
            raise UsageError(f"--methods got {name!r}; expected some of {', '.join(METHODS)}")
    return chosen


def _name_models(paths: Iterable[Path]) -> dict[str, Path]:
    """Name models by their runs or files."""
    named: dict[str, Path] = {}
    for path in paths:
        name = path.resolve().name if path.is_dir() else path.stem
        if name in named:
            raise UsageError(f"--model got {path} and {named[name]}, both of the name {name}; rename one of them")
        named[name] = path
    return named


def _follow(events: "Generator[CompareEvent, Command | None, None]", left: "ComparisonFolder", as_json: bool) -> None:
    """Run a comparison to its end and write its results; Ctrl-C stops it, a second one aborts it."""
    from napari_noise2atom.comparison import MethodBegun, MethodFailed, MethodFinished, MethodProgress
    from napari_noise2atom.events import Command

    from .follow import interrupt, print_event

    what, command = "", None
    with (
        closing(events),
        interrupt(_STOPPING) as asked,
        suppress(StopIteration),
        ProgressLine("Comparing", messages()) as line,
    ):
        while True:
            event = events.send(command)
            command = Command.STOP if asked.is_set() else None
            if as_json and not isinstance(event, MethodProgress):
                print_event(event)
            match event:
                case MethodBegun():
                    what = f"{event.title}, method {event.number} of {event.total}"
                case MethodProgress():
                    # The last percent is for the scores.
                    line(round(99 * event.share), 100, f"{what}  {_time_left(event)}")
                case MethodFinished():
                    left.add(event)
                case MethodFailed():
                    line.say(f"{event.title} has no result: {event.reason}", style="yellow")


def _time_left(event: "MethodProgress") -> str:
    return "" if event.seconds_left is None else f"{clock(event.seconds_left)} left"


def _tell_end(left: "ComparisonFolder", out: Console) -> None:
    """Show the scores and draw the picture, if there is anything; without a result the job has failed."""
    if not left.scores:
        raise typer.Exit(1)
    from napari_noise2atom.figure import draw_methods

    draw_methods(left.panels, left.css, left.folder / PICTURE, left.pixel_size_nm)
    shown = [name for name in COLUMNS if not all(isnan(scores[name]) for scores in left.scores.values())]
    rows = [(title, *(number(scores[name]) for name in (*shown, "seconds"))) for title, scores in left.scores.items()]
    out.print(table("", rows, ("method", *(COLUMNS[name] for name in shown), "seconds")))
    say(out, f"Movies, scores and {PICTURE}: {left.folder}")
