"""Which part of the frame has film and atoms, where the rest is empty."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

__all__ = ["find_film"]

BRIGHT = 0.9
EMPTY = 0.08
"""Level, relative to this quantile of it, below which there is no film; the thin edge of a steep wedge has 0.11."""
COARSE_PX = 6.0
"""Standard deviation of the Gaussian over which that level is a mean."""
MARGIN_PX = 18
"""What is so near to an empty part is left out, too: there, that mean fades, and the edge of the film is no atom."""
LEAST = 0.05
"""Share of the frame that is enough to be measured."""


def find_film(runs: NDArray[np.float32], offset_counts: float) -> NDArray[np.bool_]:
    """Tell where there is film, away from its edges.

    Parameters
    ----------
    runs : array, shape (runs, frames, y, x)
        Grey values.
    offset_counts : float
        Grey value without electrons.

    Returns
    -------
    array, shape (y, x)
        True everywhere, if no part of the frame is empty, or nearly all of it.
    """
    level = gaussian_filter(runs.mean(axis=(0, 1), dtype=np.float64) - offset_counts, COARSE_PX)
    empty = level < EMPTY * max(float(np.quantile(level, BRIGHT)), 0.0)
    film: NDArray[np.bool_] = ~binary_dilation(empty, iterations=MARGIN_PX)
    return film if film.mean() >= LEAST else np.ones_like(film)
