"""``noise2atom settings``."""

from typing import Annotated

import typer

from napari_noise2atom.settings import MovieSettings

from .console import print_json, results, table
from .options import Json, PresetOption, choose_preset
from .overrides import UsageError, setting_rows

__all__ = ["settings"]


def settings(
    command: Annotated[str, typer.Argument(metavar="[train|simulate]", help="Whose settings.")] = "train",
    preset: PresetOption = None,
    as_json: Json = False,
) -> None:
    """List all settings for --set and --settings: name, value, allowed range, meaning."""
    if command not in ("train", "simulate"):
        raise UsageError(f"settings got {command!r}; expected train or simulate")
    if command == "simulate" and preset:
        raise UsageError("a simulated movie has no presets; leave out --preset")
    model = choose_preset(preset or "default") if command == "train" else MovieSettings()
    rows = list(setting_rows(model))
    if as_json:
        for row in rows:
            print_json(row._asdict())
    else:
        results().print(table("", rows, ("setting", "value", "allowed", "meaning")))
