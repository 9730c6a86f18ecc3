"""The noise that BM3D and PGURE-SVT assume: Poisson counts of a gain, an offset, and Gaussian read-out noise."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.estimate import estimate
from napari_noise2atom.movie import Movie

__all__ = ["PoissonGaussian"]


@dataclass(frozen=True)
class PoissonGaussian:
    """Grey value = gain × Poisson(x) + offset + read-out noise, so that the variance is gain × (mean − offset) + read².

    Parameters
    ----------
    gain_counts : float
        Slope of the variance over the mean [counts].
    offset_counts : float
        Grey value without electrons [counts].
    read_noise_counts : float
        Standard deviation of the read-out noise [counts].
    """

    gain_counts: float
    offset_counts: float
    read_noise_counts: float

    @classmethod
    def of(cls, movie: Movie) -> Self:
        """Measure a movie; pulse heights add to the noise of a pixel, and afterglow takes away from it.

        Raises
        ------
        ValueError
            If fewer than two frames are usable.
        """
        found = estimate(movie)
        pulses = 1 + 1 / found.pulse_shape
        afterglow = (1 - found.afterglow) / (1 + found.afterglow)
        return cls(found.gain_counts * pulses * afterglow, found.offset_counts, found.read_noise_counts)

    @property
    def read_variance(self) -> float:
        """Variance of the read-out noise in units of the squared gain."""
        return (self.read_noise_counts / self.gain_counts) ** 2

    def normalise(self, grey: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return grey values in units of the gain, without the offset."""
        normalised: NDArray[np.float32] = (grey - np.float32(self.offset_counts)) / np.float32(self.gain_counts)
        return normalised

    def restore(self, normalised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return grey values from what `normalise` gives."""
        grey: NDArray[np.float32] = normalised * np.float32(self.gain_counts) + np.float32(self.offset_counts)
        return grey
