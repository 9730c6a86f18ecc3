"""What denoising took away: it should be noise, and noise only."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from napari_noise2atom.edges import fill_edges
from napari_noise2atom.metrics.moments import pair_moments, pool_moments
from napari_noise2atom.movie import Movie

from .noisetest import spread_frames

__all__ = ["LAGS_PX", "Residual", "autocovariance", "frame_residual", "measure_residual"]

LAGS_PX = 8
SAMPLED_FRAMES = 16
NOISE_FRAMES = 4
"""Of noise alone: as it is the same in all frames, few tell."""


@dataclass(frozen=True, eq=False)
class Residual:
    """The raw movie minus the affine fit of the denoised one, one fit for all frames."""

    gain: float
    """Grey values of the raw movie for an intensity of 1 in the denoised one."""
    offset: float
    """Grey value of the raw movie where the denoised one is 0."""
    spread: float
    """Standard deviation of the residual [grey values of the raw movie]."""
    autocorrelation: NDArray[np.float64]
    """Shape (17, 17): at lags of -8 to 8 px in y and x, mean over frames; 1 in the centre."""
    blur_px: float = 0.0
    """Standard deviation of the Gaussian with which the denoised movie is blurred before [px]."""
    noise: NDArray[np.float64] | None = None
    """The autocorrelation of noise alone, if it is known."""

    def frame(self, raw: NDArray[np.float32], denoised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the residual of a frame [grey values of the raw movie], shape (y, x)."""
        residual: NDArray[np.float32] = (
            raw - np.float32(self.gain) * _blurred(denoised, self.blur_px) - np.float32(self.offset)
        )
        return residual

    @property
    def sentence(self) -> str:
        """How much neighbouring pixels have in common, in words."""
        along_x, along_y = _of_neighbours(self.autocorrelation)
        if self.noise is not None:
            noise_x, noise_y = _of_neighbours(self.noise)
            return (
                f"Neighbouring pixels of the residual correlate by {along_x:.2f} along x and by {along_y:.2f} along y; "
                f"those of the detector's noise alone, simulated, by {noise_x:.2f} and {noise_y:.2f}."
            )
        return (
            f"Neighbouring pixels of the residual correlate by {along_x:.2f} along x, where the detector's "
            f"afterglow does the same to pure noise, and by {along_y:.2f} along y, where noise has 0."
        )


def _of_neighbours(autocorrelation: NDArray[np.float64]) -> tuple[float, float]:
    """Return the correlation of neighbours along x and along y; that of noise that rounds to zero has no sign."""
    along_x, along_y = autocorrelation[LAGS_PX, LAGS_PX + 1], autocorrelation[LAGS_PX + 1, LAGS_PX]
    return round(float(along_x), 2) + 0.0, round(float(along_y), 2) + 0.0


def measure_residual(
    movie: Movie,
    denoised: Movie,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    blur_px: float = 0.0,
    null: Movie | None = None,
) -> Residual:
    """Fit a denoised movie to the raw one and see what the rest looks like, on up to 16 frames spread over the movie.

    Parameters
    ----------
    movie, denoised : Movie
        Of one shape.
    progress : callable, optional
        Called after every frame with the number of frames done and of all frames.
    blur_px : float
        Standard deviation of the Gaussian that gives narrowed spots the movie's own width back, as from
        `napari_noise2atom.simulate.clean.lost_width_px`; without it, their rims would remain [px].
    null : Movie, optional
        Frames of the detector's noise, as the ``noise model`` of `null_movie`, whose correlation is told beside.

    Returns
    -------
    Residual

    Raises
    ------
    ValueError
        If no frame carries an image, or the frames are smaller than 17 px.
    """
    frames = spread_frames(movie, SAMPLED_FRAMES)
    moments = []
    for done, index in enumerate(frames, start=1):
        moments.append(pair_moments(_blurred(denoised.frame(index), blur_px), fill_edges(movie.frame(index))))
        progress(done, 2 * len(frames))
    low, level, variance, _, covariance = pool_moments(np.array(moments))
    gain = float(covariance / variance) if variance > 0 else 0.0
    fit = Residual(gain, float(level - gain * low), 0.0, np.empty(0), blur_px)
    total = np.zeros((2 * LAGS_PX + 1,) * 2)
    for done, index in enumerate(frames, start=len(frames) + 1):
        total += autocovariance(fit.frame(fill_edges(movie.frame(index)), denoised.frame(index)))
        progress(done, 2 * len(frames))
    power = float(total[LAGS_PX, LAGS_PX])
    noise = None if null is None else _noise_of(null.frames(range(min(NOISE_FRAMES, len(null)))))
    return replace(fit, spread=float(np.sqrt(power / len(frames))), autocorrelation=_normalised(total), noise=noise)


def _noise_of(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the autocorrelation of what differs from frame to frame, shape (17, 17)."""
    total = np.sum([autocovariance(change) for change in np.diff(frames, axis=0)], axis=0)
    return _normalised(total)


def _normalised(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    power = float(covariance[LAGS_PX, LAGS_PX])
    return covariance / power if power > 0 else np.full_like(covariance, np.nan)


def frame_residual(
    raw: NDArray[np.float32], denoised: NDArray[np.float32], blur_px: float = 0.0
) -> NDArray[np.float32]:
    """Return a raw frame minus the affine fit of the denoised one, for this frame alone.

    Parameters
    ----------
    raw, denoised : array, shape (y, x)
        A frame in both versions.
    blur_px : float
        As for `measure_residual` [px].

    Returns
    -------
    array, shape (y, x)
        In grey values of the raw frame.
    """
    fitted = _blurred(denoised, blur_px)
    fitted = fitted - fitted.mean()
    power = float((fitted * fitted).sum())
    slope = np.float32((fitted * raw).sum() / power if power else 0.0)
    residual: NDArray[np.float32] = raw - raw.mean() - slope * fitted
    return residual


def _blurred(frame: NDArray[np.float32], blur_px: float) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = gaussian_filter(frame, blur_px) if blur_px else frame
    return blurred


def autocovariance(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the covariance of pixels with those some pixels away, each lag over all pairs of pixels in the image.

    Parameters
    ----------
    image : array, shape (y, x)
        At least 17 px on each side.

    Returns
    -------
    array, shape (17, 17)
        At lags of -8 to 8 px in y and x; the variance in the centre.

    Raises
    ------
    ValueError
        If the image is smaller.
    """
    if min(image.shape) <= 2 * LAGS_PX:
        raise ValueError(
            f"got an image of {image.shape[0]} × {image.shape[1]} px; expected at least 17 px on each side"
        )
    # zeros beyond the edges, so that what leaves the image does not come back at the other side
    shape = [fft.next_fast_len(length + LAGS_PX, real=True) for length in image.shape]
    power = np.abs(fft.rfft2(image - image.mean(), shape)) ** 2
    lags = np.arange(-LAGS_PX, LAGS_PX + 1)
    sums = fft.irfft2(power, shape)[np.ix_(lags, lags)]
    pairs = np.outer(*(length - np.abs(lags) for length in image.shape))
    result: NDArray[np.float64] = sums / pairs
    return result
