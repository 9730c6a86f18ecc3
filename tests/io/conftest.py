import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def stack() -> np.ndarray:
    """Six frames of 20 × 30 grey values up to 100, which fit into every type."""
    return np.random.default_rng(5).integers(0, 100, (6, 20, 30)).astype(np.uint16)


@pytest.fixture
def grown_mib() -> Callable[[], float]:
    """Return what tells by how much this process has grown at most since the test began, as Linux counts it."""
    if sys.platform != "linux":
        return lambda: 0.0
    # Forgets the peak so far; otherwise, what grows less than an earlier test would not be noticed.
    Path("/proc/self/clear_refs").write_text("5")
    before = _most_memory_mib()
    return lambda: _most_memory_mib() - before


def _most_memory_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
