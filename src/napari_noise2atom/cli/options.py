"""Options that several commands share; the text of a setting is the help of its option."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.markup import escape

from napari_noise2atom.settings import PRESETS, CompareSettings, RunSettings, Settings, preset

from .overrides import UsageError, allowed

__all__ = [
    "Assignments",
    "Device",
    "Json",
    "MovieAssignments",
    "MovieFile",
    "MovieFiles",
    "Overwrite",
    "PresetOption",
    "Signal",
    "Threads",
    "TruthFile",
    "choose_preset",
    "parse_signal",
    "require_free",
    "require_no_input",
    "setting",
]


def setting(group: type[BaseModel], name: str, *flags: str, metavar: str | None = None) -> Any:
    """Return the option of a setting, with the setting's own text as help."""
    text, limits = group.model_fields[name].description or "", allowed(group, name)
    # Units stand in brackets, which typer would take for markup.
    return typer.Option(*flags, metavar=metavar, help=escape(f"{text} ({limits})" if limits else text))


MOVIE_HELP = "Movie: TIFF, DM3/4, EMD, SER, MRC, NPY, Zarr, or a folder of frames."
MovieFile = Annotated[Path, typer.Argument(metavar="MOVIE", help=MOVIE_HELP)]
MovieFiles = Annotated[list[Path], typer.Argument(metavar="MOVIE", help=f"{MOVIE_HELP} Several, too.")]
Signal = Annotated[
    str | None, typer.Option("--signal", metavar="S", help="Number or name, if the file holds several movies.")
]
Device = Annotated[str | None, setting(RunSettings, "device", "--device")]
Threads = Annotated[
    int, typer.Option("--threads", min=0, metavar="N", help=CompareSettings.model_fields["threads"].description)
]
TruthFile = Annotated[
    Path | None, typer.Option("--truth", metavar="TRUTH.npz", help="Truth, from 'noise2atom simulate'.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", metavar="|".join(PRESETS), help=f"{Settings.model_fields['preset'].description}"),
]


def _assignments(lists: str) -> Any:
    return typer.Option("--set", metavar="NAME=VALUE", help=f"Any setting, such as those that '{lists}' lists.")


Assignments = Annotated[list[str] | None, _assignments("noise2atom settings")]
MovieAssignments = Annotated[list[str] | None, _assignments("noise2atom settings simulate")]


def choose_preset(name: str) -> Settings:
    """Return a preset's settings."""
    try:
        return preset(name)  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(f"--preset: {error}") from error


def parse_signal(signal: str | None) -> int | str | None:
    """Read a signal's number or name."""
    return int(signal) if signal is not None and signal.isdecimal() else signal


def require_free(path: Path, overwrite: bool, *inputs: Path | None) -> None:
    """Refuse to write a file where something is already, unless told to, and over an input or a folder in any case."""
    require_no_input(path, *inputs)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; choose the name of a file for the output")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; choose another name, or add --overwrite")


def require_no_input(path: Path, *inputs: Path | None) -> None:
    """Refuse to write over what a command reads, be it a file or one in a folder of frames."""
    if path.exists():
        read = {source.resolve() for source in inputs if source is not None}
        if read & {path.resolve(), path.resolve().parent}:
            raise UsageError(f"{path} is an input or lies in one; choose another name for the output")
