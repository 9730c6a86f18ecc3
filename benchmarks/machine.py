"""On which computer a figure was measured."""

import os
import platform
from pathlib import Path

import torch


def processor() -> str:
    """Return the name of the processor, as well as the system knows it, and its cores."""
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} with {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores"
