"""Parts of a batch, computed side by side.

On a CPU, two threads that each compute half a batch are as fast as two that share every operation, and they do not wait
for each other: where other programs take a core, training goes on with what is left instead of a fraction of it.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch

__all__ = ["Part", "Team"]

CPU_PARTS = 2
"""Whatever the number of cores, so that results do not depend on it."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Part:
    """Some images of a batch, with random numbers of their own, so that it does not matter which part is first."""

    rows: slice
    """Of the batch."""
    share: float
    """Of the batch, in ]0, 1]; the mean over the batch is that of the parts, weighed by it."""
    rng: np.random.Generator
    """For what is made by numpy."""
    noise: torch.Generator
    """For what is made on the device."""


class Team:
    """Threads that work on the parts of a batch.

    Parameters
    ----------
    device : torch.device
        A GPU takes a batch as a whole.
    threads : int
        CPU threads; 0 means all cores.
    """

    def __init__(self, device: torch.device, threads: int = 0) -> None:
        cores = threads or os.cpu_count() or 1
        self.device = device
        self._most = CPU_PARTS if device.type == "cpu" else 1
        self.threads_per_part = max(1, cores // self._most)
        """CPU threads of the operations on one part, and of what is done in between."""
        workers = min(cores, self._most)
        self._pool = (
            ThreadPoolExecutor(workers, "train", torch.set_num_threads, (self.threads_per_part,))
            if workers > 1
            else None
        )

    def split(self, images: int, *seed: int) -> list[Part]:
        """Cut a batch into parts of about the same size; the seed is that of the step."""
        count = min(self._most, images)
        edges = [images * number // count for number in range(count + 1)]
        return [self._part(slice(*ends), images, (*seed, n)) for n, ends in enumerate(pairwise(edges))]

    def _part(self, rows: slice, images: int, seed: tuple[int, ...]) -> Part:
        rng = np.random.default_rng(seed)
        noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**31)))
        return Part(rows, (rows.stop - rows.start) / images, rng, noise)

    def map(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """Return the work's results, in the order of the parts."""
        return list(map(work, parts) if self._pool is None else self._pool.map(work, parts))
