"""First and second moments of pairs of images: all that CSS and affine fits need to know of them."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["pair_moments", "pool_moments"]


def pair_moments(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the whole-image statistics of two images.

    Parameters
    ----------
    a, b : array, same shape
        Two images, in any unit.

    Returns
    -------
    array, shape (5,)
        Mean of a, mean of b, variance of a, variance of b, covariance.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"got images of shapes {a.shape} and {b.shape}; expected two images of one shape")
    # Double precision, and the mean goes first: grey values around 10⁴ would otherwise lose their small variance.
    one, two = a.astype(np.float64), b.astype(np.float64)
    means = one.mean(), two.mean()
    one -= means[0]
    two -= means[1]
    return np.array([*means, np.vdot(one, one) / one.size, np.vdot(two, two) / one.size, np.vdot(one, two) / one.size])


def pool_moments(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the statistics of two stacks from those of their pairs of equally large images.

    Parameters
    ----------
    moments : array, shape (n, 5)
        Rows from `pair_moments`.

    Returns
    -------
    array, shape (5,)
        As from `pair_moments` of the two stacks.
    """
    pooled: NDArray[np.float64] = moments.mean(axis=0)
    off_a, off_b = (moments[:, :2] - pooled[:2]).T
    pooled[2:] += (off_a**2).mean(), (off_b**2).mean(), (off_a * off_b).mean()
    return pooled
