"""The processes that train together: one, or those that torchrun has started, on one computer or on many.

Each computes the gradients of its own images; the sum over all processes changes the weights, which are the same
everywhere. torchrun starts the processes and ends them all when one fails, torch.distributed moves the numbers.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from napari_noise2atom.networks import resolve_device

__all__ = ["Message", "Processes", "joined", "run_processes"]

Message = tuple[float, float, float, float]
NOTHING: Message = (0, 0, 0, 0)
"""Room for what the leader says."""


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those that train together; without arguments, it is alone."""

    rank: int = 0
    """Number of this process, from 0, the leader's."""
    count: int = 1
    local_rank: int = 0
    """Number among the processes of this computer, from 0."""
    local_count: int = 1

    def device(self, name: str) -> torch.device:
        """Return the device of a name for this process: of several on a computer, each has a GPU of its own.

        Raises
        ------
        ValueError
            If the device is not there, or cannot be used by several processes.
        """
        device = resolve_device(name)
        if self.count == 1 or device.type == "cpu":
            return device
        if device.type != "cuda" or device.index is not None:
            raise ValueError(f"{self.count} processes cannot share {name}; choose cuda without a number, or cpu")
        if self.local_count > (there := torch.cuda.device_count()):
            raise ValueError(f"got {self.local_count} processes on a computer with {there} GPUs; start one for each")
        device = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(device)
        return device

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes; shapes and order are the same in each."""
        if self.count == 1:
            return
        together = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors])
        dist.all_reduce(together)
        start = 0
        for tensor in tensors:
            tensor.copy_(together[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def tell(self, numbers: Message | None) -> Message:
        """Return the leader's numbers in all processes; the others give None."""
        told = torch.tensor(numbers or NOTHING, dtype=torch.float64)
        dist.broadcast(told, src=0)
        first, second, third, last = told.tolist()
        return first, second, third, last

    def tell_bytes(self, content: bytes | None) -> bytes:
        """Return the leader's bytes in all processes; the others give None."""
        length = int(self.tell(None if content is None else (len(content), 0, 0, 0))[0])
        told = torch.frombuffer(bytearray(content or bytes(length)), dtype=torch.uint8)
        dist.broadcast(told, src=0)
        return told.numpy().tobytes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun has started; without it, be alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Processes()
        return
    dist.init_process_group()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    yield Processes(*(int(os.environ[name]) for name in names))
    # Not after an error: the others may wait in the middle of a step, and torchrun will end them.
    dist.destroy_process_group()


def run_processes(words: Sequence[str], devices: int, nodes: int = 1, rendezvous: str | None = None) -> dict[int, int]:
    """Run a Python program in several processes, by torchrun, and wait for their end.

    Ctrl-C goes on to all of them, which end in their own way.

    Parameters
    ----------
    words : sequence of str
        What stands after ``python``.
    devices : int
        Processes on this computer.
    nodes : int
        Computers; each calls this function with the same arguments.
    rendezvous : str, optional
        ``HOST:PORT`` where several computers meet.

    Returns
    -------
    dict of int to int
        Exit codes of those on this computer that failed, by rank; negative if a signal ended them.
    """
    # Its warnings and tracebacks repeat what the processes have said themselves.
    logger = logging.getLogger("torch.distributed.elastic")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=devices,
        run_id="noise2atom",
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(*words)
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}
    except SignalException:
        return {}
    return {}
