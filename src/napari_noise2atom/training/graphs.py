"""CUDA graphs: a GPU is told once what a pass through a network consists of, not operation by operation each time."""

import warnings
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F

from napari_noise2atom.networks import Generator

__all__ = ["graph_passes"]

UNEXPLAINED = 0.1
"""Largest share of an image's variance by which a graph's image may differ: operations that round otherwise differ by
less, a graph that went wrong by more."""


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
        unexplained = float(F.mse_loss(made, expected) / expected.var())
        if not unexplained < UNEXPLAINED:
            raise RuntimeError(f"the image differs by {unexplained:.2g} of its variance")
    except RuntimeError as error:
        vars(generator).pop("forward", None)
        warnings.warn(f"training goes on without CUDA graphs, more slowly: {error}", RuntimeWarning, stacklevel=2)
