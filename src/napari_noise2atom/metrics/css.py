"""Consecutive structural similarity (CSS, eq. 10): how much a frame resembles the next one.

CSS needs no truth, and that is its weakness: a blank movie scores 1, and any filter along time scores high. It is
never shown alone; `score_movie` gives it together with the figures that expose such cases.
"""

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie, is_bad_frame

from .moments import pair_moments

__all__ = ["CssTally", "css", "css_per_pair"]

# The paper's stabilisers of the ratio of the means and of that of the variances.
_C1 = 1e-4
_C2 = 9e-4


def css(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Return the consecutive structural similarity of two images, eq. 10.

    Parameters
    ----------
    a, b : array, shape (y, x)
        Two consecutive frames, scaled to [0, 1] by one range for their whole movie.

    Returns
    -------
    float
        1 for identical images, about 0 for independent ones. Means, variances and the covariance are those of
        the whole image, not of windows as in SSIM. Two equal blank images score 1.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    return float(_css_of_moments(pair_moments(a, b)))


def css_per_pair(movie: Movie) -> NDArray[np.float64]:
    """Return the CSS of every frame with the next one.

    The movie is scaled to [0, 1] by the smallest and the largest grey value of all its good frames. There are no
    quantiles and no clipping, so that nobody can tune a score by choosing them. The price is that one hot pixel lowers
    the contrast, and thereby the weight of the variances against the paper's constant.

    Parameters
    ----------
    movie : Movie
        Grey values in any unit; read once, two frames are held at a time.

    Returns
    -------
    array, shape (t - 1,)
        NaN where one of the two frames is bad (see `napari_noise2atom.movie.is_bad_frame`).
    """
    tally = CssTally(len(movie))
    for index in range(len(movie)):
        tally.add(movie.frame(index))
    return tally.per_pair()


class CssTally:
    """Collects the statistics of a movie frame by frame, or pair by pair in any order.

    The range of the movie need not be known before the end: the moments are kept in the movie's own grey values and
    scaled to [0, 1] afterwards. One pass suffices, which matters where each frame is denoised while it is read.

    Parameters
    ----------
    frames : int
        Number of frames of the movie.
    """

    def __init__(self, frames: int) -> None:
        self._previous: NDArray[np.generic] | None = None
        self._next = 0
        self._range = (np.inf, -np.inf)
        self._means = np.full(frames, np.nan)
        self._moments = np.full((frames - 1, 5), np.nan)

    def add(self, frame: NDArray[np.generic]) -> None:
        """Take the next frame, shape (y, x)."""
        if self._previous is None:
            self._note(self._next, frame)
        else:
            self.add_pair(self._next - 1, self._previous, frame)
        self._previous = frame
        self._next += 1

    def add_pair(self, index: int, first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
        """Take a frame and the one that follows it, each of shape (y, x)."""
        if self._note(index, first) & self._note(index + 1, second):
            self._moments[index] = pair_moments(first, second)

    def _note(self, index: int, frame: NDArray[np.generic]) -> bool:
        """Widen the range by a frame; returns whether it is good."""
        if is_bad_frame(frame):
            return False
        low, high = self._range
        self._range = min(low, float(frame.min())), max(high, float(frame.max()))
        self._means[index] = frame.mean(dtype=np.float64)
        return True

    def means(self) -> NDArray[np.float64]:
        """Return the mean of each frame in [0, 1] of the movie's range, shape (t,); NaN for bad frames."""
        low, high = self._range
        return (self._means - low) / (high - low)

    def per_pair(self) -> NDArray[np.float64]:
        """Return the CSS of each frame with the next one, shape (t - 1,); NaN where one of them is bad."""
        low, high = self._range
        moments = self._moments.copy()
        moments[:, :2] = (moments[:, :2] - low) / (high - low)
        moments[:, 2:] /= (high - low) ** 2
        return _css_of_moments(moments)

    def per_frame(self) -> NDArray[np.float64]:
        """Return the mean of each frame's CSS with its two neighbours, shape (t,); a bad or absent one is left out."""
        pairs = self.per_pair()
        sides = np.stack([np.append(pairs, np.nan), np.append(np.nan, pairs)])
        known = np.isfinite(sides)
        count = known.sum(axis=0)
        total = np.where(known, sides, 0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _css_of_moments(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return eq. 10 from the moments of images in [0, 1], shape (..., 5)."""
    mean_a, mean_b, variance_a, variance_b, covariance = np.moveaxis(moments, -1, 0)
    means = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    similarity: NDArray[np.float64] = means * (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return similarity
