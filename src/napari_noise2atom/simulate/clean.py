"""Clean images of Gaussian atoms, domain C ("Datasets" in the paper)."""

from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.settings import CleanSettings

from .spots import render_spots

__all__ = ["CleanImages", "lost_width_px", "narrowed", "simulate_clean"]

NARROWEST_PX2 = 1.0
"""Spots are not made narrower than this, the paper's smallest variance: pixels could not show them [px²]."""


@dataclass(frozen=True, eq=False)
class CleanImages:
    """Simulated clean images with their true atoms.

    Parameters
    ----------
    images : array or tensor, shape (n, y, x), float32
        Intensity in [-1, 1]; -1 is empty, 1 is ``atoms_per_position`` atoms in one place, or more.
    positions : array, shape (n, m, 2), float32
        y and x of each position inside the crop [px]; NaN where there is none.
    atoms : array, shape (n, m), int
        Atoms in each position; 0 where there is none.
    variance_px2 : array, shape (n,), float32
        Variance of the spots of each image [px²].
    """

    images: Any
    positions: NDArray[np.float32]
    atoms: NDArray[np.int64]
    variance_px2: NDArray[np.float32]


def simulate_clean(
    n: int, settings: CleanSettings, rng: np.random.Generator, xp: ModuleType = np, device: Any = None
) -> CleanImages:
    """Draw clean images as the paper does: random lattice positions, 1–4 atoms each, one Gaussian kernel an image.

    The kernel has a peak of 1 and all images share one scale, so that four atoms are four times as bright as one,
    whatever the width of the spot. (The paper does not say how the kernel is normalised; with a sum of 1, broad
    spots would all but vanish beside narrow ones.)

    Parameters
    ----------
    n : int
        Number of images.
    settings : CleanSettings
        Ranges of the draw.
    rng : numpy.random.Generator
        Source of randomness.
    xp : module, optional
        What renders the images, ``numpy`` or ``torch``. Equal seeds show equal atoms in both.
    device : torch.device or str, optional
        Where ``torch`` renders the images, and leaves them.

    Returns
    -------
    CleanImages
    """
    positions, atoms = _draw_positions(n, settings, rng)
    variance = rng.uniform(settings.variance_min_px2, settings.variance_max_px2, n).astype(np.float32)
    variance = narrowed(variance, settings.narrowing)
    here = partial(xp.asarray, device=device)
    y, x, size = here(positions[..., 0]), here(positions[..., 1]), (settings.crop_px, settings.crop_px)
    images = render_spots(y, x, here(atoms), here(variance[:, None]), size, reach_px=settings.kernel_px // 2, xp=xp)
    images *= 2 / settings.atoms_per_position
    images -= 1
    xp.clip(images, None, 1, out=images)
    inside = (atoms > 0) & _within(positions, 0, settings.crop_px)
    return CleanImages(images, np.where(inside[..., None], positions, np.nan), np.where(inside, atoms, 0), variance)


def narrowed(variance_px2: NDArray[np.floating], narrowing: float) -> NDArray[np.float32]:
    """Return the variances of spots in clean images, given those of the movie.

    Parameters
    ----------
    variance_px2 : array
        Of the spots as recorded [px²].
    narrowing : float
        As in `CleanSettings`.

    Returns
    -------
    array, float32
        Not below 1 px² but where the movie's are.
    """
    narrow: NDArray[np.floating] = np.minimum(variance_px2, np.maximum(narrowing * variance_px2, NARROWEST_PX2))
    return narrow.astype(np.float32, copy=False)


def lost_width_px(settings: CleanSettings) -> float:
    """Return the standard deviation of the Gaussian blur that gives narrowed spots the movie's own width back [px].

    Parameters
    ----------
    settings : CleanSettings
        Of a training; the middle of the range of variances counts.

    Returns
    -------
    float
        0 where spots are not narrowed.
    """
    own = np.sqrt(np.array([settings.variance_min_px2 * settings.variance_max_px2], np.float32))
    return float(np.sqrt(own - narrowed(own, settings.narrowing))[0])


def _draw_positions(
    n: int, settings: CleanSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw positions relative to the crop, keeping those whose kernel reaches it, packed to the left."""
    number = rng.integers(settings.positions_min, settings.positions_max + 1, n)
    positions = rng.integers(0, settings.lattice_px, (n, settings.positions_max, 2))
    atoms = rng.integers(1, settings.atoms_per_position + 1, positions.shape[:2])
    origin, reach = (settings.lattice_px - settings.crop_px) // 2, settings.kernel_px // 2
    there = _within(positions, origin - reach, origin + settings.crop_px + reach)
    there &= np.arange(settings.positions_max) < number[:, None]
    count = there.sum(axis=1)
    packed = np.arange(max(1, int(count.max()))) < count[:, None]
    packed_positions = np.zeros((*packed.shape, 2), np.float32)
    packed_atoms = np.zeros(packed.shape, np.int64)
    before, after = np.flatnonzero(there), np.flatnonzero(packed)
    packed_positions.reshape(-1, 2)[after] = positions.reshape(-1, 2)[before] - origin
    packed_atoms.reshape(-1)[after] = atoms.reshape(-1)[before]
    return packed_positions, packed_atoms


def _within(positions: NDArray[np.number], start: int, stop: int) -> NDArray[np.bool_]:
    """Return which positions, shape (..., 2), have both coordinates in [start, stop[."""
    within = (positions >= start) & (positions < stop)
    both: NDArray[np.bool_] = within[..., 0] & within[..., 1]
    return both
