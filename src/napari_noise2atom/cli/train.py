"""``noise2atom train``."""

import shlex
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from napari_noise2atom.settings import RunSettings, Settings, TrainingSettings

from .console import messages, results, say, table, tell_notes
from .group import check_group, ignored_interrupt, is_helper, is_launched, launch
from .options import (
    Assignments,
    Device,
    Json,
    MovieFile,
    PresetOption,
    Signal,
    choose_preset,
    parse_signal,
    setting,
)
from .overrides import UsageError, assigned, given, merge, override, read_settings
from .progress import ProgressLine, clock
from .report import estimate_table

if TYPE_CHECKING:
    from napari_noise2atom.events import Command, Finished, TrainEvent
    from napari_noise2atom.modelfile import TrainedModel
    from napari_noise2atom.movie import Movie

__all__ = ["train"]

MODEL, CHECKPOINT, ENVIRONMENT = "model.safetensors", "checkpoint.safetensors", "environment.json"
OTHERS = "settings.json", "history.csv", "previews.tif"
"""Which other programs may have written, and 'noise2atom simulate', too."""


def train(
    context: typer.Context,
    movie: MovieFile,
    run: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")],
    preset: PresetOption = None,
    max_minutes: Annotated[
        float | None, setting(RunSettings, "max_minutes", "--max-minutes", "-t", metavar="M")
    ] = None,
    epochs: Annotated[int | None, setting(TrainingSettings, "epochs", "--epochs", metavar="N")] = None,
    device: Device = None,
    seed: Annotated[int | None, setting(RunSettings, "seed", "--seed", metavar="N")] = None,
    devices: Annotated[
        int, typer.Option("--devices", min=1, metavar="N", help="Processes on this computer, one for each GPU.")
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(
            "--nodes",
            min=1,
            metavar="M",
            help="Computers that train together; start the same command on each, with RUN on a disk that all share.",
        ),
    ] = 1,
    rendezvous: Annotated[
        str | None,
        typer.Option(
            "--rendezvous", metavar="HOST:PORT", help="Where they meet: one of the computers, and a port that is free."
        ),
    ] = None,
    signal: Signal = None,
    assignments: Assignments = None,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE.json", help="Settings, some or all, such as those of another run."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN, with its settings.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a movie.

    Settings come from the preset; what the movie tells comes over them, then a settings file, then the options.

    Ctrl-C stops and keeps the best model. Of N × M processes, each computes a batch of its own in every step.
    """
    options = merge(
        assigned(assignments),
        {"run": given(max_minutes=max_minutes, device=device, seed=seed), "training": given(epochs=epochs)},
    )
    if not is_helper():
        _check_folder(run, resume)
    if resume:
        _check_resumable(options, preset, settings_file)
    recorded = read_settings(settings_file)
    base = choose_preset(preset or str(recorded.get("preset", "default")))
    changes = (recorded, {"preset": base.preset}, options)
    # What can be known to be wrong is said before anything is read.
    wished = override(base, *changes, alone=True)
    check_group(devices, nodes, rendezvous)

    from napari_noise2atom.io import read_movie

    source = read_movie(movie, signal=parse_signal(signal))
    if devices * nodes > 1 and not is_launched():
        launch(devices, nodes, rendezvous, context.obj)
        return

    from napari_noise2atom import training

    if is_helper():
        with ignored_interrupt():
            training.assist(source)
        return
    out = results(as_json)
    tell_notes(source.notes)
    settings = override(training.load_run_settings(run), options) if resume else _propose(source, wished, changes, out)
    finished = _follow(training.train(source, settings, run=run, resume=resume), run, as_json)
    _tell_end(finished, movie, run, out)


def _check_folder(run: Path, resume: bool) -> None:
    """Refuse to write over a run, or to resume what is not there."""
    if run.exists() and not run.is_dir():
        raise UsageError(f"{run} is a file; choose a folder for the run")
    checkpoint = run / CHECKPOINT
    if resume and not checkpoint.is_file():
        raise UsageError(f"{run} has no {CHECKPOINT}, so there is nothing to resume; leave out --resume")
    if not resume and (checkpoint.is_file() or (run / MODEL).is_file()):
        raise UsageError(f"{run} holds a run already; add --resume to go on with it, or choose another folder")
    # a run that ended before its first checkpoint may be started anew
    if not resume and not (run / ENVIRONMENT).is_file() and (there := [n for n in OTHERS if (run / n).exists()]):
        raise UsageError(f"{run} holds a {there[0]}, and a run writes its own; choose another folder")


def _check_resumable(options: Mapping[str, Any], preset: str | None, settings_file: Path | None) -> None:
    """Refuse to change what a resumed run learns."""
    others = [f"the settings of {group}" for group, changes in options.items() if changes and group != "run"]
    others += ["--preset"] if preset else []
    others += ["--settings"] if settings_file else []
    if others or "seed" in options.get("run", {}):
        name = others[0] if others else "--seed"
        raise UsageError(f"--resume goes on with the settings of the run; leave out {name}, or start a new run")


def _propose(source: "Movie", base: Settings, changes: Iterable[Mapping[str, Any]], out: Console) -> Settings:
    """Measure the movie, tell what was found, and let the user's changes prevail."""
    from napari_noise2atom.estimate import propose

    proposed, found = propose(source, base)
    out.print(estimate_table(found))
    for doubt in found.doubts:
        say(messages(), doubt, style="yellow")
    say(out, "Any of these can be set: --set scene.atom_peak_e=0.8; 'noise2atom settings' lists all.")
    return override(proposed, *changes)


def _follow(events: "Generator[TrainEvent, Command | None, TrainedModel]", run: Path, as_json: bool) -> "Finished":
    from .follow import TrainingView, follow, print_event

    with ProgressLine("Training", messages()) as line:
        view = TrainingView(line)

        def show(event: "TrainEvent") -> None:
            if as_json:
                print_event(event)
            view(event)

        try:
            return follow(events, show)
        except KeyboardInterrupt:
            line.say(_aborted(run), style="red")
            raise typer.Exit(1) from None


def _aborted(run: Path) -> str:
    if (run / CHECKPOINT).is_file():
        return f"Aborted; add --resume to go on from the last checkpoint in {run}."
    return "Aborted before the first checkpoint; nothing was kept."


def _tell_end(finished: "Finished", movie: Path, run: Path, out: Console) -> None:
    say(
        out,
        f"Training ended after {clock(finished.seconds)} and {finished.step} steps ({finished.reason}); the model "
        f"that is kept is that of step {finished.best_step}.",
    )
    denoised = f"{movie.stem}_denoised.tif"
    rows = [
        ("model", str(run / MODEL)),
        ("losses and scores", str(run / "history.csv")),
        ("previews", str(run / "previews.tif")),
        ("settings", str(run / "settings.json")),
        ("next", shlex.join(("noise2atom", "denoise", str(movie), "--model", str(run), "-o", denoised))),
    ]
    out.print(table("", rows))
