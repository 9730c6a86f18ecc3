"""Figures that stand beside CSS: against the truth where it is known, against the raw frame where it is not."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from .moments import pair_moments, pool_moments

__all__ = [
    "fit_affine",
    "low_pass_correlation",
    "psnr_affine",
    "psnr_of_moments",
    "residual_autocorrelation",
    "ssim",
]

# The low-pass of the paper's low-frequency cycle: 33 × 33 px with a variance of 15 px².
_LOW_PASS_RADIUS_PX = 16
_LOW_PASS_SIGMA_PX = 15**0.5

# A relative mean squared difference up to this is that of rounding errors.
_ROUNDING = 1e-24


def fit_affine(image: NDArray[np.generic], target: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return gain × image + offset, with the gain and offset that come nearest to the target (least squares).

    Parameters
    ----------
    image, target : array, same shape
        In any unit.

    Returns
    -------
    array, same shape
        In the unit of the target; its mean where the image is blank.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    moments = pair_moments(image, target)
    fitted: NDArray[np.float64] = _gain(moments) * (image.astype(np.float64) - moments[0]) + moments[1]
    return fitted


def _gain(moments: NDArray[np.float64]) -> float:
    variance, covariance = moments[2], moments[4]
    return float(covariance / variance) if variance > 0 else 0.0


def psnr_affine(image: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Return the peak signal-to-noise ratio after the best affine fit of the image to the truth.

    Parameters
    ----------
    image, truth : array, same shape
        One frame, or a whole movie for one common fit. The peak is the largest value of the truth, counted from 0.

    Returns
    -------
    float
        10 log₁₀(peak² / mean squared error) [dB]; infinite for a perfect fit.

    Raises
    ------
    ValueError
        If the shapes differ or the truth is nowhere above 0.
    """
    return psnr_of_moments(pair_moments(image, truth)[None], float(np.max(truth)))[1]


def psnr_of_moments(moments: NDArray[np.float64], peak: float) -> tuple[NDArray[np.float64], float]:
    """Return the PSNR of each frame and of the whole movie after one affine fit for all frames.

    One fit, because a fit for each frame would forgive a denoiser that flickers.

    Parameters
    ----------
    moments : array, shape (n, 5)
        n may be 0. Of each frame and its truth, from `pair_moments`.
    peak : float
        Largest value of the truth in the whole movie, counted from 0.

    Returns
    -------
    per_frame : array, shape (n,)
        [dB]
    whole : float
        From the mean squared error of all frames [dB]; NaN if there are none.

    Raises
    ------
    ValueError
        If the peak is not positive.
    """
    if len(moments) == 0:
        return np.empty(0), float("nan")
    if not peak > 0:
        raise ValueError(f"got a truth whose largest value is {peak}; expected a positive peak")
    pooled = pool_moments(moments)
    gain = _gain(pooled)
    mean, mean_truth, variance, variance_truth, covariance = moments.T
    offset = gain * (mean - pooled[0]) - (mean_truth - pooled[1])
    error = gain**2 * variance - 2 * gain * covariance + variance_truth + offset**2
    # A perfect fit leaves rounding errors of either sign.
    error[error < 1e-14 * peak**2] = 0
    with np.errstate(divide="ignore"):
        decibels = 10 * np.log10(peak**2 / np.append(error, error.mean()))
    return decibels[:-1], float(decibels[-1])


def ssim(image: NDArray[np.generic], truth: NDArray[np.generic], data_range: float | None = None) -> float:
    """Return the structural similarity (scikit-image, 7 × 7 px windows) after the best affine fit to the truth.

    Parameters
    ----------
    image, truth : array, shape (y, x)
        At least 7 px on each side.
    data_range : float, optional
        Span of the truth's values in the whole movie; by default that of this frame.

    Returns
    -------
    float
        1 for a perfect fit.

    Raises
    ------
    ValueError
        If the shapes differ, the image is too small or the truth is blank.
    """
    span = float(np.ptp(truth.astype(np.float64))) if data_range is None else data_range
    if not span > 0:
        raise ValueError(f"got a truth whose values span {span}; expected a positive span")
    target = truth.astype(np.float64)
    fitted = fit_affine(image, target)
    return float(structural_similarity(fitted, target, data_range=span))  # type: ignore[no-untyped-call]


def low_pass_correlation(raw: NDArray[np.generic], denoised: NDArray[np.generic]) -> float:
    """Return the Pearson correlation of a raw and a denoised frame behind the paper's low-pass.

    Near 1 when the denoised frame keeps what is beyond doubt in the raw one, negative when the mapping is inverted.

    Parameters
    ----------
    raw, denoised : array, shape (y, x)
        In any unit, without NaN. The low-pass is a 33 × 33 px Gaussian of variance 15 px², without padding.

    Returns
    -------
    float
        In [-1, 1]; NaN where a low-passed frame is blank or the frames are smaller than 34 px.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if min(raw.shape) <= 2 * _LOW_PASS_RADIUS_PX:
        return float("nan")
    *_, variance_raw, variance_denoised, covariance = pair_moments(_low_pass(raw), _low_pass(denoised))
    norm = float(np.sqrt(variance_raw * variance_denoised))
    return float(covariance) / norm if norm > 0 else float("nan")


def _low_pass(frame: NDArray[np.generic]) -> NDArray[np.float64]:
    radius = _LOW_PASS_RADIUS_PX
    # One pixel's value is taken away so that a blank frame is exactly 0 and stays it.
    grey = frame.astype(np.float64)
    smooth: NDArray[np.float64] = ndimage.gaussian_filter(grey - grey[0, 0], _LOW_PASS_SIGMA_PX, radius=radius)
    # Pixels whose window reaches beyond the frame go: no padding.
    return smooth[radius:-radius, radius:-radius]


def residual_autocorrelation(raw: NDArray[np.generic], denoised: NDArray[np.generic]) -> tuple[float, float]:
    """Return how much neighbouring pixels of the removed noise have in common.

    The residual is the raw frame minus the best affine fit of the denoised one. Structure in it was taken from the
    atoms. The detector's afterglow correlates even pure noise along x, so that only y should be near 0.

    Parameters
    ----------
    raw, denoised : array, shape (y, x)
        In any unit.

    Returns
    -------
    along_x, along_y : float
        Autocorrelation at lags (y, x) of (0, 1) and (1, 0), relative to the variance; NaN where nothing was removed.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    grey = raw.astype(np.float64)
    residual = grey - fit_affine(denoised, grey)
    variance = float((residual**2).mean())
    if variance <= _ROUNDING * float((grey**2).mean()):
        return float("nan"), float("nan")
    along_x = (residual[:, 1:] * residual[:, :-1]).mean() / variance
    along_y = (residual[1:] * residual[:-1]).mean() / variance
    return float(along_x), float(along_y)
