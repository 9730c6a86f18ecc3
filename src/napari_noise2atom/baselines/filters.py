"""Filters that need no training."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter, gaussian_filter1d, median_filter

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

from .method import Progress

__all__ = ["gaussian_2d", "gaussian_3d", "median", "raw", "temporal_mean"]


def raw(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Return the movie as it is, the measure of all gains."""
    frames = np.array(movie.data, dtype=np.float32)  # a copy, which others may change
    progress(1.0)
    return frames


def gaussian_2d(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Blur each frame by itself with a Gaussian of `filter_px`."""
    blurred = np.empty(movie.shape, np.float32)
    for index in range(len(movie)):
        gaussian_filter(movie.frame(index), settings.filter_px, output=blurred[index])
        progress((index + 1) / len(movie))
    return blurred


def gaussian_3d(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Blur with a Gaussian of `filter_px` along y and x, and of `filter_frames` along time."""
    blurred = gaussian_2d(movie, settings, lambda share: progress(0.9 * share))
    for row in range(movie.shape[1]):  # one at a time, so that there is no second movie in memory
        blurred[:, row] = gaussian_filter1d(blurred[:, row], settings.filter_frames, axis=0)
    progress(1.0)
    return blurred


def temporal_mean(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Average each pixel over 2 round(`filter_frames`) + 1 frames; over fewer at the ends of the movie."""
    mean = raw(movie, settings, lambda share: progress(share / 2))
    window = np.ones(2 * round(settings.filter_frames) + 1)
    number = convolve1d(np.ones(len(movie)), window, mode="constant")[:, np.newaxis].astype(np.float32)
    for row in range(movie.shape[1]):
        mean[:, row] = convolve1d(mean[:, row], window, axis=0, mode="constant") / number
    progress(1.0)
    return mean


def median(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Take the median of 3 × 3 × 3 pixels, the frames before and after among them."""
    middle = np.empty(movie.shape, np.float32)
    last = len(movie) - 1
    for index in range(len(movie)):
        around = movie.frames(np.clip((index - 1, index, index + 1), 0, last))
        middle[index] = median_filter(around, 3, mode="nearest")[1]
        progress((index + 1) / len(movie))
    return middle
