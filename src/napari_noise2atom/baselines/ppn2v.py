"""Fully unsupervised probabilistic Noise2Void (Krull et al. 2020; Prakash et al. 2020)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import CompactGenerator, Generator
from napari_noise2atom.normalisation import Normalisation, measure_normalisation
from napari_noise2atom.settings import CompareSettings

from .blindspot import BlindSpots, masked_loss
from .fitting import fit, placed, portion, prepared, to_grey, translate_movie
from .method import Progress
from .noisemodel import NoiseModel

__all__ = ["PosteriorMean", "SampleGenerator", "fit_noise_model", "posterior_loss", "posterior_mean", "ppn2v"]

SAMPLES = 128
"""Of the clean value in each pixel; 800 in the publication."""
CHANNELS = 24
BOOTSTRAP_STEPS = 800
STEPS = 1600
MODEL_STEPS = 1000
MODEL_LEARNING_RATE = 2e-2
MODEL_PIXELS = 10_000
"""Pairs of a denoised and a noisy pixel in a step of the fit of the noise model."""
MODEL_FRAMES = 32
BOOTSTRAP_SHARE = 0.35
"""Of the minutes, for the first network."""
SHARES = (0.3, 0.35, 0.9)
"""Of the whole, when the first network is trained, the noise model fitted, the second network trained."""


class SampleGenerator(CompactGenerator):
    """The compact network with many results a pixel: samples of the clean value, given the pixels around.

    Before the training they spread evenly over all grey values, whatever the input.
    """

    def __init__(self, samples: int = SAMPLES) -> None:
        super().__init__(frames_in=1, channels=CHANNELS)
        last = nn.Conv2d(CHANNELS, samples, 1)
        nn.init.normal_(last.weight, std=1e-2)
        last.bias = nn.Parameter(torch.linspace(-1, 1, samples))
        self.head[-1] = last


class PosteriorMean(Generator):
    """Samples, weighted by how well they explain the observed pixel, and averaged (Krull et al. 2020, MMSE).

    Parameters
    ----------
    samples : SampleGenerator
        From a frame to the samples.
    noise : NoiseModel
        Density of the observed pixel, given a sample.
    """

    def __init__(self, samples: SampleGenerator, noise: NoiseModel) -> None:
        super().__init__(1, 0, overlap_px=samples.overlap_px, needs_statistics=False)
        self.samples, self.noise = samples, noise

    def translate(self, images: Tensor) -> Tensor:
        """Translate images whose sides are multiples of 8."""
        return posterior_mean(self.noise, images, self.samples.translate(images))


def posterior_mean(noise: NoiseModel, noisy: Tensor, samples: Tensor) -> Tensor:
    """Return the mean of the clean value's posterior, Σ p(x | sₖ) sₖ / Σ p(x | sₖ).

    Parameters
    ----------
    noise : NoiseModel
        The density p.
    noisy : Tensor, shape (n, 1, h, w)
        Observed pixels x.
    samples : Tensor, shape (n, k, h, w)
        Samples sₖ of the prior.

    Returns
    -------
    Tensor, shape (n, 1, h, w)
    """
    weights = noise.log_likelihood(noisy, samples).softmax(dim=1)
    return (weights * samples).sum(dim=1, keepdim=True)


def posterior_loss(noise: NoiseModel, noisy: Tensor, samples: Tensor) -> Tensor:
    """Return the mean of −log of the mean over k of p(x | sₖ), for x of shape (n, 1, …) and sₖ of shape (n, k, …)."""
    return math.log(samples.shape[1]) - noise.log_likelihood(noisy, samples).logsumexp(dim=1).mean()


def fit_noise_model(clean: Tensor, noisy: Tensor, seed: int, progress: Progress) -> NoiseModel:
    """Fit the noise model to pairs of pixels by maximum likelihood.

    Parameters
    ----------
    clean, noisy : Tensor, shape (n,)
        Normalised values; the clean ones come from a first denoising ("bootstrap").
    seed : int
        Of the pairs in each step.
    progress : callable
        Is told the share that is done.

    Returns
    -------
    NoiseModel
        Fixed, on the device of the pixels.
    """
    noise = NoiseModel(float((noisy - clean).var())).to(clean.device)

    def loss(step: int) -> Tensor:
        chosen = torch.from_numpy(np.random.default_rng((seed, 4, step)).integers(0, len(clean), MODEL_PIXELS))
        return -noise.log_likelihood(noisy[chosen], clean[chosen]).mean()

    fit(noise, loss, steps=MODEL_STEPS, minutes=math.inf, learning_rate=MODEL_LEARNING_RATE, progress=progress)
    return noise.requires_grad_(False)


def ppn2v(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise single frames by samples of the clean image, weighted by a noise model that the movie itself teaches.

    A first network is trained on hidden pixels by the mean square (Noise2Void). Its result and the movie give the
    noise model. A second network learns samples of the clean value of hidden pixels, such that the noisy one is likely;
    what it sees in the end has no hidden pixels. In both, the two neighbours on either side along x are hidden too,
    because afterglow carries a pixel's noise there; the publication knows no such noise.

    Parameters
    ----------
    movie : Movie
        Raw movie without bad frames.
    settings : CompareSettings
        Minutes of all trainings together, seed, device, threads.
    progress : callable
        Is told the share that is done.

    Returns
    -------
    array, shape (t, y, x)
        In the movie's grey values.
    """
    normalisation = measure_normalisation(movie)
    first, modelled, second = SHARES
    with prepared(settings) as device:
        spots = BlindSpots(movie, 1, normalisation, device, settings.seed)
        bootstrap, samples = placed(CompactGenerator(1), device), placed(SampleGenerator(), device)

        def first_loss(step: int) -> Tensor:
            return masked_loss(bootstrap, spots.batch(step))

        def second_loss(step: int) -> Tensor:
            batch = spots.batch(BOOTSTRAP_STEPS + step)
            return posterior_loss(noise, batch.target[..., batch.judged], samples(batch.blind)[..., batch.judged])

        minutes = BOOTSTRAP_SHARE * settings.minutes
        fit(bootstrap, first_loss, steps=BOOTSTRAP_STEPS, minutes=minutes, progress=portion(progress, 0, first))
        noise = _noise_of(movie, bootstrap, normalisation, settings.seed, portion(progress, first, modelled))
        minutes = settings.minutes - minutes
        fit(samples, second_loss, steps=STEPS, minutes=minutes, progress=portion(progress, modelled, second))
        network = PosteriorMean(samples, noise)
        denoised = translate_movie(movie, network, normalisation, device, portion(progress, second, 1))
    return to_grey(denoised, normalisation)


def _noise_of(
    movie: Movie, bootstrap: CompactGenerator, normalisation: Normalisation, seed: int, progress: Progress
) -> NoiseModel:
    """Denoise some frames by the first network, and fit the noise model to them."""
    grey = movie.frames(np.unique(np.linspace(0, len(movie) - 1, MODEL_FRAMES).astype(int)))
    device = next(bootstrap.parameters()).device
    denoised = translate_movie(movie.with_data(grey), bootstrap, normalisation, device, portion(progress, 0, 0.5))
    clean = torch.from_numpy(denoised.ravel()).to(device)
    noisy = torch.from_numpy(normalisation.apply(grey).ravel()).to(device)
    return fit_noise_model(clean, noisy, seed, portion(progress, 0.5, 1))
