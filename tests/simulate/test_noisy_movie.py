from itertools import pairwise

import numpy as np
import pytest

from napari_noise2atom.metrics import css
from napari_noise2atom.settings import DetectorSettings, MovieSettings, SceneSettings
from napari_noise2atom.simulate.noisy import simulate_movie

STILL = SceneSettings(walk_px=0, hop_probability=0, drift_px=0)


def singles(atoms: int = 100, frames: int = 60, size_px: int = 256, **scene: float) -> MovieSettings:
    """Describe a movie of single atoms that only move as told."""
    return MovieSettings(
        frames=frames, size_px=size_px, clusters=0, single_atoms=atoms, scene=STILL.model_copy(update=scene)
    )


def steps(positions: np.ndarray) -> np.ndarray:
    """Return the steps of atoms from frame to frame, shape (t - 1, n, 2); NaN where one was not there."""
    return np.diff(positions, axis=0)


def test_equal_settings_give_equal_movies():
    small = MovieSettings(frames=4, size_px=48, seed=5)
    one, two, other = map(simulate_movie, (small, small, small.model_copy(update={"seed": 6})))
    for name in ("clean", "positions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.noisy.data, two.noisy.data)
    assert not np.array_equal(one.noisy.data, other.noisy.data)


def test_movie_has_the_recorders_type_and_calibration():
    movie = simulate_movie(MovieSettings(frames=3, size_px=40, pixel_size_nm=0.02, frame_time_s=0.5)).noisy
    assert movie.shape == (3, 40, 40)
    assert movie.data.dtype == np.uint16
    assert (movie.pixel_size_nm, movie.frame_time_s) == (0.02, 0.5)
    assert np.asarray(movie.data).max() <= DetectorSettings().saturation_counts


def test_truth_is_padded_with_nan_and_inside_the_frame():
    truth = simulate_movie(MovieSettings(frames=16)).positions
    assert truth.shape[::2] == (16, 2)
    assert truth.dtype == np.float32
    there = np.isfinite(truth)
    np.testing.assert_array_equal(there[..., 0], there[..., 1])
    assert truth[there].min() >= 0
    assert truth[there].max() <= 127


def test_clean_is_the_mean_of_the_recording():
    ideal = DetectorSettings(afterglow=0, line_jitter_px=0, saturation_counts=65535, gain_counts=100)
    result = simulate_movie(singles(frames=400, size_px=48, atoms=4).model_copy(update={"detector": ideal}))
    mean = np.asarray(result.noisy.data).mean(axis=0)
    expected = ideal.offset_counts + ideal.gain_counts * result.clean.mean(axis=0)
    assert np.abs(mean - expected).mean() < 8
    assert (mean - expected).mean() == pytest.approx(0, abs=1)


def test_atoms_are_where_the_truth_says():
    result = simulate_movie(MovieSettings(frames=8, size_px=256, scene=SceneSettings(background_texture=0)))
    found = 0
    for clean, truth in zip(result.clean, result.positions, strict=True):
        places = truth[np.isfinite(truth[:, 0])]
        distance = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(len(places)) * 1e9
        margin = np.all((places > 20) & (places < 235), axis=-1)
        for place in places[(distance.min(axis=1) > 20) & margin]:
            corner = np.round(place).astype(int) - 6
            window = clean[corner[0] : corner[0] + 13, corner[1] : corner[1] + 13] - SceneSettings().background_e
            centre = np.stack([(window * i).sum() for i in np.mgrid[:13, :13]]) / window.sum() + corner
            assert window.max() == pytest.approx(SceneSettings().atom_peak_e, rel=0.05)
            np.testing.assert_allclose(centre, place, atol=0.1)
            found += 1
    assert found > 40


@pytest.mark.parametrize("walk_px", [0.3, 1.0])
def test_single_atoms_walk_by_the_step_that_is_set(walk_px):
    moved = steps(simulate_movie(singles(walk_px=walk_px)).positions)
    assert np.nanstd(moved) == pytest.approx(walk_px, rel=0.05)


def test_hops_are_as_frequent_and_as_far_as_set():
    moved = steps(simulate_movie(singles(hop_probability=0.05, hop_px=4)).positions)
    moved = moved[np.isfinite(moved[..., 0])]
    hopped = np.abs(moved).max(axis=-1) > 0
    assert hopped.mean() == pytest.approx(0.05, rel=0.15)
    assert moved[hopped].std() == pytest.approx(4, rel=0.1)


def test_drift_is_common_to_all_atoms():
    moved = steps(simulate_movie(singles(frames=300, atoms=20, size_px=64, drift_px=0.2)).positions)
    common = np.nanmean(moved, axis=1)
    assert np.nanmax(np.abs(moved - common[:, None])) < 1e-4
    assert np.sqrt(np.square(common).sum(axis=-1).mean()) == pytest.approx(0.2, rel=0.1)


def test_one_in_five_arrives_late_and_one_in_five_leaves_early():
    there = np.isfinite(simulate_movie(singles(atoms=600, frames=20, size_px=48)).positions[..., 0])
    seen = there[:, there.any(axis=0)]
    assert (~seen[0]).mean() == pytest.approx(0.19, abs=0.04)
    assert (~seen[-1]).mean() == pytest.approx(0.19, abs=0.04)


def test_atoms_that_arrive_or_leave_do_it_once():
    there = np.isfinite(simulate_movie(singles(atoms=300, frames=30, size_px=64)).positions[..., 0]).astype(int)
    assert (np.diff(there, axis=0) == 1).sum(axis=0).max() == 1
    assert (np.diff(there, axis=0) == -1).sum(axis=0).max() == 1


def test_a_movie_without_atoms_is_its_film():
    empty = MovieSettings(frames=3, clusters=0, single_atoms=0)
    result = simulate_movie(empty)
    assert result.positions.shape == (3, 0, 2)
    np.testing.assert_array_equal(result.clean[0], result.clean[2])
    assert result.clean.mean() == pytest.approx(empty.scene.background_e, rel=0.02)


def test_atoms_of_a_still_cluster_lie_within_its_size():
    still = MovieSettings(frames=2, size_px=256, clusters=1, cluster_atoms=9, single_atoms=0, scene=STILL)
    truth = simulate_movie(still).positions[0]
    places = truth[np.isfinite(truth[:, 0])]
    assert 6 <= len(places) <= 12
    assert np.linalg.norm(places - places.mean(axis=0), axis=-1).max() < 2.5 * still.bond_px


def test_saved_truth_is_read_back(tmp_path):
    result = simulate_movie(MovieSettings(frames=2, size_px=32))
    result.save_truth(tmp_path / "truth.npz")
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["clean"], result.clean)
        np.testing.assert_array_equal(saved["positions"], result.positions)
        assert saved["pixel_size_nm"] == 0.03


REAL_MOVIE = {
    "median": 0.16,
    "mean": 0.24,
    "sd": 0.22,
    "p95": 0.71,
    "neighbours along x": 0.43,
    "neighbours along y": 0.13,
    "neighbours in time": 0.11,
    "CSS": 0.12,
}
"""Statistics of a real movie, 128×128 pixels, on [0, 1] of a 12 bit range."""


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("seed", range(4))
def test_the_sample_movie_is_like_a_real_one(seed):
    unit = np.asarray(simulate_movie(MovieSettings(seed=seed)).noisy.data) / 4095
    simulated = {
        "median": np.median(unit),
        "mean": unit.mean(),
        "sd": unit.std(),
        "p95": np.quantile(unit, 0.95),
        "neighbours along x": correlation(unit[..., 1:], unit[..., :-1]),
        "neighbours along y": correlation(unit[:, 1:], unit[:, :-1]),
        "neighbours in time": correlation(unit[1:], unit[:-1]),
        "CSS": np.mean([css(a, b) for a, b in pairwise(unit)]),
    }
    assert simulated == pytest.approx(REAL_MOVIE, rel=0.2)


def test_clusters_of_columns_are_brightest_in_the_middle_and_single_atoms_stay_single():
    scene = SceneSettings(atom_peak_e=2, background_e=0, column_atoms=6, walk_px=0.1, hop_probability=0)
    movie = MovieSettings(
        frames=2,
        size_px=160,
        spot_variance_px2=2,
        bond_px=16,
        clusters=1,
        cluster_atoms=19,
        single_atoms=8,
        scene=scene,
    )
    result = simulate_movie(movie)
    places = result.positions[0]
    heights = []
    for y, x in places[np.isfinite(places[:, 0])]:
        row, column = round(float(y)), round(float(x))
        # a spot's peak lies between pixels
        nearest = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4)
        heights.append(result.clean[0, row, column] / nearest / scene.atom_peak_e)
    np.testing.assert_allclose(heights, np.round(heights), atol=0.1)  # whole numbers of atoms
    assert max(heights) == pytest.approx(6, abs=0.1)
    assert heights[-1] == pytest.approx(1, abs=0.1)
