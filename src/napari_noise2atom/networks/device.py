"""Where to compute."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["limited_threads", "mixed_precision", "precision", "resolve_device", "spare_threads", "use_threads"]

BFLOAT16_OF_CPU = ("avx512_bf16", "amx_bf16")
"""Instructions that multiply numbers of this type; without them it is slower than float32."""
CUDA_WITH = {torch.bfloat16: 8, torch.float16: 7}
"""Major version of the first GPUs that multiply such numbers (Ampere, Volta)."""


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; auto takes the first that is there of cuda, mps, cpu.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the name is unknown or the device is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise ValueError(f"device {name!r} is unknown; expected auto, cpu, cuda, cuda:N or mps")
    if kind == "mps" and not mps:
        raise ValueError("device 'mps' was asked for, but there is no Apple GPU here; choose auto or cpu")
    if kind == "cuda" and not cuda:
        raise ValueError(f"device {name!r} was asked for, but torch finds no CUDA GPU here; choose auto or cpu")
    if number and int(number) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} was asked for, but the last CUDA GPU is cuda:{torch.cuda.device_count() - 1}"
        )
    return torch.device(name)


def precision(device: torch.device, wanted: bool = True, *, fine: bool = False) -> torch.dtype:
    """Return the type of numbers in which convolutions and matrix products are done.

    Parameters
    ----------
    device : torch.device
        Where the networks are.
    wanted : bool
        Whether 16 bits will do, where the hardware multiplies such numbers; otherwise it is float32.
    fine : bool
        In float16 instead of bfloat16, which rounds eight times as finely, as TF32 does, and overflows at 65 504; on
        CUDA GPUs only.

    Returns
    -------
    torch.dtype
    """
    kind = torch.float16 if fine else torch.bfloat16
    return kind if wanted and _multiplies(device, kind) else torch.float32


def mixed_precision(device: torch.device, wanted: bool = True, *, fine: bool = False) -> torch.autocast:
    """Return a context in which convolutions and matrix products are done in the `precision` of the same arguments.

    Weights, sums over pixels, losses and a generator's last convolution stay in float32.
    """
    kind = precision(device, wanted, fine=fine)
    mixed = kind != torch.float32
    # All threads share the cache of rounded weights: what is found there would depend on who was first.
    return torch.autocast(device.type, kind if mixed else None, enabled=mixed, cache_enabled=False)


def _multiplies(device: torch.device, kind: torch.dtype) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= CUDA_WITH[kind]
    if device.type == "cpu" and kind == torch.bfloat16:
        if not hasattr(torch.cpu, "get_capabilities"):  # older versions of torch do not tell
            return False
        return any(torch.cpu.get_capabilities().get(name, False) for name in BFLOAT16_OF_CPU)
    return False


def use_threads(threads: int = 0) -> int:
    """Set the CPU threads of the calling thread's tensor operations.

    Parameters
    ----------
    threads : int
        Number of threads; 0 means all cores but one, because torch slows down severalfold when cores are taken.

    Returns
    -------
    int
        The number that was set.
    """
    count = spare_threads(threads)
    torch.set_num_threads(count)
    return count


def spare_threads(threads: int = 0) -> int:
    """Return a number of threads; instead of 0, that of all cores but one."""
    return threads or max(1, (os.cpu_count() or 1) - 1)


@contextmanager
def limited_threads(threads: int = 0) -> Iterator[None]:
    """Compute with so many CPU threads, as `use_threads` sets them, and leave the caller's number as it was."""
    before = torch.get_num_threads()
    use_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
