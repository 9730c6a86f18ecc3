"""Noise2Atom itself, trained in the minutes that all methods have, or trained before."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.estimate import propose
from napari_noise2atom.events import Step
from napari_noise2atom.inference import FrameDenoiser
from napari_noise2atom.modelfile import TrainedModel
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import spare_threads
from napari_noise2atom.settings import CompareSettings, PresetName, Settings, preset
from napari_noise2atom.training import train

from .method import Progress

__all__ = ["apply", "compact", "default", "paper", "train_to_end"]

TRAINING_SHARE = 0.95
"""Of the time, for the progress that is told."""


def apply(movie: Movie, model: TrainedModel, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise a movie with a model that is there already; the result is in [0, 1]."""
    denoiser = FrameDenoiser(movie, model, settings.device, settings.threads)
    denoised = np.empty(movie.shape, np.float32)
    for index, frame in enumerate(denoiser.stream(range(len(movie)))):
        denoised[index] = frame
        progress((index + 1) / len(movie))
    return denoised


def _train_and_apply(
    name: PresetName, movie: Movie, settings: CompareSettings, progress: Progress
) -> NDArray[np.float32]:
    """Train a preset with what the movie tells, as ``noise2atom train`` does, and denoise with the best model."""
    proposed, _ = propose(movie, preset(name))
    model = train_to_end(movie, _limited(proposed, settings), lambda share: progress(TRAINING_SHARE * share))
    return apply(movie, model, settings, lambda share: progress(TRAINING_SHARE + (1 - TRAINING_SHARE) * share))


def _limited(proposed: Settings, settings: CompareSettings) -> Settings:
    """Give a training the minutes, seed, device and threads of the comparison."""
    limits = settings.model_dump(include={"seed", "device"})
    limits |= {"max_minutes": settings.minutes, "threads": spare_threads(settings.threads)}
    return proposed.model_copy(update={"run": proposed.run.model_copy(update=limits)})


def train_to_end(movie: Movie, settings: Settings, progress: Progress) -> TrainedModel:
    """Train with nobody looking on but the progress; return the model that is kept."""
    events = train(movie, settings)
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            model: TrainedModel = end.value
            return model
        if isinstance(event, Step):
            progress(event.share)


default = partial(_train_and_apply, "default")
paper = partial(_train_and_apply, "paper")
compact = partial(_train_and_apply, "compact")
