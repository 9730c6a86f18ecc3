"""Noise2Self (Batson & Royer 2019) on neighbouring frames."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import CompactGenerator
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import CompareSettings

from .blindspot import BlindSpots, masked_loss
from .fitting import fit, placed, portion, prepared, to_grey, translate_movie
from .method import Progress

__all__ = ["noise2self"]

FRAMES_IN = 5
STEPS = 1600
TRAINING_SHARE = 0.95


def noise2self(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise by a network that learned to foretell hidden pixels from five frames.

    A pixel and its two neighbours on either side along x are hidden in the middle frame, because afterglow carries
    its noise there; the frames before and after are seen whole. The trained network is applied to the frames as they
    are, nothing hidden: one pass instead of one for every place of the grid.

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
        In the movie's grey values.
    """
    normalisation = measure_normalisation(movie)
    with prepared(settings) as device:
        network = placed(CompactGenerator(FRAMES_IN), device)
        spots = BlindSpots(movie, FRAMES_IN, normalisation, device, settings.seed)

        def loss(step: int) -> Tensor:
            return masked_loss(network, spots.batch(step))

        fit(network, loss, steps=STEPS, minutes=settings.minutes, progress=portion(progress, 0, TRAINING_SHARE))
        denoised = translate_movie(movie, network, normalisation, device, portion(progress, TRAINING_SHARE, 1))
    return to_grey(denoised, normalisation)
