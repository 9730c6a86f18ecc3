"""PGURE-SVT: singular value thresholding of patches along their trajectories, its threshold chosen by risk estimation.

Furnival, Leary and Midgley, Ultramicroscopy 178, 112 (2017), written anew from its method. What is simpler here,
or other:

- the noise is measured once for the movie, by `napari_noise2atom.estimate`, and not in each window;
- blocks are matched exhaustively, one frame to the next, in a copy that a Gaussian has smoothed along all axes;
- windows of 15 frames begin every fifth frame, and all their frames are averaged, not only the middle one kept;
- thresholds are tried one by one on a geometric grid;
- the mean of each matrix is taken off before, and put back: a bright background would fill the largest singular value,
  and what is thresholded as if it were noise would be missing from it;
- the form of the weights that fall exponentially with a singular value is our own.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import limited_threads
from napari_noise2atom.settings import CompareSettings

from .method import Progress
from .poissongaussian import PoissonGaussian
from .trajectories import SMOOTH, Trajectories, spread

__all__ = ["Restored", "SingularValues", "choose_threshold", "pgure_svt", "risk_estimate"]

WINDOW_FRAMES = 15
HOP_FRAMES = 5
TILE_PX = 128
TILE_OVERLAP_PX = 8
THRESHOLDS = np.geomspace(0.3, 4, 14)
"""In units of the largest singular value of pure noise of the window's mean variance."""
FAINT = 1e-4
"""Weight of the smoothed frames, which fill what no trajectory comes across."""
FIRST_STEP, SECOND_STEP = 0.01, 0.1
"""Of the finite differences, in counts."""


def pgure_svt(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise a movie in windows of 15 frames and, if its frames are large, in tiles of 128 × 128 px.

    Raises
    ------
    ValueError
        If fewer than two frames are usable.
    """
    noise = PoissonGaussian.of(movie)
    total, count = np.zeros(movie.shape, np.float32), np.zeros(movie.shape, np.float32)
    starts = [spread(len(movie), WINDOW_FRAMES, HOP_FRAMES)]
    starts += [spread(side, TILE_PX, TILE_PX - TILE_OVERLAP_PX) for side in movie.shape[1:]]
    places = list(itertools.product(*starts))
    random = torch.Generator().manual_seed(settings.seed)
    with limited_threads(settings.threads):
        for done, (t, y, x) in enumerate(places, 1):
            frames = movie.frames(range(t, min(t + WINDOW_FRAMES, len(movie))))[:, y : y + TILE_PX, x : x + TILE_PX]
            counts = noise.normalise(frames)
            restored = _denoise_window(torch.from_numpy(counts), noise.read_variance, random)
            place = np.s_[t : t + WINDOW_FRAMES, y : y + TILE_PX, x : x + TILE_PX]
            total[place] += restored.total.numpy() + FAINT * gaussian_filter(counts, SMOOTH)
            count[place] += restored.count.numpy() + FAINT
            progress(done / len(places))
    total /= count
    return noise.restore(total)


@dataclass(frozen=True, eq=False)
class Restored:
    """Patches put back into their frames."""

    total: Tensor
    """Sum of all patches that cover a pixel, shape (t, y, x)."""
    count: Tensor
    """Their number, which may be 0 where things move."""

    @property
    def mean(self) -> Tensor:
        """The denoised frames; 0 where there is no patch."""
        return self.total / self.count.clamp(min=1)


def _denoise_window(counts: Tensor, read_variance: float, random: torch.Generator) -> Restored:
    estimator = SingularValues(Trajectories.in_frames(counts))
    threshold = choose_threshold(estimator, counts, read_variance, random)
    return estimator.decompose(counts)(threshold)


class SingularValues:
    """The estimator: thresholds the singular values of the matrix, pixels × frames, of every trajectory.

    Parameters
    ----------
    trajectories : Trajectories
        Where the patches are.
    """

    def __init__(self, trajectories: Trajectories) -> None:
        self.trajectories = trajectories
        self.count = trajectories.put_back(torch.ones(trajectories.pixels.shape))

    def decompose(self, counts: Tensor) -> Callable[[float], Restored]:
        """Return the denoised frames as a function of the threshold; the decomposition is done once."""
        patches = self.trajectories.cut(counts)
        mean = patches.mean(dim=(1, 2), keepdim=True)
        matrices = patches - mean
        # There are no more frames than pixels in a patch, so that their Gram matrix is the smaller problem.
        squares, vectors = torch.linalg.eigh(matrices @ matrices.mT)
        values, projected = squares.clamp(min=0).sqrt(), vectors.mT @ matrices

        def restore(threshold: float) -> Restored:
            kept = mean + (vectors * _kept_share(values, threshold)[:, None, :]) @ projected
            return Restored(self.trajectories.put_back(kept), self.count)

        return restore


def _kept_share(values: Tensor, threshold: float) -> Tensor:
    """Return what is left of each singular value: nothing of small ones, nearly all of large ones.

    A soft threshold would take as much from the large ones, which are the signal.
    """
    weights = torch.exp(-((values / threshold) ** 2) / 2)
    return (1 - threshold * weights / values.clamp(min=1e-6)).clamp(min=0)


def choose_threshold(estimator: SingularValues, counts: Tensor, read_variance: float, random: torch.Generator) -> float:
    """Return the threshold of the smallest estimated risk.

    Parameters
    ----------
    estimator : SingularValues
        For these frames.
    counts : Tensor, shape (t, y, x)
        Noisy frames in units of the gain, without offset.
    read_variance : float
        Of the Gaussian noise [counts²].
    random : torch.Generator
        Source of randomness.
    """
    patch, frames = estimator.trajectories.pixels.shape[2], len(counts)
    variance = max(float(counts.mean()), 0.0) + read_variance
    unit = max(variance, 1e-6) ** 0.5 * (patch**0.5 + frames**0.5)
    risk = risk_estimate(estimator, counts, read_variance, random)
    return float(min(unit * THRESHOLDS, key=risk))


def risk_estimate(
    estimator: SingularValues, counts: Tensor, read_variance: float, random: torch.Generator
) -> Callable[[float], float]:
    """Return PGURE, an estimate of the mean squared error without the truth, as a function of the threshold.

    With noisy counts y, the estimator f and the read-out variance σ², the mean over all pixels of
    (f − y)² − y − σ² + 2 (y + σ²) ∂f/∂y − 2 σ² ∂²f/∂y²: Le Montagner, Angelini and Olivo-Marin, IEEE Transactions on
    Image Processing 23, 1255 (2014), which is for a gain of 1. The derivatives of each pixel by itself are finite
    differences along random directions: of signs for the first, of numbers whose third moment is 1 for the second.

    Parameters
    ----------
    estimator, counts, read_variance, random
        As for `choose_threshold`.
    """
    signs = torch.randint(0, 2, counts.shape, generator=random) * 2.0 - 1
    rare = (1 - 5**-0.5) / 2
    is_rare = torch.rand(counts.shape, generator=random) < rare
    skewed = torch.where(is_rare, ((1 - rare) / rare) ** 0.5, -((rare / (1 - rare)) ** 0.5))
    steps = (0.0, FIRST_STEP * signs, SECOND_STEP * skewed, -SECOND_STEP * skewed)
    here, beside, above, below = (estimator.decompose(counts + step) for step in steps)
    covered = estimator.count > 0

    def risk(threshold: float) -> float:
        f = here(threshold).mean
        first = (beside(threshold).mean - f) * signs / FIRST_STEP
        second = (above(threshold).mean - 2 * f + below(threshold).mean) * skewed / SECOND_STEP**2
        parts = (f - counts) ** 2 - counts - read_variance + 2 * (counts + read_variance) * first
        return float((parts - 2 * read_variance * second)[covered].mean())

    return risk
