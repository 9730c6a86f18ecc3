"""How well atoms can be located at all, whatever the method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import erf

from napari_noise2atom.metrics import Truth
from napari_noise2atom.settings import DetectorSettings

MATCHED_PX = 2.5
"""Farther from a true atom, none counts as found."""
FITTED_EVERY, LOCATED_EVERY = 20, 4
"""Frames from which the shape of spots is taken, and those for which the bound is found."""
FROM_MEDIAN = 1.4826
"""Standard deviation of normal numbers by their median absolute value; a few hops do not change it."""

Matrix = NDArray[np.float64]


def position_bound_px(truth: Truth, detector: DetectorSettings, neighbours: int) -> float:
    """Return the least mean distance of located atoms from the true ones [px]: a Cramér-Rao bound.

    It holds for methods without bias, which know the shape and the brightness of spots, the background and how far
    atoms move in a frame, each by itself, beside a steady drift. Line jitter, hops and other drift are left out, as
    they take information away; afterglow is, too, as it could be undone. Overlap is not: an atom that lies on
    another one is hard to locate.

    Parameters
    ----------
    truth : Truth
        Clean movie [electrons] and positions.
    detector : DetectorSettings
        Its noise.
    neighbours : int
        Frames before and after that are used, too.
    """
    spots = Spots.of(truth)
    read_noise_e = detector.read_noise_counts / detector.gain_counts
    noise = (1 + 1 / detector.pulse_shape) * np.asarray(truth.clean) + read_noise_e**2
    located = range(neighbours, len(noise) - neighbours, LOCATED_EVERY)
    used = sorted({frame + step for frame in located for step in range(-neighbours, neighbours + 1)})
    information = {frame: spots.information(truth.positions[frame], noise[frame]) for frame in used}
    steps = np.diff(truth.positions, axis=0)
    steady = np.nanmedian(steps, axis=(0, 1))
    walk = (FROM_MEDIAN * np.nanmedian(np.abs(steps - steady))) ** 2 * np.eye(2 * truth.positions.shape[1])
    deviations = []
    for frame in located:
        total = information[frame]
        for side in (-1, 1):
            known = np.zeros_like(walk)  # what the frames on one side tell, after a step: from the farthest on
            for step in range(neighbours, 0, -1):
                known = np.linalg.inv(np.linalg.inv(information[frame + side * step] + known) + walk)
            total = total + known
        variances = np.diag(np.linalg.inv(total)).reshape(-1, 2).mean(axis=1)
        deviations.append(np.sqrt(variances[there(truth.positions[frame])]))
    return mean_distance(np.concatenate(deviations))


def mean_distance(deviations: Matrix) -> float:
    """Return the mean distance of those that count as found, given each atom's standard deviation per axis [px]."""
    ends = np.exp(-((MATCHED_PX / deviations) ** 2) / 2)
    sums = deviations * np.sqrt(np.pi / 2) * erf(MATCHED_PX / deviations / np.sqrt(2)) - MATCHED_PX * ends
    return float(sums.sum() / (1 - ends).sum())


@dataclass(frozen=True)
class Spots:
    """What an atom adds to the clean movie: a Gaussian."""

    peak_e: float
    variances_px2: Matrix
    """Along y and x."""

    @classmethod
    def of(cls, truth: Truth) -> "Spots":
        """Fit the clean movie by equal spots at the true positions, on a plane."""
        frames = range(0, len(truth.clean), FITTED_EVERY)
        clean = np.stack([truth.clean[frame] for frame in frames])
        places = [truth.positions[frame][there(truth.positions[frame])] for frame in frames]
        y, x = np.broadcast_arrays(*np.ogrid[: clean.shape[1], : clean.shape[2]])
        plane = [np.broadcast_to(values, clean.shape).ravel() for values in (1.0, y, x)]

        def fit(variances: Matrix) -> tuple[float, float]:
            shape = cls(1.0, variances)
            spots = np.stack([shape.drawn(positions, clean.shape[1:]).sum(axis=0) for positions in places])
            known = np.stack([spots.ravel(), *plane], axis=1)
            factors, *_ = np.linalg.lstsq(known, clean.ravel(), rcond=None)
            return float(np.square(clean.ravel() - known @ factors).sum()), float(factors[0])

        logs = minimize(lambda logs: fit(np.exp(logs))[0], np.log([4.0, 4.0]), method="Nelder-Mead", tol=1e-2).x
        return cls(fit(np.exp(logs))[1], np.exp(logs))

    def drawn(self, positions: Matrix, size_px: tuple[int, ...]) -> Matrix:
        """Return an image for each atom, shape (n, y, x)."""
        y, x = ((np.arange(size) - center[:, None]) ** 2 for size, center in zip(size_px, positions.T, strict=True))
        along_y, along_x = (np.exp(-d / (2 * v)) for d, v in zip((y, x), self.variances_px2, strict=True))
        return self.peak_e * along_y[:, :, None] * along_x[:, None, :]

    def information(self, positions: Matrix, noise: Matrix) -> Matrix:
        """Return what one frame tells of all atoms' y and x: Fisher's information, shape (2n, 2n) [1/px²].

        Of an atom that is absent it tells next to nothing, but not nothing, so that the matrix can be inverted.
        """
        present = there(positions)
        images = np.zeros((len(positions), *noise.shape))
        images[present] = self.drawn(positions[present], noise.shape)
        y, x = np.ogrid[: noise.shape[0], : noise.shape[1]]
        where = np.nan_to_num(positions)[:, :, None, None]
        slopes = np.stack([images * (axis - where[:, i]) for i, axis in enumerate((y, x))], axis=1)
        slopes /= self.variances_px2[:, None, None] * np.sqrt(noise)
        slopes = slopes.reshape(2 * len(positions), -1)
        return slopes @ slopes.T + 1e-6 * np.eye(len(slopes))


def there(positions: Matrix) -> NDArray[np.bool_]:
    """Say which atoms are present."""
    return np.isfinite(positions[:, 0])
