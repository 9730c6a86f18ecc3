"""Where the time of a training step goes, by kinds of operations."""

import time
from collections.abc import Callable

import numpy as np
from torch.profiler import ProfilerActivity, profile

KINDS = {
    "convolutions, forward": ("mkldnn_convolution", "slow_conv", "thnn_conv"),
    "convolutions, backward": ("convolution_backward", "ConvolutionBackward"),
    "norm and activation": ("leaky_relu", "LeakyRelu", "group_norm", "GroupNorm", "batch_norm", "tanh", "sigmoid"),
    "casts and copies": ("copy", "aten::to", "ToCopy", "empty", "resize", "clone", "contiguous", "aten::cat"),
    "shuffles and padding": ("pixel_", "pad"),
    "arithmetic": ("add", "mul", "div", "sub", "sqrt", "lerp", "sum", "mean", "norm", "Optimizer", "fill_", "zero_"),
}
"""By what their names hold; the first that fits."""
OTHER, OUTSIDE = "other operations", "outside PyTorch"
PROFILED_STEPS = 3


def time_by_kind(step: Callable[[], object]) -> tuple[float, dict[str, float]]:
    """Profile some steps on one thread.

    Parameters
    ----------
    step : callable
        One step, warmed up.

    Returns
    -------
    seconds : float
        Of one step; profiling makes it slower.
    shares : dict
        By kind, in per cent; they add up to 100.
    """
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        seconds = time.perf_counter() - start
    shares = dict.fromkeys([*KINDS, OTHER], 0.0)
    for event in profiler.key_averages():
        shares[kind_of(event.key)] += 1e-4 * event.self_cpu_time_total / seconds
    shares[OUTSIDE] = max(0.0, 100 - float(np.sum(list(shares.values()))))
    return seconds / PROFILED_STEPS, shares


def kind_of(operation: str) -> str:
    return next((kind for kind, names in KINDS.items() if any(name in operation for name in names)), OTHER)
