"""Where text goes: results to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["jsonable", "messages", "number", "print_json", "results", "say", "table", "tell_notes"]

_WIDTH = 120
"""Characters of a line where there is no terminal that has a width."""


def results(as_json: bool = False) -> Console:
    """Return where tables for people go: standard output, unless that is reserved for JSON."""
    return messages() if as_json else _console(sys.stdout)


def messages() -> Console:
    """Return where progress and warnings go."""
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    return Console(file=stream, width=None if stream.isatty() else _WIDTH, highlight=False)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a sentence as it is: no markup, and unbroken where there is no terminal."""
    # As Text, because a style given to print would colour a progress bar below, too.
    console.print(Text(text, style=style or ""), soft_wrap=not console.is_terminal)


def tell_notes(notes: Iterable[str]) -> None:
    """Print what a file's reader found worth knowing."""
    for note in notes:
        say(messages(), f"Note: {note}", style="yellow")


def table(title: str, rows: Iterable[tuple[str, ...]], header: tuple[str, ...] = ()) -> Table:
    """Return a table without frames; a header is optional."""
    # Long text is broken, names and numbers are not.
    grid = Table(title=title or None, box=None, title_justify="left", title_style="bold", show_header=bool(header))
    rows = list(rows)
    for index in range(len(header) or len(rows[0])):
        longest = max((len(row[index]) for row in rows), default=0)
        grid.add_column(Text(header[index]) if header else "", no_wrap=longest < 40, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def number(value: float, unit: str = "") -> str:
    """Write a number with as many digits as mean something, and its unit; NaN is a dash."""
    if not isfinite(value):
        return "–"
    text = f"{value:.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def jsonable(value: Any) -> Any:
    """Turn anything that this program hands around into what JSON can hold; arrays are left out, NaN is null."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping():
            return {str(key): jsonable(item) for key, item in value.items() if not _is_array(item)}
        case tuple() | list():
            return [jsonable(item) for item in value]
        case Path() | Enum():
            return str(value)
        case float() if not isfinite(value):
            return None
        case _ if is_dataclass(value):
            return jsonable({field.name: getattr(value, field.name) for field in fields(value)})
    return value


def print_json(value: Any) -> None:
    """Print one JSON object on one line of standard output."""
    print(json.dumps(jsonable(value), allow_nan=False), flush=True)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__")
