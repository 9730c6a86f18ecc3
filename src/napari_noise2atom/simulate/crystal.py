"""Clusters of atoms as electrons see them: small crystals of any orientation, projected along the beam."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = ["close_packed"]


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
