"""A multi-resolution network taught by simulated pairs, after MCNN (Wang et al. 2020)."""

from functools import partial
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_noise2atom.estimate import propose
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import CompareSettings, NetworkSettings, preset
from napari_noise2atom.simulate.pairs import simulate_pairs

from .fitting import fit, placed, portion, prepared, translate_movie
from .method import Progress

__all__ = ["MultiResolution", "mcnn"]

CHANNELS = (16, 32, 48, 64)
"""Of the branches at the full, half, quarter and eighth resolution."""
OVERLAP_PX = 40
BATCH_SIZE = 8
CROP_PX = 64
STEPS = 1600
TRAINING_SHARE = 0.95


class MultiResolution(Generator):
    """Branches that see the frame at its full, half, quarter and eighth resolution, fused from coarse to fine.

    This is not the published network, whose layers, loss and training are not known here. Kept is the principle that
    gave it its name, branches of several resolutions whose results are joined. Number and width of the branches, their
    two convolutions (four in the coarsest), averages for the reduction, and a nearest-neighbour enlargement before each
    fusing convolution are choices of this package, made so that it costs less than the compact network. There is no
    normalisation, so that the result does not depend on tiles.
    """

    def __init__(self) -> None:
        super().__init__(frames_in=1, noise_channels=0, overlap_px=OVERLAP_PX, needs_statistics=False)
        *fine, coarsest = CHANNELS
        self.branches = nn.ModuleList(
            [*(_convolutions(1, c, c) for c in fine), _convolutions(1, coarsest, coarsest, coarsest)]
        )
        self.fusions = nn.ModuleList(
            _convolutions(channels + coarser, channels) for channels, coarser in pairwise(CHANNELS)
        )
        self.last = nn.Conv2d(CHANNELS[0], 1, 3, padding=1)

    def translate(self, images: Tensor) -> Tensor:
        """Translate images whose sides are multiples of 8."""
        *fine, fused = [branch(_reduced(images, 2**level)) for level, branch in enumerate(self.branches)]
        for own, fusion in zip(reversed(fine), reversed(self.fusions), strict=True):
            fused = fusion(torch.cat([own, F.interpolate(fused, scale_factor=2)], dim=1))
        return self.last(fused)  # type: ignore[no-any-return]


def _reduced(images: Tensor, factor: int) -> Tensor:
    return F.avg_pool2d(images, factor) if factor > 1 else images


def _convolutions(*channels: int) -> nn.Sequential:
    """Return 3×3 convolutions from each number of channels to the next, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def mcnn(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise single frames by a network that was taught by simulated pairs alone.

    The pairs are made with what the movie tells of its noise, spots and background; the loss is the mean square
    difference from the clean image.

    Parameters
    ----------
    movie : Movie
        Raw movie without bad frames.
    settings : CompareSettings
        Minutes of the training, seed, device, threads.
    progress : callable
        Is told the share that is done.

    Returns
    -------
    array, shape (t, y, x)
        Intensity in [0, 1] as in simulated clean images.

    Raises
    ------
    ValueError
        If the movie has fewer than two frames that can be measured.
    """
    base = preset("compact").model_copy(update={"network": NetworkSettings(frames_in=1)})
    draw = partial(simulate_pairs, BATCH_SIZE, CROP_PX, propose(movie, base)[0])
    normalisation = measure_normalisation(movie)
    with prepared(settings) as device:
        network = placed(MultiResolution(), device)

        def loss(step: int) -> Tensor:
            pairs = draw(np.random.default_rng((settings.seed, 3, step)))
            noisy = torch.from_numpy(normalisation.apply(pairs.noisy)).to(device)
            return F.mse_loss(network(noisy), torch.from_numpy(pairs.clean[:, None]).to(device))

        fit(network, loss, steps=STEPS, minutes=settings.minutes, progress=portion(progress, 0, TRAINING_SHARE))
        clean = translate_movie(movie, network, normalisation, device, portion(progress, TRAINING_SHARE, 1))
    return np.clip((clean + 1) / 2, 0, 1)
