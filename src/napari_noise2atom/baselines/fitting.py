"""What the methods that train a network here have in common: the device, the descent, the whole movie."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator, limited_threads, resolve_device, translate_tiled
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import CompareSettings, NetworkSettings
from napari_noise2atom.training.optimisers import Adam
from napari_noise2atom.windows import FrameWindows

from .method import Progress

__all__ = ["fit", "placed", "portion", "prepared", "to_grey", "translate_movie"]

N = TypeVar("N", bound=nn.Module)

LEARNING_RATE = 2e-3
ADAM_DECAYS = 0.9, 0.999
RAMP_STEPS = 50
"""Steps over which the learning rate rises."""
MARGIN_PX = 8
"""Scan lines that are reflected at the edges: masked training judges no pixel in the first and last line of a crop."""
TILE_PX = 256
"""Side of the tiles in which large frames are computed; many results a pixel want memory."""


@contextmanager
def prepared(settings: CompareSettings) -> Iterator[torch.device]:
    """Compute on the chosen device with the chosen threads and seed, and leave the caller's torch as it was.

    Raises
    ------
    ValueError
        If the device is not there.
    """
    device = resolve_device(settings.device)
    seeded = [device] if device.type == "cuda" else []
    with limited_threads(settings.threads), torch.random.fork_rng(devices=seeded):
        torch.manual_seed(settings.seed)
        yield device


def placed(network: N, device: torch.device) -> N:
    """Return a network on a device, in the layout in which convolutions take half the time on a CPU."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def portion(progress: Progress, start: float, stop: float) -> Progress:
    """Return the progress of a part that lasts from one share of the whole to another."""
    return lambda share: progress(start + (stop - start) * share)


def fit(
    network: nn.Module,
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    minutes: float,
    progress: Progress,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Descend by Adam; the learning rate rises over the first steps and falls along a cosine.

    Where the minutes end the descent before the steps do, the result depends on the speed of the computer.

    Parameters
    ----------
    network : Module
        What is trained, in place.
    loss : callable
        From the number of the step, from 0, to a scalar.
    steps : int
        Most steps, at least 1.
    minutes : float
        Most time, may be infinite; the step at hand is finished [min].
    progress : callable
        Is told the share of steps or minutes, whichever is larger.
    learning_rate : float
        Peak learning rate.

    Raises
    ------
    ArithmeticError
        If the loss is NaN or infinite.
    """
    optimiser = Adam(network.parameters(), learning_rate, ADAM_DECAYS)
    start = time.monotonic()
    for step in range(steps):
        share = max(step / steps, (time.monotonic() - start) / (60 * minutes))
        if share >= 1 and step:
            break
        progress(min(1.0, share))
        cosine = 0.5 + 0.5 * float(np.cos(np.pi * min(1.0, share)))
        optimiser.rate = learning_rate * min(1.0, (step + 1) / RAMP_STEPS) * max(1e-3, cosine)
        value = loss(step)
        if not bool(torch.isfinite(value)):
            raise ArithmeticError(f"the loss is {value.item()} in step {step}; expected a finite number")
        optimiser.step(torch.autograd.grad(value, optimiser.weights, allow_unused=True))
    progress(1.0)


def translate_movie(
    movie: Movie, network: Generator, normalisation: Normalisation, device: torch.device, progress: Progress
) -> NDArray[np.float32]:
    """Apply a network to every frame and its neighbours, in tiles where the frames are large.

    Parameters
    ----------
    movie : Movie
        Raw movie.
    network : Generator
        On the device.
    normalisation : Normalisation
        Of the network's input.
    device : torch.device
        Where to compute.
    progress : callable
        Is told the share of frames that are done.

    Returns
    -------
    array, shape (t, y, x)
        As the network puts it out.
    """
    seen = NetworkSettings(frames_in=network.frames_in)
    windows = FrameWindows(movie, seen, normalisation.low, normalisation.high)
    translated = np.empty(movie.shape, np.float32)
    margin = min(MARGIN_PX, movie.shape[1] - 1)
    with torch.inference_mode():
        for index in range(len(movie)):
            window = torch.from_numpy(normalisation.apply(np.stack(windows(index))))
            framed = F.pad(window[None].to(device), (0, 0, margin, margin), mode="reflect")
            result = translate_tiled(network, framed, TILE_PX)[0, 0, margin : margin + movie.shape[1]]
            translated[index] = result.cpu().numpy()
            progress((index + 1) / len(movie))
    return translated


def to_grey(normalised: NDArray[np.float32], normalisation: Normalisation) -> NDArray[np.float32]:
    """Map what a normalisation made, [-1, 1], back to the movie's grey values."""
    low, high = np.float32(normalisation.low), np.float32(normalisation.high)
    grey: NDArray[np.float32] = (normalised + 1) * ((high - low) / 2) + low
    return grey
