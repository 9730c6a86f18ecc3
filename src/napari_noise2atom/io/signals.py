"""A file may hold several movies (channels, series, detectors): which one is taken."""

from collections.abc import Sequence
from typing import NamedTuple

from .frames import MovieFileError

__all__ = ["Chosen", "choose_signal"]


class Chosen(NamedTuple):
    """Which movie of a file is taken."""

    number: int
    names: tuple[str, ...]
    """Of all, if there are several."""
    notes: tuple[str, ...]
    """That there are several, if nobody has chosen."""


def choose_signal(names: Sequence[str], signal: int | str | None, file: str) -> Chosen:
    """Choose the movie to take.

    Parameters
    ----------
    names : sequence of str
        What the movies in the file are called; never empty.
    signal : int, str or None
        Index or name that the user asked for; None takes the first.
    file : str
        The file's name, for messages.

    Raises
    ------
    ValueError
        If there is no such movie in the file.
    """
    listed = ", ".join(f"{i} {name!r}" for i, name in enumerate(names[:20])) + (" ..." if len(names) > 20 else "")
    index = _index(names, signal)
    if index is None:
        raise MovieFileError(f"{file}: there is no signal {signal!r}; choose one of {listed}")
    if len(names) == 1:
        return Chosen(index, (), ())
    note = f"{file} holds {len(names)} movies ({listed}); this is number {index}, signal=... chooses another."
    return Chosen(index, tuple(names), (note,) if signal is None else ())


def _index(names: Sequence[str], signal: int | str | None) -> int | None:
    if signal is None:
        return 0
    if isinstance(signal, int):
        return signal if 0 <= signal < len(names) else None
    if signal in names:
        return list(names).index(signal)
    return int(signal) if signal.isdecimal() and int(signal) < len(names) else None
