"""Simulated pairs of noisy frames and clean images, made with what a movie tells ("warm start", not in the paper)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.settings import DetectorSettings, Settings

from .background import film, wedge
from .clean import narrowed
from .detector import record
from .spots import render_spots

__all__ = ["Pairs", "simulate_pairs"]

COLUMN_PROBABILITY = (0.78, 0.16, 0.06)
"""Of 1, 2, 3 atoms in one place, seen along the beam."""
FAST_SHARE = 0.3
"""Share of pairs whose atoms move up to five times as fast as the movie's."""


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


def simulate_pairs(n: int, size_px: int, settings: Settings, rng: np.random.Generator) -> Pairs:
    """Draw pairs around the estimates: brightness, density, motion, background and detector all vary.

    An estimate may be wrong by some ten per cent, and a movie is not the same everywhere; a network that has seen the
    variation need not be told.

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
    positions, there = _places(n, size_px + 2 * reach, variance, settings, rng)
    brightness = _log_uniform(0.5, 1.8, n, rng)[:, None] * (1 + 0.1 * rng.standard_normal(there.shape))
    columns = rng.choice([1, 2, 3], size=there.shape, p=COLUMN_PROBABILITY)
    weight = (there * np.maximum(brightness, 0) * columns).astype(np.float32)
    paths = positions[:, None] - reach + _motion(n, frames, there.shape[1], settings, rng)
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


def _places(
    n: int, side_px: int, variance: NDArray[np.float64], settings: Settings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw positions, shape (n, m, 2), and which of them are occupied: alone or in clusters, few or many."""
    clean = settings.simulation
    area = (side_px / clean.lattice_px) ** 2
    expected = area * _log_uniform(0.5 * clean.positions_min, 1.25 * clean.positions_max, n, rng)
    number = rng.poisson(expected)
    most = max(1, int(number.max()))
    alone = rng.uniform(0, side_px, (n, most, 2))
    clusters = max(1, most // 6)
    centre = rng.uniform(0, side_px, (n, clusters, 2))[np.arange(n)[:, None], rng.integers(0, clusters, (n, most))]
    spread = (np.sqrt(variance) * rng.uniform(2.5, 6, n))[:, None, None]
    together = centre + spread * rng.standard_normal((n, most, 2))
    clustered = rng.random((n, most)) < rng.uniform(0, 0.9, (n, 1))
    return np.where(clustered[..., None], together, alone), np.arange(most) < number[:, None]


def _motion(n: int, frames: int, atoms: int, settings: Settings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw displacements from the middle frame, shape (n, frames, atoms, 2), from slow to fast."""
    scene = settings.scene
    fast = rng.random(n) < FAST_SHARE
    pace = np.where(fast, _log_uniform(1, 5, n, rng), _log_uniform(0.25, 1.5, n, rng)) * max(scene.walk_px, 0.1)
    of_atoms = pace[:, None] * _log_uniform(0.5, 2, n * atoms, rng).reshape(n, atoms)
    steps = of_atoms[:, None, :, None] * rng.standard_normal((n, frames, atoms, 2))
    steps += (scene.drift_px + 0.1) * rng.standard_normal((n, 1, 1, 2))
    hops = rng.random((n, frames, atoms, 1)) < scene.hop_probability
    steps += hops * scene.hop_px * rng.standard_normal((n, frames, atoms, 2))
    paths = np.cumsum(steps, axis=1)
    moved: NDArray[np.float64] = paths - paths[:, frames // 2, None]
    return moved


def _background(size: tuple[int, int], settings: Settings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a film: thinner or thicker, with a wedge of any direction, smooth or speckled."""
    scene = settings.scene
    level = scene.background_e * float(_log_uniform(0.4, 2.5, 1, rng)[0])
    gradient = min(2.0, scene.background_gradient + 0.5) * rng.random()
    texture = min(1.0, (2 * scene.background_texture + 0.05) * rng.random())
    plane = wedge(size, gradient, rng.uniform(0, 2 * np.pi))
    return np.float32(level) * plane * film(size, texture, rng)


def _another_detector(detector: DetectorSettings, rng: np.random.Generator) -> DetectorSettings:
    """Return a detector that differs by some ten per cent."""

    def about(value: float) -> float:
        return value * float(np.exp(0.12 * rng.standard_normal()))

    return detector.model_copy(
        update={
            "gain_counts": about(detector.gain_counts),
            "pulse_shape": about(detector.pulse_shape),
            "afterglow": min(0.9, about(detector.afterglow)),
            "read_noise_counts": about(detector.read_noise_counts),
            "line_jitter_px": 2 * detector.line_jitter_px * rng.random(),
        }
    )
