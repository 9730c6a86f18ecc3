"""CUDA graphs: a GPU is told once what some work consists of, not operation by operation each time."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_noise2atom.networks import Generator

__all__ = ["Work", "graph_passes", "graph_work"]

UNEXPLAINED = 0.1
"""Largest share of the variance of results by which those of a graph may differ: operations that round otherwise differ
by less, a graph that went wrong by more."""
WARM_UP = 3
"""Times that work is done before it is recorded, so that libraries have made their choices."""

Work = Callable[[Tensor, Tensor, torch.Generator], list[Tensor]]
"""Takes clean and generated images, and random numbers."""


def graph_passes(generator: Generator, n: int, side_px: int, precision: AbstractContextManager[object]) -> None:
    """Launch all operations of a generator's pass, there and back, as a graph each; without one if that fails.

    The paper's generator has some 500 operations there and 700 back, most of which take less time than their launch.
    The result is overwritten by that of the next pass, which must not begin before the pass back.

    Parameters
    ----------
    generator : Generator
        On a CUDA GPU; its weights stay where they are.
    n, side_px : int
        Images of a pass, and their side [px]; all passes with gradients must be such.
    precision : context manager
        Within which passes are computed.
    """
    device = next(generator.parameters()).device
    images = torch.randn((n, generator.channels_in, side_px, side_px), generator=torch.Generator().manual_seed(0))
    images = images.to(device)
    try:
        with precision:
            with torch.no_grad():
                expected = generator(images)
            torch.cuda.make_graphed_callables(generator, (images.clone().requires_grad_(),))
            with torch.no_grad():
                made = generator(images)
        _check([made], [expected])
    except RuntimeError as error:
        vars(generator).pop("forward", None)
        _warn(error)


def graph_work(work: Work, clean: Tensor, made: Tensor) -> Work:
    """Return work that is launched as one graph; the work as it is if that fails.

    The critic's step has some hundreds of operations, as it is differentiated twice, on few and small images.

    Parameters
    ----------
    work : callable
        It must not depend on anything but its arguments and weights that stay where they are.
    clean, made : Tensor
        Images like those that it will be given, on a CUDA GPU.

    Returns
    -------
    callable
        Its results are overwritten by those of the next call.
    """
    clean_place, made_place = clean.clone(), made.clone()
    inner = torch.Generator(clean.device)

    def replayed(clean: Tensor, made: Tensor, noise: torch.Generator) -> list[Tensor]:
        clean_place.copy_(clean)
        made_place.copy_(made)
        inner.set_state(noise.get_state())
        replay()
        noise.set_state(inner.get_state())
        return results

    try:
        results, replay = _record(lambda: work(clean_place, made_place, inner), inner)
        for seed in range(2):  # other random numbers must make a difference
            noises = [torch.Generator(clean.device).manual_seed(seed) for _ in range(2)]
            _check(replayed(clean, made, noises[0]), work(clean, made, noises[1]))
    except RuntimeError as error:
        _warn(error)
        return work
    return replayed


def _record(work: Callable[[], list[Tensor]], noise: torch.Generator) -> tuple[list[Tensor], Callable[[], None]]:
    """Return where a graph leaves its results, and what launches it."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(noise)
    with torch.cuda.graph(graph):
        results = work()
    return results, graph.replay


def _check(made: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Raise a RuntimeError if results are not what they should be."""
    here, there = (torch.cat([result.float().flatten() for result in results]) for results in (made, expected))
    unexplained = float(F.mse_loss(here, there) / there.var())
    if not unexplained < UNEXPLAINED:
        raise RuntimeError(f"the result differs by {unexplained:.2g} of its variance")


def _warn(error: RuntimeError) -> None:
    warnings.warn(f"training goes on without CUDA graphs, more slowly: {error}", RuntimeWarning, stacklevel=3)
