"""Settings as text: lists of them, changes to them, and what is wrong with a change."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from napari_noise2atom.settings import MovieSettings

__all__ = [
    "SettingRow",
    "UsageError",
    "allowed",
    "assigned",
    "given",
    "merge",
    "override",
    "problem",
    "read_settings",
    "setting_rows",
]

Model = TypeVar("Model", bound=BaseModel)

_LIMITS = {
    "minimum": "≥ {:g}",
    "exclusiveMinimum": "> {:g}",
    "maximum": "≤ {:g}",
    "exclusiveMaximum": "< {:g}",
    "multipleOf": "multiple of {:g}",
}
"""How the limits in a JSON schema are written."""


class UsageError(Exception):
    """The command was called wrongly; the message is one sentence for the user."""


class SettingRow(NamedTuple):
    """A setting as it stands in a list: all texts."""

    name: str
    default: str
    allowed: str
    text: str


def setting_rows(settings: BaseModel, prefix: str = "") -> Iterator[SettingRow]:
    """List all settings of a model and its groups, by dotted name."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from setting_rows(value, f"{prefix}{name}.")
        else:
            default = json.dumps(round(value, 6) if isinstance(value, float) else value).strip('"')
            yield SettingRow(prefix + name, default, allowed(type(settings), name), field.description or "")


def allowed(group: type[BaseModel], name: str) -> str:
    """Write what values a setting may have; nothing if any of its type."""
    schema = group.model_json_schema()["properties"][name]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "boolean":
        return "true | false"
    return ", ".join(text.format(schema[key]) for key, text in _LIMITS.items() if key in schema)


def assigned(assignments: Iterable[str] | None) -> dict[str, Any]:
    """Read ``group.field=value`` words; values are JSON, or else strings."""
    changes: dict[str, Any] = {}
    for word in assignments or ():
        name, equals, value = word.partition("=")
        if not (equals and name.strip()):
            raise UsageError(f"--set got {word!r}; expected NAME=VALUE, such as training.epochs=50")
        change: Any = _json_or_text(value.strip())
        for part in reversed(name.strip().split(".")):
            change = {part: change}
        changes = merge(changes, change)
    return changes


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def given(**options: Any) -> dict[str, Any]:
    """Keep those options that were given on the command line."""
    return {name: value for name, value in options.items() if value is not None}


def read_settings(path: Path | None) -> dict[str, Any]:
    """Read a settings file, which may be partial; without a file there is nothing to change."""
    if path is None:
        return {}
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--settings {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"--settings {path}: is not JSON ({error})") from error
    if not isinstance(changes, dict):
        raise UsageError(f"--settings {path}: got a {type(changes).__name__}; expected groups of settings in braces")
    return changes


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested settings over one another; the last one wins."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            below = merged.get(name)
            both = isinstance(below, Mapping) and isinstance(value, Mapping)
            merged[name] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def override(base: Model, *changes: Mapping[str, Any], alone: bool = False) -> Model:
    """Return settings with changes, validated.

    Parameters
    ----------
    base : model
        Complete settings.
    *changes : mapping
        Nested changes; later ones win.
    alone : bool
        Look at each value by itself only: what it has to agree with may still change.

    Returns
    -------
    model

    Raises
    ------
    UsageError
        In one sentence, if a setting is unknown or its value is not allowed.
    """
    try:
        return type(base).model_validate(merge(base.model_dump(), *changes))
    except ValidationError as error:
        if alone and all(item["type"] == "value_error" for item in error.errors()):
            return base
        raise UsageError(problem(error, base)) from error


def problem(error: ValidationError, settings: BaseModel | None = None) -> str:
    """Say in one sentence what pydantic found first, with the settings' own words where they help."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    rows = {row.name: row for row in setting_rows(settings)} if settings else {}
    match first["type"]:
        case "extra_forbidden":
            likely = "".join(f"{close}, or " for close in _alike(name, list(rows)))
            command = "noise2atom settings simulate" if isinstance(settings, MovieSettings) else "noise2atom settings"
            return f"got the setting {name}; expected {likely}one that '{command}' lists"
        case "value_error":
            return f"{name}: {first['ctx']['error']}".removeprefix(": ")
        case "string_pattern_mismatch" if name in rows:
            expected = rows[name].text.rstrip(".")
        case "model_type":
            expected = f"settings of this group, such as {next((row for row in rows if row.startswith(name)), name)}=…"
        case _:
            expected = first["msg"].removeprefix("Input should be ")
    return f"{name}: got {first['input']!r}; expected {expected}"


def _alike(name: str, names: list[str]) -> list[str]:
    """Return settings or groups that may be meant: of the same last word, or spelled alike."""
    groups = {known.rpartition(".")[0] for known in names} - {""}
    leaf = name.rpartition(".")[2]
    same = [known for known in names if known.rpartition(".")[2] == leaf]
    return same or difflib.get_close_matches(name, [*names, *sorted(groups)], n=1, cutoff=0.7)
