"""Masked training: a network learns the movie's own pixels, which are hidden from it.

Noise that is independent from pixel to pixel cannot be foretold, the image can; so the best prediction of a hidden
noisy pixel is its expected value (Krull et al. 2019; Batson & Royer 2019, prop. 1).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import NetworkSettings
from napari_noise2atom.training.patches import Patches, hidden_places, hide

__all__ = ["Batch", "BlindSpots", "masked_loss"]

REACH_PX = 2
"""Pixels to the left and right of a judged one that are hidden too: afterglow carries its noise there."""
SPACING = (3, 6)
"""Rows and columns from one judged pixel to the next."""
SAMPLED_FRAMES = 120
CROP_PX = 64
BATCH_SIZE = 8


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops in which some pixels of the middle frame are hidden.

    Parameters
    ----------
    blind : Tensor, shape (n, frames, h, w)
        What the network may see.
    target : Tensor, shape (n, 1, h, w)
        The middle frame as recorded.
    judged : Tensor of bool, shape (h, w)
        Where the prediction is compared with it.
    """

    blind: Tensor
    target: Tensor
    judged: Tensor


class BlindSpots:
    """An endless source of batches from a movie; each depends on the seed and its number alone.

    The judged pixels form a grid whose place is random. What is hidden is filled by the mean of the scan lines above
    and below.

    Parameters
    ----------
    movie : Movie
        Raw movie without bad frames.
    frames_in : int
        Neighbouring frames that the network sees, an odd number.
    normalisation : Normalisation
        Of the grey values.
    device : torch.device
        Where the batches lie.
    seed : int
        Of all random numbers.
    """

    def __init__(
        self, movie: Movie, frames_in: int, normalisation: Normalisation, device: torch.device, seed: int
    ) -> None:
        rng = np.random.default_rng((seed, 1))
        chosen = tuple(rng.choice(len(movie), min(SAMPLED_FRAMES, len(movie)), replace=False).tolist())
        self._patches = Patches.of(movie, chosen, NetworkSettings(frames_in=frames_in), normalisation, rng)
        self._crop_px = min(CROP_PX, *movie.shape[1:])
        self._device, self._seed = device, seed

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        rng = np.random.default_rng((self._seed, 2, step))
        windows = self._patches.draw(BATCH_SIZE, self._crop_px, augment=True, rng=rng)
        row, column = (int(rng.integers(0, spacing)) for spacing in SPACING)
        judged, hidden = hidden_places((self._crop_px, self._crop_px), row, column, REACH_PX, spacing=SPACING)
        middle = windows.shape[1] // 2
        target = windows[:, middle : middle + 1].to(self._device)
        blind = hide(windows, hidden).to(self._device, memory_format=torch.channels_last)
        return Batch(blind, target, judged.to(self._device))


def masked_loss(network: Generator, batch: Batch) -> Tensor:
    """Return the mean square difference at the judged pixels, the self-supervised loss of both publications."""
    loss: Tensor = (network(batch.blind) - batch.target).square()[..., batch.judged].mean()
    return loss
