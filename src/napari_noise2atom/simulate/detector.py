"""How a STEM detector turns expected electrons into grey values."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from napari_noise2atom.settings import DetectorSettings

__all__ = ["jitter_lines", "record"]


def record(
    electrons: NDArray[np.float32], detector: DetectorSettings, rng: np.random.Generator, *, quantise: bool = True
) -> NDArray[np.float32]:
    """Record frames: line jitter, Poisson counts, pulse heights, afterglow, read-out noise, saturation.

    Parameters
    ----------
    electrons : array, shape (..., y, x)
        Expected electrons per pixel [e/px].
    detector : DetectorSettings
        The detector.
    rng : numpy.random.Generator
        Source of randomness.
    quantise : bool
        Round to whole counts, as a camera does.

    Returns
    -------
    array, shape (..., y, x), float32
        Grey values in [floor, saturation] [counts].
    """
    counts = rng.poisson(jitter_lines(electrons, detector.line_jitter_px, rng))
    # The sum of N gamma distributed pulses of shape k is gamma distributed with shape N k.
    hit = np.flatnonzero(counts)
    signal = np.zeros(electrons.shape, np.float32)
    shape = detector.pulse_shape
    signal.ravel()[hit] = rng.standard_gamma(shape * counts.take(hit).astype(np.float32), dtype=np.float32) / shape
    remains = detector.afterglow
    if remains:
        one_pole = np.array([1 - remains], np.float32), np.array([1, -remains], np.float32)
        signal = lfilter(*one_pole, signal, axis=-1).astype(np.float32, copy=False)
    signal *= detector.gain_counts
    signal += detector.offset_counts
    signal += detector.read_noise_counts * rng.standard_normal(electrons.shape, dtype=np.float32)
    np.clip(signal, detector.floor_counts, detector.saturation_counts, out=signal)
    if detector.blur_px:
        signal = gaussian_filter(signal, detector.blur_px, axes=(-2, -1))
    return np.rint(signal, out=signal) if quantise else signal


def jitter_lines(electrons: NDArray[np.float32], jitter_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift each scan line by its own random distance along x, interpolating linearly.

    Parameters
    ----------
    electrons : array, shape (..., y, x)
        Expected electrons per pixel.
    jitter_px : float
        Standard deviation of the shift [px].
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array, shape (..., y, x), float32
    """
    if jitter_px == 0:
        return electrons
    shift = jitter_px * rng.standard_normal((*electrons.shape[:-1], 1), dtype=np.float32)
    width = electrons.shape[-1]
    source = np.clip(np.arange(width, dtype=np.float32) + shift, 0, width - 1)
    left = np.minimum(source.astype(np.intp), width - 2)
    source -= left
    # Numbers of pixels, as `take` is then twice as fast as along an axis.
    left += np.arange(0, electrons.size, width).reshape(shift.shape)
    at_left, at_right = electrons.take(left), electrons.take(left + 1)
    shifted: NDArray[np.float32] = at_left + source * (at_right - at_left)
    return shifted
