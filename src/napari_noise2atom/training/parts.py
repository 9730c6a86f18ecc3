"""Parts of a batch, computed side by side.

On a CPU, two threads that each compute half a batch are as fast as two that share every operation, and they do not wait
for each other: where other programs take a core, training goes on with what is left instead of a fraction of it.
Where several processes train together, each has one part.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from .processes import Processes

__all__ = ["Ahead", "Part", "Team"]

CPU_PARTS = 2
"""Whatever the number of cores, so that results do not depend on it."""
MOST_AHEAD = 4
"""Steps whose images are drawn while a GPU computes: simulating them takes longer than a small network's step there."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Part:
    """Some images of a batch, with random numbers of their own, so that it matters not where it is done."""

    number: int
    """Among the parts of this process, from 0."""
    rows: slice
    """Of the batch of all processes."""
    share: float
    """Of that batch, in ]0, 1]; the mean over the batch is that of the parts, weighed by it."""
    rng: np.random.Generator
    """For what is made by numpy."""
    noise: torch.Generator
    """For what is made on the device."""

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)


class Team:
    """Threads that work on the parts of a batch.

    Parameters
    ----------
    device : torch.device
        A GPU takes a batch as a whole.
    threads : int
        CPU threads of this process; 0 means all cores, shared with the other processes on this computer.
    processes : Processes
        Those that train together.
    """

    def __init__(self, device: torch.device, threads: int = 0, processes: Processes | None = None) -> None:
        self.device, self.processes = device, processes or Processes()
        cores = threads or max(1, (os.cpu_count() or 1) // self.processes.local_count)
        alone = CPU_PARTS if device.type == "cpu" else 1
        self._most = max(alone, self.processes.count)
        self._steps_ahead = 0 if device.type == "cpu" else min(MOST_AHEAD, cores - 1)
        here = 1 if self.processes.count > 1 else alone
        self.threads_per_part = max(1, cores // here)
        """CPU threads of the operations on one part, and of what is done in between."""
        workers = min(cores, here)
        self._pool = (
            ThreadPoolExecutor(workers, "train", torch.set_num_threads, (self.threads_per_part,))
            if workers > 1
            else None
        )

    def split(self, images: int, *seed: int) -> list[Part]:
        """Return this process's parts of a batch; the seed is that of the step.

        Parameters
        ----------
        images : int
            Of one process; the batch has so many for each.
        *seed : int
            The same in all processes.

        Returns
        -------
        list of Part
            Of about the same size.
        """
        total = images * self.processes.count
        count = min(self._most, total)
        edges = [total * number // count for number in range(count + 1)]
        mine = range(self.processes.rank, count, self.processes.count)
        return [self._part(n, slice(*edges[at : at + 2]), total, (*seed, at)) for n, at in enumerate(mine)]

    def _part(self, number: int, rows: slice, total: int, seed: tuple[int, ...]) -> Part:
        rng = np.random.default_rng(seed)
        noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**31)))
        return Part(number, rows, (rows.stop - rows.start) / total, rng, noise)

    def map(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """Return the work's results, in the order of the parts."""
        return list(map(work, parts) if self._pool is None else self._pool.map(work, parts))

    def ahead(self, make: Callable[[int, int], Result]) -> "Ahead[Result]":
        """Return what makes something for each step: on a GPU, spare cores do it some steps ahead."""
        return Ahead(make, self._steps_ahead)


class Ahead(Generic[Result]):
    """Makes something for each step of a stage, in the background for the next ones.

    Parameters
    ----------
    make : callable
        Takes the number of a step and that of the attempt; what it returns depends on nothing else.
    steps : int
        So many next ones are made meanwhile; with 0, everything is made when it is asked for.
    """

    def __init__(self, make: Callable[[int, int], Result], steps: int) -> None:
        self._make, self._steps = make, steps
        self._pool = ThreadPoolExecutor(steps, "draw") if steps else None
        self._made: dict[tuple[int, int], Future[Result]] = {}

    def __call__(self, step: int, attempt: int) -> Result:
        """Return what was made for a step of an attempt."""
        if self._pool is None:
            return self._make(step, attempt)
        wanted = [(number, attempt) for number in range(step, step + self._steps + 1)]
        self._made = {which: self._made.get(which) or self._pool.submit(self._make, *which) for which in wanted}
        return self._made[step, attempt].result()
