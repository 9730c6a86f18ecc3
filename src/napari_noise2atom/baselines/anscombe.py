"""Variance stabilisation of Poisson–Gaussian noise: the generalised Anscombe transform and its unbiased inverse.

Noise is in units of the gain, without offset: Poisson counts and Gaussian noise of a known variance.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["anscombe", "unbiased_inverse"]


def anscombe(counts: NDArray[np.float32], read_variance: float) -> NDArray[np.float32]:
    """Transform counts so that their noise has a standard deviation of about 1.

    Mäkitalo and Foi, IEEE Transactions on Image Processing 22, 91 (2013). Below about two counts the noise is
    smaller than 1.

    Parameters
    ----------
    counts : array
        Noisy counts.
    read_variance : float
        Variance of the read-out noise [counts²].

    Returns
    -------
    array, float32
    """
    stabilised: NDArray[np.float32] = 2 * np.sqrt(np.maximum(counts + np.float32(3 / 8 + read_variance), 0))
    return stabilised


def unbiased_inverse(stabilised: NDArray[np.float32], read_variance: float) -> NDArray[np.float32]:
    """Return the expected counts whose transform has the given mean.

    The closed form of Mäkitalo and Foi, IEEE Transactions on Image Processing 20, 2697 (2011), for Poisson noise, with
    the read-out variance taken off as in their paper of 2013. The algebraic inverse would be too small.

    Parameters
    ----------
    stabilised : array
        Denoised result of `anscombe`.
    read_variance : float
        As for `anscombe` [counts²].

    Returns
    -------
    array, float32
        At least 0 [counts].
    """
    d = np.maximum(stabilised, np.float32(2 * np.sqrt(3 / 8 + read_variance)))  # what no counts at all become
    root = np.sqrt(3 / 2)
    counts = d**2 / 4 + root / 4 / d - 11 / 8 / d**2 + 5 * root / 8 / d**3 - 1 / 8 - read_variance
    expected: NDArray[np.float32] = np.maximum(counts, 0).astype(np.float32)
    return expected
