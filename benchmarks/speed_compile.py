"""What `torch.compile` would gain, and what it costs before it gains anything."""

import copy
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from speed_timing import Bench, Result, Side, alternate, number

from napari_noise2atom.networks import Generator, build_s2c, memory_layout, mixed_precision
from napari_noise2atom.settings import preset

Work = Callable[[torch.nn.Module, torch.Tensor], None]
APPLIED_PX = 128


def compiled(bench: Bench) -> list[Result]:
    """Time a generator compiled and as it is: a batch of the training there and back, and one image applied."""
    results = []
    for name in ("paper", "compact"):
        settings = preset(name)
        torch.manual_seed(0)
        s2c = build_s2c(settings.network)
        device = torch.device(bench.device)
        s2c.to(device, memory_format=memory_layout(s2c, device))  # type: ignore[call-overload]
        batch = settings.warm_start.batch_size if settings.warm_start.steps else bench.batch
        crops = torch.randn(batch, s2c.channels_in, *2 * [settings.simulation.crop_px], device=device)
        frame = torch.randn(1, s2c.channels_in, APPLIED_PX, APPLIED_PX, device=device)
        results += [
            gain(bench, f"compiled-{name}-trained", s2c, there_and_back, crops),
            gain(bench, f"compiled-{name}-applied", s2c, partial(there, fine=s2c.needs_statistics), frame),
        ]
    return results


def gain(bench: Bench, row: str, s2c: Generator, work: Work, images: torch.Tensor) -> Result:
    as_it_is = Side(partial(work, s2c, images), bench)
    torch.compiler.reset()
    start = time.perf_counter()
    faster = Side(partial(work, torch.compile(copy.deepcopy(s2c)), images), bench)
    prepared_s = time.perf_counter() - start
    before_s, after_s = alternate(bench, as_it_is, faster)
    words = (
        f"as it is: {number(1e3 * np.median(before_s))} ms; {len(images)} of {images.shape[-1]}² px; "
        f"{number(prepared_s)} s until it was compiled and warm"
    )
    return Result(row, "times as fast", before_s / after_s, words)


def there_and_back(network: torch.nn.Module, images: torch.Tensor) -> None:
    with mixed_precision(images.device):
        loss = network(images).square().mean()
    torch.autograd.grad(loss, [*network.parameters()])


@torch.inference_mode()
def there(network: torch.nn.Module, images: torch.Tensor, fine: bool) -> None:
    with mixed_precision(images.device, fine=fine):
        network(images)
