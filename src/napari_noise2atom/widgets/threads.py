"""Threads that work for the window: what goes wrong in them becomes a sentence, and none outlives the program."""

import atexit
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from qtpy.QtCore import QCoreApplication

__all__ = ["JobError", "Outcome", "end_all", "in_words", "outcome_of", "start_thread"]

ENDS_JOBS = "napari-noise2atom ends its jobs"
"""Property of the application that is told once to do so."""
LAST_STEP_S = 30.0
"""How long quitting waits for the last step, and a training's checkpoint."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a function has returned, or in one sentence what went wrong."""

    result: Any = None
    problem: str = ""


class JobError(Exception):
    """What went wrong, in one sentence for the user."""


def in_words(error: BaseException) -> str:
    """Say in one sentence what went wrong, and for memory what to do."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"There was too little memory: choose smaller batches or crops, or the device cpu ({text})."
    match error:
        case OSError(strerror=str(reason)):
            return reason if error.filename is None else f"{error.filename}: {reason}"
        case ValueError() | OSError() | JobError():
            return text
    return f"{type(error).__name__}: {text}"


def outcome_of(work: Callable[[], Any]) -> Outcome:
    """Return a function's result or what went wrong; nothing is raised, or nobody would know of the end."""
    try:
        return Outcome(work())
    except BaseException as error:
        return Outcome(problem=in_words(error))


class _Thread(NamedTuple):
    """A thread at work."""

    end: Callable[[], None]
    over: threading.Event


_AT_WORK: set[_Thread] = set()


def start_thread(work: Callable[[], None], end: Callable[[], None]) -> threading.Event:
    """Work in a thread; return what is set when it is over. A program that ends before wishes its end and waits."""
    thread = _Thread(end, threading.Event())

    def run() -> None:
        try:
            work()
        finally:
            _AT_WORK.discard(thread)
            thread.over.set()

    _AT_WORK.add(thread)
    application = QCoreApplication.instance()
    if application is not None and not application.property(ENDS_JOBS):
        application.setProperty(ENDS_JOBS, True)
        application.aboutToQuit.connect(end_all)
    # a daemon, so that one that does not end cannot keep the program from ending
    threading.Thread(target=run, name="job", daemon=True).start()
    return thread.over


@atexit.register
def end_all() -> None:
    """End what is at work: a training keeps a checkpoint, what is half written is taken away."""
    threads = [*_AT_WORK]
    for thread in threads:
        thread.end()
    for thread in threads:
        thread.over.wait(LAST_STEP_S)
