"""The support film under the atoms: its level, its wedge, its speckle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["Background", "measure_background"]

ROUNDS = 8
ABOVE = 1.0
"""Pixels further above the plane than this, in standard deviations of those below, are atoms."""


@dataclass(frozen=True)
class Background:
    """A plane through what lies between the atoms."""

    level_counts: float
    """Mean grey value."""
    gradient_counts: float
    """Change from one edge to the opposite one along the steepest direction, not negative."""
    angle_rad: float
    """Direction of the rise, from x towards y."""
    texture_counts: float
    """Standard deviation of the film's speckle."""


def measure_background(runs: NDArray[np.float32], smoothing_px2: float, film: NDArray[np.bool_]) -> Background:
    """Fit a plane to the movie's mean on the film, leaving out whatever stands above it.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values.
    smoothing_px2 : float
        Variance of the Gaussian that takes away the noise left in the mean [px²].
    film : array, shape (y, x)
        Where there is film, as from `find_film`.

    Returns
    -------
    Background
    """
    image = gaussian_filter(runs.mean(axis=(0, 1), dtype=np.float64), float(np.sqrt(smoothing_px2)))
    y, x = np.meshgrid(*(np.linspace(-0.5, 0.5, n) for n in image.shape), indexing="ij")
    terms = np.stack([np.ones(image.shape), y, x], axis=-1)[film]
    values = image[film]
    kept = values <= np.quantile(values, 0.5)
    for _ in range(ROUNDS):
        plane = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        above = values - terms @ plane
        spread = float(np.sqrt(np.square(above[above < 0]).mean())) if (above < 0).any() else 0.0
        kept = above <= ABOVE * spread
    level, along_y, along_x = map(float, plane)
    return Background(level, float(np.hypot(along_y, along_x)), float(np.arctan2(along_y, along_x)), spread)
