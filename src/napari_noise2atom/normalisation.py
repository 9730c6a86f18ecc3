"""The grey values of a movie as networks see them."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .edges import fill_edges
from .movie import Movie, is_bad_frame, without_blank_ends
from .spikes import QUANTILES, take_out_spikes

__all__ = ["Normalisation", "measure_normalisation"]

Float32 = TypeVar("Float32", NDArray[np.float32], Tensor)


@dataclass(frozen=True)
class Normalisation:
    """The affine map of grey values on which a model was trained; values outside are not clipped.

    Parameters
    ----------
    low, high : float
        Grey values that become -1 and +1, in the movie's own unit.

    Raises
    ------
    ValueError
        If they are not finite, or not in ascending order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"got the grey values {self.low} and {self.high}; expected finite ones, low below high")

    def apply(self, grey: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map grey values of any shape to about [-1, 1]."""
        return self.overwrite(grey.astype(np.float32))

    def overwrite(self, grey: Float32) -> Float32:
        """Map float32 grey values, of an array or a tensor on any device, where they are; return them."""
        grey -= self.low
        grey *= 2 / (self.high - self.low)
        grey -= 1
        return grey


def measure_normalisation(movie: Movie, frames: int = 24) -> Normalisation:
    """Return the grey values between which nearly all pixels of the movie lie.

    Parameters
    ----------
    movie : Movie
        The movie.
    frames : int
        Frames looked at, evenly spread.

    Returns
    -------
    Normalisation
        The 1st and the 99.9th percentile without spikes; the smallest and the largest value, where these are one.

    Raises
    ------
    ValueError
        If no frame is usable.
    """
    good = _good_frames(movie, frames) or _good_frames(without_blank_ends(movie), frames)
    if not good:
        raise ValueError(f"{movie.name}: found no usable frame among {frames}; leave out those that are blank")
    values = take_out_spikes(np.stack(good)[np.newaxis])
    low, high = np.quantile(values, QUANTILES)
    if high - low <= 1e-6 * abs(low):  # hardly a pixel has an electron
        low, high = values.min(), values.max()
    return Normalisation(float(low), float(high))


def _good_frames(movie: Movie, frames: int) -> list[NDArray[np.float32]]:
    """Return those of evenly spread frames that are not bad, of large ones not every pixel."""
    chosen = map(movie.frame, np.unique(np.linspace(0, len(movie) - 1, frames).astype(int)))
    step = [1 + side // 512 for side in movie.shape[1:]]
    return [fill_edges(frame)[:: step[0], :: step[1]].copy() for frame in chosen if not is_bad_frame(frame)]
