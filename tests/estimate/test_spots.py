import numpy as np
import pytest

from napari_noise2atom.estimate.columns import single_and_thickest
from napari_noise2atom.estimate.noise import undo_afterglow
from napari_noise2atom.estimate.sample import sample_runs
from napari_noise2atom.estimate.spots import Spots, measure_spots
from napari_noise2atom.settings import DetectorSettings
from napari_noise2atom.simulate.noisy import SimulatedMovie

AFTERGLOW = DetectorSettings().afterglow
APART, CROWDED = 5.8, 4.0
"""Bonds in standard deviations of a spot."""


def measured(result: SimulatedMovie) -> Spots:
    runs = undo_afterglow(sample_runs(result.noisy), AFTERGLOW)
    return measure_spots(runs, np.ones(runs.shape[2:], bool))


def clusters(simulated, variance_px2: float, bond_sigmas: float, seed: int) -> SimulatedMovie:
    """Simulate clusters and single atoms, narrow spots being brighter."""
    bond = max(9.0, bond_sigmas * np.sqrt(variance_px2))
    peak = max(1, 5 / variance_px2)
    return simulated(spot_variance_px2=variance_px2, bond_px=bond, atom_peak_e=peak, seed=seed)


def assert_variance_is_found(spots: list[Spots], variance_px2: float) -> None:
    relative = np.array([found.variance_px2 for found in spots]) / variance_px2
    assert np.median(relative) == pytest.approx(1, abs=0.1)
    assert relative == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("variance_px2", "bond_sigmas"),
    [
        *((variance, APART) for variance in (1, 2, 3, 5, 7, 10, 14, 20)),
        *((variance, CROWDED) for variance in (7, 10, 20)),
    ],
)
def test_variance_and_density_of_spots_are_found(simulated, variance_px2, bond_sigmas):
    movies = [clusters(simulated, variance_px2, bond_sigmas, seed) for seed in (0, 1, 2)]
    spots = [measured(movie) for movie in movies]
    assert all(found.certain for found in spots)
    assert_variance_is_found(spots, variance_px2)
    density = np.median([found.density_per_px for found in spots])
    atoms = np.mean([np.isfinite(movie.positions[..., 0]).sum(axis=1).mean() for movie in movies]) / 128**2
    least = 1 / 2 if variance_px2 <= 7 else 1 / 4  # broad spots cover each other: fewer are found
    assert least < density / atoms < 2


@pytest.mark.parametrize("variance_px2", [2, 7, 20])
def test_variance_of_few_single_atoms_is_found(simulated, variance_px2):
    few = {"clusters": 0, "single_atoms": 20, "atom_peak_e": max(2, 5 / variance_px2)}
    movies = [simulated(spot_variance_px2=variance_px2, **few, seed=seed) for seed in (0, 1, 2)]
    assert_variance_is_found([measured(movie) for movie in movies], variance_px2)


def test_atoms_too_fast_for_their_neighbours_are_found_within_their_frames(simulated):
    spots = measured(simulated(spot_variance_px2=7, bond_px=15, atom_peak_e=2, walk_px=4.0))
    assert spots.certain
    assert spots.variance_px2 == pytest.approx(7, rel=0.15)
    assert 1 / 3 < spots.peak_counts / (2 * 300) < 2


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


@pytest.mark.parametrize("walk_px", [0.35, 0.8])
def test_motion_of_dim_atoms_is_found_over_several_frames(simulated, walk_px):
    """From one frame to the next, noise would make 0 or twice as much of it."""
    dim = {"atom_peak_e": 0.45, "background_e": 0.04, "spot_variance_px2": 2.6, "bond_px": 9.2, "walk_px": walk_px}
    dim |= {"clusters": 0, "single_atoms": 40, "hop_probability": 0, "drift_px": 0, "frames": 120}
    steps = [measured(simulated(**dim, seed=seed)).step_px for seed in (0, 1, 2)]
    assert steps == pytest.approx([walk_px] * 3, rel=0.5)


@pytest.mark.parametrize("seed", range(2))
def test_pure_noise_is_not_mistaken_for_spots(simulated, seed):
    noise = simulated(clusters=0, single_atoms=0, background_texture=0, frames=32, seed=seed)
    assert not measured(noise).certain


@pytest.mark.parametrize(("peak_e", "gradient"), [(0.45, 0.0), (0.75, 1.5)])
def test_clusters_of_dim_atoms_are_not_taken_for_broad_spots(simulated, peak_e, gradient):
    """At half an electron per atom, only filters that are wider than an atom see any, and clusters outshine atoms."""
    dim = {"atom_peak_e": peak_e, "background_e": 0.2 if gradient else 0.04, "background_gradient": gradient}
    dim |= {"spot_variance_px2": 2.6, "bond_px": 9.2, "walk_px": 0.35, "frames": 120}
    spots = [measured(simulated(**dim, seed=seed)) for seed in (0, 1, 2)]
    for found in spots:
        assert found.certain
        assert found.variance_px2 == pytest.approx(2.6, rel=0.35)
        assert 1 / 2 < found.peak_counts / (300 * peak_e) < 1.5
        assert 1 / 3 < found.density_per_px * 128**2 / 40 < 2


def test_large_clusters_of_dim_atoms_that_only_the_broadest_filter_sees_are_not_taken_for_spots(simulated):
    dim = {"atom_peak_e": 0.27, "background_e": 0.025, "spot_variance_px2": 2.6, "bond_px": 9.2, "walk_px": 0.35}
    large = {"clusters": 3, "cluster_atoms": 13, "single_atoms": 6, "frames": 120}
    for seed in (0, 1, 2):
        assert measured(simulated(**dim, **large, seed=seed)).variance_px2 == pytest.approx(2.6, rel=0.5)


def test_slow_atoms_that_five_frames_do_not_show_are_found_in_more(simulated):
    weak = {"atom_peak_e": 0.3, "background_e": 0.025, "spot_variance_px2": 2.6, "bond_px": 9.2, "walk_px": 0.35}
    spots = [measured(simulated(**weak, frames=120, seed=seed)) for seed in (0, 1, 2)]
    for found in spots:
        assert found.certain
        assert found.variance_px2 == pytest.approx(2.6, rel=0.25)
        assert found.peak_counts == pytest.approx(300 * 0.3, rel=0.4)
        assert 1 / 2 < found.density_per_px * 128**2 / 40 < 2


def test_of_weak_and_fast_atoms_the_guess_has_the_contrast(simulated):
    weak = {"atom_peak_e": 0.4, "background_e": 0.03, "spot_variance_px2": 2.6, "bond_px": 9.2, "walk_px": 2.0}
    found = measured(simulated(**weak, frames=120))
    assert not found.certain
    assert 1 / 2 < found.variance_px2 / 2.6 < 2
    contrast = found.peak_counts**2 * found.density_per_px * found.variance_px2
    assert 1 / 3 < contrast / ((300 * 0.4) ** 2 * 40 / 128**2 * 2.6) < 2


def test_in_two_frames_spots_are_counted(simulated):
    movie = simulated(spot_variance_px2=7, atom_peak_e=5, background_e=0.1, frames=2, size_px=256, clusters=12)
    found = measured(movie)
    atoms = np.isfinite(movie.positions[..., 0]).sum(axis=1).mean()
    assert found.certain
    assert 1 / 3 < found.density_per_px * 256**2 / atoms < 1.5


PARTICLE = {
    "spot_variance_px2": 2.6, "bond_px": 8, "background_e": 0.1, "walk_px": 0.35, "frames": 120,
    "clusters": 1, "cluster_atoms": 45,
}  # fmt: skip


@pytest.mark.parametrize(
    ("thickest", "scene"),
    [
        (4, {"atom_peak_e": 1.0}),
        (7, {"atom_peak_e": 1.0}),
        (10, {"atom_peak_e": 1.0}),
        (7, {"atom_peak_e": 0.6, "background_e": 0.2, "background_texture": 0.2}),
        (12, {"atom_peak_e": 0.6, "background_e": 0.2, "background_texture": 0.2}),
    ],
)
def test_beside_columns_the_height_of_a_single_atom_is_found(simulated, thickest, scene):
    for seed in (11, 12):
        found = measured(simulated(**PARTICLE | scene, column_atoms=thickest, seed=seed))
        assert found.peak_counts == pytest.approx(300 * scene["atom_peak_e"], rel=0.45)
        assert found.column_atoms == pytest.approx(thickest, rel=0.4)


@pytest.mark.parametrize("peak_e", [0.6, 6.0])
def test_atoms_of_one_height_are_no_columns_though_some_hop(simulated, peak_e):
    level = {"atom_peak_e": peak_e, "background_e": peak_e / 12, "spot_variance_px2": 2.6, "bond_px": 9.2}
    for seed in (11, 12, 13):
        found = measured(simulated(**level, walk_px=0.35, frames=120, seed=seed))
        assert found.column_atoms == 1
        assert found.peak_counts == pytest.approx(300 * peak_e, rel=0.3)


@pytest.mark.parametrize("dimmest", [-0.1, 0.0, 0.01])
def test_what_is_far_dimmer_than_columns_is_no_atom(dimmest):
    heights = np.concatenate([np.full(1000, 1.2), np.full(1000, 0.9), np.full(100, dimmest)]).astype(np.float32)
    single, thickest = single_and_thickest(heights)
    assert single == pytest.approx(1.2 / 20)
    assert thickest == 20


def test_of_few_clear_spots_none_is_a_column():
    assert single_and_thickest(np.full(20, 0.1, np.float32)) == (1.0, 1)


def test_beside_atoms_that_left_their_places_none_is_dim():
    left = np.concatenate([np.full(1000, 1.0), np.zeros(70), np.full(30, 0.9)])
    assert single_and_thickest(left.astype(np.float32)) == (1.0, 1)
    single, thickest = single_and_thickest(np.concatenate([np.full(1000, 1.0), np.full(100, 0.25)]).astype(np.float32))
    assert single == pytest.approx(0.25)
    assert thickest == 4
