"""Drift and jumps are found in views that go over a larger sample, whose noise is drawn afterwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noise2atom.alignment import _binned, measure_drift, measure_jumps, shift_back
from napari_noise2atom.estimate.steadiness import steady
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import NetworkSettings
from napari_noise2atom.simulate.spots import render_spots
from napari_noise2atom.windows import FrameWindows

TIMES = np.arange(-6, 7)


def views(
    speed: tuple[float, float],
    times: NDArray[np.intp] = TIMES,
    side: int = 128,
    dose: float = 0.6,
    walk_px: float = 0.0,
    seed: int = 0,
    jumps: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Atoms on a film of a tenth of their brightness that drift and jump together and walk by themselves, noisy."""
    rng = np.random.default_rng(seed)
    reach = 60
    atoms = rng.uniform(-reach, side + reach, (round(40 * ((side + 2 * reach) / 128) ** 2), 2))
    frames = []
    for time, jump in zip(times, np.zeros((len(times), 2)) if jumps is None else jumps, strict=True):
        atoms = atoms + walk_px * rng.standard_normal(atoms.shape)
        y, x = (atoms + np.multiply(speed, time) + jump).T
        frames.append(rng.poisson(dose * (0.1 + render_spots(y, x, np.ones_like(y), 2.6, (side, side)))))
    return np.stack(frames).astype(np.float64)


@pytest.mark.parametrize("speed", [(0, 0), (0, 0.5), (1.2, -0.7), (-2.5, 0.3), (3.5, 3.5)])
@pytest.mark.parametrize("seed", [0, 1])
def test_drift_is_found(speed: tuple[float, float], seed: int) -> None:
    assert measure_drift(views(speed, seed=seed), TIMES) == pytest.approx(speed, abs=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_drift_is_found_at_a_low_dose(seed: int) -> None:
    assert measure_drift(views((1.2, -0.7), dose=0.15, seed=seed), TIMES) == pytest.approx((1.2, -0.7), abs=0.2)


def test_atoms_that_walk_hardly_sway_it() -> None:
    assert measure_drift(views((0.9, 0.4), walk_px=0.5), TIMES) == pytest.approx((0.9, 0.4), abs=0.2)
    assert np.hypot(*measure_drift(views((0, 0), walk_px=0.5), TIMES)) < 0.2


@pytest.mark.parametrize("gradient", [0.0, 0.02])
def test_noise_does_not_drift(gradient: float) -> None:
    rng = np.random.default_rng(0)
    background = 1 + gradient * np.arange(96)
    for _ in range(20):
        assert not measure_drift(rng.poisson(np.broadcast_to(background, (13, 80, 96))), TIMES).any()


def test_order_and_gaps_do_not_matter() -> None:
    frames = views((1.2, -0.7), dose=2)
    kept = [7, 0, 2, 12, 3, 5, 9, 1]
    assert measure_drift(frames[kept], TIMES[kept]) == pytest.approx((1.2, -0.7), abs=0.1)


def test_two_frames_suffice_where_there_is_little_noise() -> None:
    frames = views((1.2, -0.7), np.arange(2), dose=50)
    assert measure_drift(frames, [0, 1]) == pytest.approx((1.2, -0.7), abs=0.5)


def test_large_frames_drift_faster() -> None:
    frames = views((7.0, -2.0), np.arange(3), side=600, dose=2)
    assert measure_drift(frames, range(3)) == pytest.approx((7, -2), abs=0.2)


@pytest.mark.parametrize(("size_px", "seed"), [(0.0, 0), (0.5, 1), (1.0, 2), (1.5, 3)])
@pytest.mark.parametrize("speed", [(0.0, 0.0), (1.2, -0.7)])
def test_jumps_are_found(size_px: float, seed: int, speed: tuple[float, float]) -> None:
    jumps = np.clip(size_px * np.random.default_rng(seed).standard_normal((13, 2)), -2.5, 2.5)
    for dose, error in ((2.0, 0.15), (0.3, 0.5)):
        found = measure_jumps(views(speed, dose=dose, jumps=jumps, seed=seed), TIMES[:, None] * np.array(speed))
        assert np.std(found - jumps + jumps.mean(axis=0)) < error


def test_where_there_is_much_noise_jumps_are_likely_to_be_as_expected() -> None:
    jumps = np.random.default_rng(0).normal(0, 0.7, (8, 13, 2))
    jumps -= jumps.mean(axis=1, keepdims=True)
    still = np.zeros((13, 2))
    for dose, gain in ((0.1, 0.75), (2.0, 1.03)):
        free, expected = (
            [measure_jumps(views((0, 0), dose=dose, jumps=each, seed=7), still, spread) - each for each in jumps]
            for spread in (np.inf, 0.7)
        )
        assert np.std(expected) < gain * np.std(free)


def test_jumps_of_large_frames_are_as_many_pixels() -> None:
    jumps = np.array([[0.0, 0.0], [5.0, -3.0], [-4.0, 2.0], [-1.0, 1.0]])
    found = measure_jumps(views((0, 0), np.arange(4), side=600, dose=2, jumps=jumps), np.zeros((4, 2)))
    np.testing.assert_allclose(found, jumps, atol=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_jumps_of_a_crystal_that_fills_the_frame_are_found(seed: int) -> None:
    """Wherever it is shifted by its lattice, it agrees with itself nearly as well."""
    y, x = 2 * np.pi / 9 * np.indices((160, 160))
    crystal = np.exp(2 * (np.cos(x) + np.cos(y) - 2))
    rng = np.random.default_rng(seed)
    jumps = np.clip(rng.normal(0, 1, (13, 2)), -2, 2).round().astype(int)
    frames = rng.poisson([0.1 + crystal[16 - v : 144 - v, 16 - u : 144 - u] for v, u in jumps])
    np.testing.assert_allclose(measure_jumps(frames, np.zeros((13, 2))), jumps - jumps.mean(axis=0), atol=0.4)


@pytest.mark.parametrize("expected_px", [0.5, 1.0, 2.0])
def test_noise_alone_jumps_no_farther_than_expected(expected_px: float) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.poisson(np.full((13, 80, 96), 1.0)) for _ in range(20)]
    jumps = [measure_jumps(noise, np.zeros((13, 2)), expected_px) for noise in frames]
    assert np.std(jumps) < expected_px


def test_what_drifts_is_brought_back_and_noise_stays_as_it_is() -> None:
    sample = np.random.default_rng(0).random((80, 90))
    drift = np.array([1.5, -2.0])
    corners = [(20 - round(1.5 * t), 20 + 2 * t) for t in TIMES]
    frames = [sample[y : y + 40, x : x + 50] for y, x in corners]
    aligned = shift_back(frames, TIMES[:, None] * drift)
    for frame in aligned:
        assert frame.shape == (40, 50)
        np.testing.assert_array_equal(frame[9:-9, 12:-12], frames[6][9:-9, 12:-12])
    assert aligned[6] is frames[6]


@given(
    side=st.tuples(st.integers(1, 9), st.integers(1, 9)), share=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
)
def test_beyond_the_edge_there_is_the_mirror_image(side: tuple[int, int], share: tuple[float, float]) -> None:
    frame = np.random.default_rng(0).random(side)
    shift = [int(part * (length - 1)) for part, length in zip(share, side, strict=True)]
    mirrored = np.pad(frame, [(length - 1, length - 1) for length in side], mode="reflect")
    rows, columns = (s + length - 1 + np.arange(length) for s, length in zip(shift, side, strict=True))
    (shifted,) = shift_back([frame], np.array([shift], float))
    np.testing.assert_array_equal(shifted, mirrored[np.ix_(rows, columns)])


def test_what_has_left_the_frame_altogether_is_no_error() -> None:
    frame = np.arange(12.0).reshape(3, 4)
    (shifted,) = shift_back([frame], np.array([[24.0, -48.0]]))
    assert shifted.shape == (3, 4)
    assert set(shifted.ravel()) == {8.0}


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64])
def test_bins_hold_means(kind: type[np.generic]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (11, 14)).astype(kind)
    expected = [[frame[y : y + 3, x : x + 3].mean() for x in (0, 3, 6, 9)] for y in (0, 3, 6)]
    np.testing.assert_allclose(_binned(frame, 3), expected, rtol=1e-6)


def test_aligned_windows_hold_a_sample_at_rest() -> None:
    frames = views((1.2, -0.7), np.arange(20), dose=20)
    windows = [FrameWindows(Movie(frames), NetworkSettings(aligned=aligned), 0, 40)(10) for aligned in (False, True)]
    middle = frames[10, 16:-16, 16:-16]
    for window in windows:
        np.testing.assert_array_equal(window[6], frames[10])
    moving, aligned = (
        [np.corrcoef(frame[16:-16, 16:-16].ravel(), middle.ravel())[0, 1] for frame in (window[0], window[12])]
        for window in windows
    )
    assert max(moving) < 0.2 < 0.5 < min(aligned)


def test_steadied_windows_hold_a_sample_at_rest() -> None:
    jumps = np.random.default_rng(0).normal(0, 1.5, (20, 2))
    frames = views((1.2, -0.7), np.arange(20), dose=20, jumps=jumps)
    window = FrameWindows(Movie(frames), NetworkSettings(jump_px=1.5), 0, 40)(10)
    np.testing.assert_array_equal(window[6], frames[10])
    middle = window[6][16:-16, 16:-16].ravel()
    assert min(np.corrcoef(frame[16:-16, 16:-16].ravel(), middle)[0, 1] for frame in window) > 0.5


@pytest.mark.parametrize("index", [0, 1, 19])
def test_neighbours_at_the_ends_are_aligned_by_their_own_time(index: int) -> None:
    frames = views((1.0, -1.0), np.arange(20), dose=50)
    windows = FrameWindows(Movie(frames), NetworkSettings(frames_in=5, aligned=True), 0, 100)
    middle, last = (windows(index)[n] for n in (2, 4))
    assert np.corrcoef(last[16:-16, 16:-16].ravel(), middle[16:-16, 16:-16].ravel())[0, 1] > 0.8


def dim_runs(jump_px: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    jumps = rng.normal(0, jump_px, (4, 16, 2))
    times = np.arange(16)
    return np.stack(
        [views((0, 0), times, dose=0.1, walk_px=0.5, seed=10 * seed + run, jumps=jumps[run]) for run in range(4)]
    ).astype(np.float32)


def test_most_movies_of_dim_atoms_tell_whether_they_jump() -> None:
    found = np.array([steady(dim_runs(1.0, seed))[2] for seed in range(6)])
    assert np.count_nonzero((found > 0.5) & (found < 1.3)) >= 5
    assert all(steady(dim_runs(0.0, seed))[2] == 0 for seed in range(6))
