"""Simulated pairs of noisy frames and clean images, made with what a movie tells ("warm start", not in the paper)."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.settings import DetectorSettings, Settings

from .background import film, wedge
from .clean import narrowed
from .crystal import close_packed
from .detector import record
from .spots import render_spots

__all__ = ["Pairs", "simulate_pairs"]

BRIGHTNESS = 0.8, 1.4
"""Of an image's atoms, relative to what was measured."""
BY_CHANCE = (0.9, 0.08, 0.02)
"""Probability of 1, 2, 3 atoms in one place, seen along the beam, where there are no columns."""
CLUSTER_ATOMS = 2, 16
BOND_SIGMAS = 3.5, 7.0
"""Distance of neighbouring atoms in a cluster, in standard deviations of a spot."""
DISORDER = 0.03, 0.3
"""Of a cluster, from crystal to clump; see `close_packed`."""
CLUSTERS = 500
"""Different ones that are drawn once and used again and again."""
PACE = 0.7, 2.0
"""Of an image's atoms, relative to what was measured, which says nothing of trembling."""
FAST_SHARE = 0.1
"""Share of pairs whose atoms move up to five times as fast as the movie's."""
FILM = 0.6, 1.8
"""Level of an image's background, relative to what was measured."""
DETECTOR_SPREAD = 0.06
"""Relative standard deviation of what the detector is like."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Neighbouring noisy frames, and the clean image of the middle one.

    Parameters
    ----------
    noisy : array, shape (n, frames, y, x), float32
        Grey values [counts].
    clean : array, shape (n, y, x), float32
        Intensity in [-1, 1] as in `CleanImages`; the background is empty.
    """

    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]


class _Places(NamedTuple):
    """Where atoms are in the middle frame; m is the number of places in each of n images."""

    positions: NDArray[np.float64]
    """y and x, shape (n, m, 2)."""
    there: NDArray[np.bool_]
    """Which places are occupied, shape (n, m)."""
    clustered: NDArray[np.bool_]
    """Which atoms belong to a cluster, shape (n, m)."""
    leader: NDArray[np.intp]
    """The first atom of an atom's cluster, shape (n, m)."""


def simulate_pairs(n: int, size_px: int, settings: Settings, rng: np.random.Generator) -> Pairs:
    """Draw pairs around the estimates: brightness, density, motion, background and detector all vary.

    An estimate may be wrong by some ten per cent, and a movie is not the same everywhere; a network that has seen the
    variation need not be told. It need not see more of it, either: what is wider than the movie is learned at the
    movie's expense.

    Parameters
    ----------
    n : int
        Number of pairs.
    size_px : int
        Side of the crops [px].
    settings : Settings
        ``simulation``, ``scene`` and ``detector`` as proposed for the movie; ``network.frames_in``.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Pairs
    """
    frames, scene = settings.network.frames_in, settings.scene
    low, high = settings.simulation.variance_min_px2, settings.simulation.variance_max_px2
    variance = _log_uniform(low, high, n, rng)
    reach = int(np.ceil(3 * np.sqrt(high)))
    places = _places(n, size_px + 2 * reach, variance, settings, rng)
    there = places.there
    brightness = _log_uniform(*BRIGHTNESS, n, rng)[:, None] * (1 + 0.1 * rng.standard_normal(there.shape))
    weight = (there * np.maximum(brightness, 0) * _heights(there.shape, scene.column_atoms, rng)).astype(np.float32)
    paths = places.positions[:, None] - reach + _motion(places, frames, settings, rng)
    size = (size_px, size_px)
    spots = render_spots(paths[..., 0], paths[..., 1], weight[:, None], variance[:, None, None], size)
    background = np.stack([_background(size, settings, rng) for _ in range(n)])
    electrons = scene.atom_peak_e * spots + background[:, None]
    noisy = record(electrons, _another_detector(settings.detector, rng), rng, quantise=False)
    middle, narrow = paths[:, frames // 2], narrowed(variance, settings.simulation.narrowing)
    clean = render_spots(middle[..., 0], middle[..., 1], weight, narrow[:, None], size)
    clean *= 2 / settings.simulation.atoms_per_position
    clean -= 1
    return Pairs(noisy, np.minimum(clean, 1, out=clean))


def _log_uniform(low: float, high: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.exp(rng.uniform(np.log(low), np.log(high), n))
    return values


def _heights(shape: tuple[int, ...], thickest: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the atoms in each place: hardly ever more than one, or columns, of which thin ones are the more common."""
    share = np.array(BY_CHANCE) if thickest == 1 else 1 / np.arange(1, thickest + 1)
    return rng.choice(np.arange(1, len(share) + 1), size=shape, p=share / share.sum())


def _places(
    n: int, side_px: int, variance: NDArray[np.float64], settings: Settings, rng: np.random.Generator
) -> _Places:
    """Draw atoms in clusters and alone, few or many."""
    clean = settings.simulation
    area = (side_px / clean.lattice_px) ** 2
    fewest, most = 1.4 * clean.positions_min, 1.1 * clean.positions_max
    expected = area * _log_uniform(min(fewest, most), max(fewest, most), n, rng)
    number = rng.poisson(expected)
    atoms = np.arange(max(1, int(number.max())))
    positions = rng.uniform(0, side_px, (n, len(atoms), 2))
    leader = np.tile(atoms, (n, 1))
    bond = np.sqrt(variance) * rng.uniform(*BOND_SIGMAS, n)
    clustered = np.round(number * rng.random(n)).astype(int)
    for image in range(n):
        first = 0
        while first < clustered[image]:
            offsets = _clusters()[rng.integers(CLUSTERS)][: clustered[image] - first]
            members = slice(first, first + len(offsets))
            positions[image, members] = positions[image, first] + bond[image] * offsets
            leader[image, members] = first
            first = members.stop
    return _Places(positions, atoms < number[:, None], atoms < clustered[:, None], leader)


@cache
def _clusters() -> list[NDArray[np.float64]]:
    """Return clusters of all sizes and orientations whose bonds are 1; atoms are in no order."""
    rng = np.random.default_rng(0)
    sizes = _log_uniform(*CLUSTER_ATOMS, CLUSTERS, rng).round().astype(int)
    disorder = _log_uniform(*DISORDER, CLUSTERS, rng)
    return [rng.permutation(close_packed(n, rng, share)) for n, share in zip(sizes, disorder, strict=True)]


def _motion(places: _Places, frames: int, settings: Settings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw displacements from the middle frame, shape (n, frames, m, 2), from slow to fast.

    Single atoms walk and hop. A cluster walks half as far, and its atoms tremble about their places.
    """
    scene = settings.scene
    n, atoms = places.there.shape
    fast = rng.random(n) < FAST_SHARE
    pace = np.where(fast, _log_uniform(1, 5, n, rng), _log_uniform(*PACE, n, rng)) * max(scene.walk_px, 0.1)
    step = (pace[:, None] * _log_uniform(0.5, 2, n * atoms, rng).reshape(n, atoms))[:, None, :, None]
    walk = np.cumsum(step * rng.standard_normal((n, frames, atoms, 2)), axis=1)
    hops = rng.random((n, frames, atoms, 1)) < scene.hop_probability
    alone = walk + np.cumsum(hops * scene.hop_px * rng.standard_normal(walk.shape), axis=1)
    together = np.take_along_axis(walk, places.leader[:, None, :, None], axis=2)
    trembling = (together + step * rng.standard_normal(walk.shape)) / 2
    paths = np.where(places.clustered[:, None, :, None], trembling, alone)
    paths += (scene.drift_px + 0.1) * rng.standard_normal((n, 1, 1, 2)) * np.arange(frames)[:, None, None]
    moved: NDArray[np.float64] = paths - paths[:, frames // 2, None]
    return moved


def _background(size: tuple[int, int], settings: Settings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a film: thinner or thicker, with a wedge of any direction, smooth or speckled."""
    scene = settings.scene
    level = scene.background_e * float(_log_uniform(*FILM, 1, rng)[0])
    gradient = min(2.0, abs(scene.background_gradient) + 0.5) * rng.random()
    texture = min(1.0, (2 * scene.background_texture + 0.05) * rng.random())
    plane = wedge(size, gradient, rng.uniform(0, 2 * np.pi))
    return np.float32(level) * plane * film(size, texture, rng)


def _another_detector(detector: DetectorSettings, rng: np.random.Generator) -> DetectorSettings:
    """Return a detector that differs by some per cent."""

    def about(value: float) -> float:
        return value * float(np.exp(DETECTOR_SPREAD * rng.standard_normal()))

    return detector.model_copy(
        update={
            "gain_counts": about(detector.gain_counts),
            "pulse_shape": about(detector.pulse_shape),
            "afterglow": min(0.9, about(detector.afterglow)),
            "read_noise_counts": about(detector.read_noise_counts),
            "blur_px": detector.blur_px and detector.blur_px * rng.uniform(0.5, 1.5),
            "line_jitter_px": 2 * detector.line_jitter_px * rng.random(),
        }
    )
