import numpy as np
import pytest

from napari_noise2atom.estimate.noise import undo_afterglow
from napari_noise2atom.estimate.sample import sample_runs
from napari_noise2atom.estimate.spots import Spots, measure_spots
from napari_noise2atom.settings import DetectorSettings
from napari_noise2atom.simulate.noisy import SimulatedMovie

AFTERGLOW = DetectorSettings().afterglow
APART, CROWDED = 5.8, 4.0
"""Bonds in standard deviations of a spot."""


def measured(result: SimulatedMovie) -> Spots:
    return measure_spots(undo_afterglow(sample_runs(result.noisy), AFTERGLOW))


def clusters(simulated, variance_px2: float, bond_sigmas: float) -> SimulatedMovie:
    """Simulate clusters and single atoms, narrow spots being brighter."""
    bond = max(9.0, bond_sigmas * np.sqrt(variance_px2))
    return simulated(spot_variance_px2=variance_px2, bond_px=bond, atom_peak_e=max(1, 5 / variance_px2), seed=2)


@pytest.mark.parametrize("variance_px2", [1, 2, 3, 5, 7, 10, 14, 20])
def test_variance_and_density_of_spots_are_found(simulated, variance_px2):
    result = clusters(simulated, variance_px2, APART)
    spots = measured(result)
    assert spots.certain
    assert spots.variance_px2 == pytest.approx(variance_px2, rel=0.15)
    atoms = np.isfinite(result.positions[..., 0]).sum(axis=1).mean() / 128**2
    least = 1 / 2 if variance_px2 <= 7 else 1 / 4  # broad spots cover each other: fewer are found
    assert least < spots.density_per_px / atoms < 2


@pytest.mark.parametrize("variance_px2", [7, 10])
def test_the_variance_of_crowded_spots_is_found_within_a_fifth(simulated, variance_px2):
    assert measured(clusters(simulated, variance_px2, CROWDED)).variance_px2 == pytest.approx(variance_px2, rel=0.2)


@pytest.mark.parametrize("walk_px", [0.3, 0.8, 2.0])
def test_motion_is_found(simulated, walk_px):
    moving = simulated(
        walk_px=walk_px,
        spot_variance_px2=5,
        atom_peak_e=2,
        clusters=0,
        single_atoms=40,
        hop_probability=0,
        drift_px=0,
    )
    assert measured(moving).step_px == pytest.approx(walk_px, rel=0.3)


@pytest.mark.parametrize("seed", range(2))
def test_pure_noise_is_not_mistaken_for_spots(simulated, seed):
    noise = simulated(clusters=0, single_atoms=0, background_texture=0, frames=32, seed=seed)
    assert not measured(noise).certain
