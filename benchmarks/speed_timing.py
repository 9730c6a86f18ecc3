"""How pieces of work are timed: warmed up, in turn, often enough; and what the computer can do at most."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

FILL_S = 0.5
"""A piece of work that is shorter is repeated for so long within one timing."""
MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
COPIED_MIB = {"cpu": 256, "cuda": 2048}


@dataclass(frozen=True)
class Bench:
    """Under which conditions is measured."""

    device: str
    threads: int
    repeats: int
    quick: bool
    batch: int
    minutes: float

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


@dataclass(frozen=True)
class Result:
    """One figure: the values of all repeats, and in words what they are compared with."""

    name: str
    unit: str
    values: NDArray[np.float64]
    against: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        values = [float(f"{value:.4g}") for value in np.atleast_1d(self.values)]
        figure = float(f"{np.median(values):.4g}")
        spread = {"low": min(values), "high": max(values), "values": values}
        return {
            "name": self.name,
            "figure": figure,
            "unit": self.unit,
            **spread,
            "against": self.against,
        } | self.details


class Side:
    """A piece of work whose time is compared with that of others."""

    def __init__(self, work: Callable[[], object], bench: Bench) -> None:
        self._work, self._bench = work, bench
        self.peak_mib = 0.0
        self._calls = 1
        first = self.seconds()  # warms up: memory, kernels, caches
        if first < FILL_S:
            self._calls = max(1, math.ceil(FILL_S / max(self.seconds(), 1e-5)))

    def seconds(self) -> float:
        """Return the mean time of one call [s]."""
        if self._bench.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._wait()
        start = time.perf_counter()
        for _ in range(self._calls):
            self._work()
        self._wait()
        passed = time.perf_counter() - start
        if self._bench.on_gpu:
            self.peak_mib = max(self.peak_mib, torch.cuda.max_memory_allocated() / 2**20)
        return passed / self._calls

    def _wait(self) -> None:
        if self._bench.on_gpu:
            torch.cuda.synchronize()

    @property
    def memory(self) -> str:
        """In words, where it is known for one side alone: on a GPU."""
        return f", at most {self.peak_mib:.0f} MiB" if self._bench.on_gpu else ""


def alternate(bench: Bench, *sides: Side) -> list[NDArray[np.float64]]:
    """Time the sides in turn; return the seconds of each, one value a repeat."""
    rounds = [[side.seconds() for side in sides] for _ in range(bench.repeats)]
    return list(np.array(rounds).T)


def ratio_in_words(ratio: NDArray[np.float64]) -> str:
    return f"here {number(np.median(ratio))} times as fast ({number(ratio.min())}–{number(ratio.max())})"


def number(value: float) -> str:
    """Write three digits, and no more zeros than needed."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{digits}f}"


def matrix_product(bench: Bench, dtype: torch.dtype, tf32: bool = False) -> tuple[Callable[[], object], float]:
    """Return a product of two large square matrices, and its operations."""
    side = MATRIX_SIDE[bench.device]
    left, right = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
    if not bench.on_gpu and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # The library that computes convolutions; that of torch.mm is half as fast on some processors.
        left, right = left.to_mkldnn(), right.to_mkldnn()

    def multiply() -> None:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        F.linear(left, right)
        torch.backends.cuda.matmul.allow_tf32 = False

    return torch.inference_mode()(multiply), 2.0 * side**3


def memory_copy(bench: Bench) -> tuple[Callable[[], object], float]:
    """Return a copy within the device's memory, and the bytes that it reads and writes."""
    source = torch.zeros(COPIED_MIB[bench.device] * 2**18, device=bench.device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2.0 * source.nbytes


class Operations(TorchDispatchMode):
    """Counts additions and multiplications of all that is computed within its context, backward passes included.

    It counts as torch's FlopCounterMode does, which cannot follow a gradient of a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def operations(network: torch.nn.Module, channels: int, size_px: int) -> float:
    """Count the operations for one image; they grow with its area, so that a small one is enough."""
    small = 64
    with Operations() as counted, torch.no_grad():
        network(torch.zeros(1, channels, small, small))
    return counted.total * (size_px / small) ** 2


class Others:
    """How much of the computer other programs take meanwhile: a figure is worth little if it is much."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float:
        """Return the mean number of cores that were busy for others since the start."""
        now = self._now()
        wall, busy, own = (b - a for a, b in zip(self._start, now, strict=True))
        return max(0.0, (busy - own) / wall)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        total, own = psutil.cpu_times()._asdict(), psutil.Process().cpu_times()._asdict()
        # a guest's time is in that of the user already
        idle = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(seconds for kind, seconds in total.items() if kind not in idle)
        mine = sum(own.get(kind, 0.0) for kind in ("user", "system", "children_user", "children_system"))
        return time.perf_counter(), busy, mine
