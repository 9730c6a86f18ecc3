import numpy as np
import pytest

from napari_noise2atom.simulate.crystal import close_packed, columns


def test_two_atoms_are_one_bond_apart_seen_from_everywhere() -> None:
    rng = np.random.default_rng(0)
    apart = np.array([np.ptp(close_packed(2, rng, 0.0), axis=0) for _ in range(3000)])
    square = np.square(apart).sum(axis=1)
    assert square.max() <= 1 + 1e-9
    assert square.mean() == pytest.approx(2 / 3, rel=0.03)  # what remains of a unit vector along two of three axes


def test_a_large_crystal_has_the_density_of_spheres_that_touch() -> None:
    rng, n = np.random.default_rng(1), 600
    radius = (3 * n / (4 * np.pi * np.sqrt(2))) ** (1 / 3)  # √2 atoms in a cubic bond (Kepler)
    square = np.mean([np.square(close_packed(n, rng, 0.0)).sum(axis=1).mean() for _ in range(20)])
    assert square == pytest.approx(2 / 5 * radius**2, rel=0.05)


def test_disorder_is_the_distance_from_the_lattice() -> None:
    still, moved = (close_packed(400, np.random.default_rng(2), disorder) for disorder in (0.0, 0.1))
    np.testing.assert_allclose((moved - still).std(axis=0), 0.1, rtol=0.1)


def test_columns_are_a_round_piece_of_a_hexagonal_lattice_thickest_in_the_middle() -> None:
    positions, atoms = columns(61, 7, np.random.default_rng(3), 0.0)
    assert positions.shape == (61, 2)
    distance = np.sort(np.linalg.norm(positions[:, None] - positions, axis=-1), axis=1)
    np.testing.assert_allclose(distance[:, 1], 1)
    from_middle = np.linalg.norm(positions, axis=1)
    assert from_middle.max() < 1.1 * np.sqrt(61 * np.sqrt(0.75) / np.pi)  # the radius of a circle of that area
    np.testing.assert_allclose(distance[from_middle.argmin(), 1:7], 1)
    assert np.all(np.diff(atoms[np.argsort(from_middle)]) <= 0)
    assert (atoms.min(), atoms.max()) == (3, 7)
