"""Clusters of atoms as electrons see them: small crystals of any orientation, projected along the beam."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = ["close_packed", "columns"]


def close_packed(n: int, rng: np.random.Generator, disorder: float) -> NDArray[np.float64]:
    """Return a compact piece of a face-centred cubic crystal, turned at random and seen along the beam.

    Parameters
    ----------
    n : int
        Number of atoms.
    rng : numpy.random.Generator
        Source of randomness.
    disorder : float
        Standard deviation of an atom's distance from its lattice site along each axis [bond].

    Returns
    -------
    array, shape (n, 2), float64
        y and x of the atoms about their centre [bond].
    """
    reach = int(np.ceil(n ** (1 / 3))) + 1
    grid = np.mgrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1].reshape(3, -1).T
    lattice = grid[grid.sum(axis=1) % 2 == 0] / np.sqrt(2)
    distance = np.linalg.norm(lattice - rng.uniform(-0.5, 0.5, 3), axis=1)
    atoms = lattice[np.argsort(distance)[:n]] + disorder * rng.standard_normal((n, 3))
    seen: NDArray[np.float64] = Rotation.random(rng=rng).apply(atoms - atoms.mean(axis=0))[:, :2]
    return seen


def columns(
    n: int, thickest: int, rng: np.random.Generator, disorder: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a round particle of a crystal, turned at random and seen along its columns.

    Parameters
    ----------
    n : int
        Number of columns.
    thickest : int
        Atoms in the columns of its middle.
    rng : numpy.random.Generator
        Source of randomness.
    disorder : float
        Standard deviation of a column's distance from its lattice site along each axis [distance of columns].

    Returns
    -------
    positions : array, shape (n, 2), float64
        y and x of the columns about the middle [distance of columns].
    atoms : array, shape (n,), int
        Atoms in each column, at least 1, fewest at the rim; the particle is half of an ellipsoid.
    """
    reach = int(np.ceil(np.sqrt(n))) + 1
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    lattice = np.stack([i * np.sqrt(0.75), j + i / 2], axis=1) - rng.uniform(-0.5, 0.5, 2)
    distance = np.hypot(*lattice.T)
    inside = np.argsort(distance)[:n]
    rim = distance[inside[-1]] + 0.5
    atoms = np.maximum(1, np.round(thickest * np.sqrt(1 - np.square(distance[inside] / rim)))).astype(np.int64)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    positions: NDArray[np.float64] = lattice[inside] @ turn.T + disorder * rng.standard_normal((n, 2))
    return positions, atoms
