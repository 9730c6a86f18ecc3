"""How far a task is: a bar on a terminal, else a line every few seconds."""

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from .console import say

__all__ = ["ProgressLine", "clock"]

PAUSE_SHARE = 0.02
"""Least time between two lines as a share of all the time so far: half an hour makes 150 lines, a day 350."""


def clock(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressLine:
    """A context in which a task tells how far it is; may be called with the numbers done and to do.

    Parameters
    ----------
    what : str
        What is being done.
    console : Console
        Where to say it.
    every_s : float
        Least time between lines where there is no terminal [s].
    """

    def __init__(self, what: str, console: Console, every_s: float = 5.0) -> None:
        self._what, self._console, self._every_s = what, console, every_s
        self._bar = _bar(console) if console.is_terminal else None
        self._task: TaskID | None = None
        self._began = self._start = self._said = monotonic()
        self._first: int | None = None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, total: int, text: str | None = None) -> None:
        """Show progress; without a text, the time that is left is estimated from what is done."""
        text = self._eta(done, total) if text is None else text
        if self._bar is None:
            self._line(done, total, text)
        elif self._task is None:
            self._task = self._bar.add_task(self._what, total=total, completed=done, text=text)
        else:
            self._bar.update(self._task, total=total, completed=done, text=text)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a sentence above the bar."""
        say(self._console, text, style)

    def _line(self, done: int, total: int, text: str) -> None:
        now = monotonic()
        pause = max(self._every_s, PAUSE_SHARE * (now - self._began))
        if now - self._said >= pause or done >= total:
            self._said = now
            say(self._console, f"{self._what} {done}/{total}  {text}".rstrip())

    def _eta(self, done: int, total: int) -> str:
        """Estimate from what was done here: a resumed task starts with some of it done."""
        if self._first is None:
            self._first, self._start = done, monotonic()
        if done in (self._first, total):
            return ""
        return f"{clock((monotonic() - self._start) / (done - self._first) * (total - done))} left"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        # The rest of the line, cut off at its end and not broken.
        TextColumn(
            "{task.fields[text]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
        console=console,
        expand=True,
    )
