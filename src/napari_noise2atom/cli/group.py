"""A group of processes that train together, started by torchrun on each computer."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer

from .console import messages, say
from .overrides import UsageError

__all__ = ["check_group", "ignored_interrupt", "is_helper", "is_launched", "launch", "leave"]

RUN_ID = "TORCHELASTIC_RUN_ID"
"""Name of what torchrun writes into the environment of the processes that it starts."""


def is_launched() -> bool:
    """Tell whether torchrun has started this process."""
    return RUN_ID in os.environ


def is_helper() -> bool:
    """Tell whether this process assists another one."""
    return is_launched() and os.environ["RANK"] != "0"


def check_group(devices: int, nodes: int, rendezvous: str | None) -> None:
    """Refuse computers that do not know where to meet."""
    if nodes > 1 and rendezvous is None:
        raise UsageError(f"--nodes got {nodes}; add --rendezvous HOST:PORT, so that the computers find each other")
    if rendezvous is not None:
        _, colon, port = rendezvous.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UsageError(f"--rendezvous got {rendezvous!r}; expected HOST:PORT, such as node1:29500")
        if nodes == 1:
            raise UsageError("--rendezvous is for several computers; add --nodes M, or leave it out")


def launch(devices: int, nodes: int, rendezvous: str | None, words: Sequence[str]) -> None:
    """Run the command in so many processes here, which join those of the other computers, and wait for the end.

    Parameters
    ----------
    devices : int
        Processes on this computer.
    nodes : int
        Computers.
    rendezvous : str or None
        Where they meet.
    words : sequence of str
        Words after ``noise2atom``.
    """
    from napari_noise2atom.training import run_processes

    failed = run_processes(("-m", "napari_noise2atom.cli", *words), devices, nodes, rendezvous)
    for rank, code in failed.items():
        if code < 0:  # ended by a signal; others have said what went wrong
            say(messages(), f"Error: process {rank} was killed; --resume goes on from the last checkpoint.", "red")
    if failed:
        raise typer.Exit(1)


def leave(code: str | int | None) -> NoReturn:
    """End a process of a group at once.

    While Python winds itself up, a thread of torch.distributed may still ask for it; the process would be aborted, and
    torchrun would end the others, whose work is not done yet.

    Parameters
    ----------
    code : int, str or None
        As `sys.exit` takes it: None is 0, words are 1.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


@contextmanager
def ignored_interrupt() -> Iterator[None]:
    """Leave Ctrl-C to the leader."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
