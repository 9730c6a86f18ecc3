"""Filters that need no training."""

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

from .method import Progress

__all__ = ["raw"]


def raw(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Return the movie as it is, the measure of all gains."""
    frames = np.asarray(movie.data, dtype=np.float32)
    progress(1.0)
    return frames
