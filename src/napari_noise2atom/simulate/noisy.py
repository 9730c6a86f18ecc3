"""Noisy movies whose atoms are known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import MovieSettings

from .background import film, wedge
from .crystal import close_packed, columns
from .detector import record
from .spots import render_spots

__all__ = ["SimulatedMovie", "simulate_movie"]

DISORDER = 0.05
"""Standard deviation of an atom's distance from its lattice site, relative to the bond."""


@dataclass(frozen=True, eq=False)
class SimulatedMovie:
    """A noisy movie and its truth.

    Parameters
    ----------
    noisy : Movie
        uint16 frames.
    clean : array, shape (t, y, x), float32
        Expected electrons per pixel, before line jitter and afterglow [e/px].
    positions : array, shape (t, n, 2), float32
        y and x of each atom or column [px]; NaN where it is outside the frame or not there.
    """

    noisy: Movie
    clean: NDArray[np.float32]
    positions: NDArray[np.float32]

    def save_truth(self, path: str | Path) -> None:
        """Write `clean`, `positions` and `pixel_size_nm` to an ``.npz`` file."""
        np.savez_compressed(
            path, clean=self.clean, positions=self.positions, pixel_size_nm=np.float64(self.noisy.pixel_size_nm or 0)
        )


def simulate_movie(settings: MovieSettings) -> SimulatedMovie:
    """Simulate clusters and single atoms that walk, hop, drift, arrive and leave on a support film.

    Parameters
    ----------
    settings : MovieSettings
        Everything about the movie, the seed included: equal settings give equal movies.

    Returns
    -------
    SimulatedMovie
    """
    rng = np.random.default_rng(settings.seed)
    paths, atoms = _atom_paths(settings, rng)
    size = (settings.size_px, settings.size_px)
    scene = settings.scene
    background = scene.background_e * wedge(size, scene.background_gradient) * film(size, scene.background_texture, rng)
    clean = np.stack(
        [
            scene.atom_peak_e * render_spots(frame[:, 0], frame[:, 1], there * atoms, settings.spot_variance_px2, size)
            + background
            for frame, there in zip(np.nan_to_num(paths), np.isfinite(paths[..., 0]), strict=True)
        ]
    ).astype(np.float32)
    noisy = np.stack([record(frame, settings.detector, rng) for frame in clean]).astype(np.uint16)
    inside = np.all((paths >= 0) & (paths <= settings.size_px - 1), axis=-1, keepdims=True)
    movie = Movie(noisy, settings.pixel_size_nm, settings.frame_time_s, name="simulated")
    return SimulatedMovie(movie, clean, np.where(inside, paths, np.nan).astype(np.float32))


def _atom_paths(settings: MovieSettings, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return positions of all columns in all frames, shape (t, n, 2), and their atoms, shape (n,).

    Single atoms are such of one atom; positions are NaN before their arrival and after they left.
    """
    groups = [_cluster_paths(settings, rng) for _ in range(settings.clusters)]
    groups.append((_single_paths(settings, rng), np.ones(settings.single_atoms, np.int64)))
    paths = np.concatenate([path for path, _ in groups], axis=1)
    drift = np.cumsum(_steps(settings.scene.drift_px / np.sqrt(2), (settings.frames, 1, 2), rng), axis=0)
    return paths + drift, np.concatenate([atoms for _, atoms in groups])


def _steps(sigma: float, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw steps from frame to frame; there is none before the first frame."""
    steps = sigma * rng.standard_normal(shape)
    steps[0] = 0
    return steps


def _cluster_paths(settings: MovieSettings, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Let a cluster walk and turn as a whole while its atoms tremble about their places."""
    spread = settings.cluster_atoms // 3
    number = settings.cluster_atoms + int(rng.integers(-spread, spread + 1))
    offsets, atoms = _cluster(number, settings.scene.column_atoms, rng)
    offsets *= settings.bond_px
    margin = 0.15 * settings.size_px
    walk = settings.scene.walk_px
    centre = rng.uniform(margin, settings.size_px - margin, 2) + np.cumsum(
        _steps(walk / 2, (settings.frames, 2), rng), axis=0
    )
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(_steps(walk / (4 * settings.bond_px), (settings.frames,), rng))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tremble = walk / 2 * rng.standard_normal((settings.frames, len(offsets), 2))
    return centre[:, None] + np.einsum("ijt,nj->tni", turn, offsets) + tremble, atoms


def _cluster(number: int, thickest: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where the atoms of a cluster are, in any orientation, or the columns of a crystal, and their heights."""
    if thickest > 1:
        return columns(number, thickest, rng, DISORDER)
    return close_packed(number, rng, DISORDER), np.ones(number, np.int64)


def _single_paths(settings: MovieSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Let single atoms walk and hop; one in five arrives late and one in five leaves early."""
    scene, shape = settings.scene, (settings.frames, settings.single_atoms, 2)
    steps = _steps(scene.walk_px, shape, rng)
    hops = rng.random(shape[:2]) < scene.hop_probability
    hops[0] = False
    steps += hops[..., None] * scene.hop_px * rng.standard_normal(shape)
    paths = rng.uniform(0, settings.size_px, shape[1:]) + np.cumsum(steps, axis=0)
    times = np.arange(settings.frames)[:, None]
    arrival, leaving = (
        np.where(rng.random(shape[1]) < 0.2, rng.integers(0, settings.frames, shape[1]), edge)
        for edge in (0, settings.frames)
    )
    paths[(times < arrival) | (times >= leaving)] = np.nan
    return paths
