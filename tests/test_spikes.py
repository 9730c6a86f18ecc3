"""What is a spike, what is none, and what a network sees of it."""

import numpy as np
import pytest

from napari_noise2atom.estimate import estimate
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import MovieSettings, NetworkSettings
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.spikes import spike_limit, take_out_spikes, without_spikes
from napari_noise2atom.windows import FrameWindows

LOW, HIGH = 90.0, 130.0
LIMIT = spike_limit(LOW, HIGH)


def noise(frames: int = 3, kind: type[np.generic] = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 10, (frames, 24, 32)).clip(0).astype(kind)


def atom(variance_px2: float, peak: float = 1000.0) -> np.ndarray:
    y, x = np.mgrid[:24, :32]
    return peak * np.exp(-((y - 12) ** 2 + (x - 12.5) ** 2) / (2 * variance_px2))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("place", [(0, 0), (23, 31), (11, 31), (5, 5)])
def test_a_spike_and_its_afterglow_become_as_dark_as_what_is_above_and_below(kind, place):
    before, frame, after = noise(kind=kind)
    spoilt = frame.copy()
    row, columns = place[0], slice(place[1], place[1] + 4)
    spoilt[row, columns] = [3000, 500, 170, 135][: spoilt[row, columns].size]
    cleaned = without_spikes(spoilt, before, after, LOW, HIGH)
    assert cleaned.dtype == kind
    changed = np.zeros(frame.shape, bool)
    changed[row, columns] = True
    np.testing.assert_array_equal(cleaned[~changed], frame[~changed])
    padded = np.pad(frame, ((2, 2), (0, 0)), mode="reflect")
    around = np.median(padded[[row, row + 1, row + 3, row + 4], columns], axis=0)
    np.testing.assert_allclose(cleaned[row, columns], around, atol=1)


def test_spikes_beside_one_another_do_not_keep_each_other():
    before, frame, after = noise()
    spoilt = frame.copy()
    spoilt[8, 20], spoilt[9, 20], before[9, 20] = 3000, 2500, 4000
    assert without_spikes(spoilt, before, after, LOW, HIGH).max() <= frame.max()


def test_nothing_is_copied_where_there_is_none():
    before, frame, after = noise()
    assert without_spikes(frame, before, after, LOW, HIGH) is frame
    assert without_spikes(frame, before, after, 7, 7) is frame


@pytest.mark.parametrize("variance_px2", [1.0, 2.6, 7.0])
def test_an_atom_that_is_there_for_a_moment_is_no_spike(variance_px2):
    """Far brighter than the brightest thousandth, as where hardly an atom is in a frame."""
    before, frame, after = noise(kind=np.float32)
    frame = frame + atom(variance_px2)
    assert frame.max() > LIMIT
    assert without_spikes(frame, before, after, LOW, HIGH) is frame


def test_an_atom_in_one_pixel_that_stays_is_no_spike():
    before, frame, after = noise(kind=np.float32)
    before[12, 12] = frame[13, 13] = after[14, 12] = 1000
    assert without_spikes(frame, before, after, LOW, HIGH) is frame


def test_nothing_but_spikes_is_taken_out_of_runs():
    runs = np.random.default_rng(0).gamma(0.3, 10, (2, 8, 64, 64)).astype(np.float32)
    assert take_out_spikes(runs) is runs
    spoilt = runs.copy()
    spoilt[0, [0, 3, 7], [0, 20, 63], [7, 30, 12]] = 5000
    cleaned = take_out_spikes(spoilt)
    assert cleaned.max() <= runs.max()
    assert (cleaned != runs).sum() < 10, "a pixel after a spike may be taken for its afterglow"


@pytest.mark.parametrize("frames", [2, 3])
def test_a_short_movie_has_spikes_too(frames):
    runs = np.random.default_rng(0).normal(100, 10, (1, frames, 64, 64)).astype(np.float32)
    spoilt = runs.copy()
    spoilt[0, [0, -1], [0, -1], [7, 30]] = 5000
    assert take_out_spikes(spoilt).max() == runs.max()


def test_many_spikes_do_not_hide_others():
    """Where they are a thousandth of all pixels, nothing is far brighter than all but a thousandth."""
    runs = np.random.default_rng(0).normal(100, 10, (1, 16, 64, 64)).astype(np.float32)
    spoilt = runs.copy()
    for t in range(16):
        spoilt[0, t, 10:60:10, 4 * t] = 300, 400, 500, 20_000, 30_000
    assert np.quantile(spoilt, 0.999) > 250
    assert take_out_spikes(spoilt).max() <= runs.max()


def test_a_network_sees_no_spikes_nor_do_neighbours_spread_them():
    frames = noise(9, np.float32)
    spoilt = frames.copy()
    spoilt[[0, 4, 8], [3, 8, 20], [30, 2, 7]] = 4000
    windows = FrameWindows(Movie(spoilt), NetworkSettings(frames_in=5), LOW, HIGH)
    seen = [windows(index) for index in range(9)]
    assert max(frame.max() for window in seen for frame in window) == frames.max()
    assert (seen[0][2] != frames[0]).sum() < 4
    np.testing.assert_array_equal(seen[2][2], frames[2])
    assert seen[3][3] is seen[4][2], "sent to a GPU once"
    assert seen[3][2] is seen[4][1]


def test_a_bad_neighbour_does_not_keep_a_spike():
    frames = noise(5, np.float32)
    frames[1] = np.nan
    frames[0, 3, 3] = frames[2, 9, 9] = 4000
    windows = FrameWindows(Movie(frames), NetworkSettings(frames_in=1), LOW, HIGH)
    assert max(windows(index)[0].max() for index in (0, 2)) < LIMIT


def test_spikes_are_counted_and_change_nothing_else_that_a_movie_tells():
    movie = simulate_movie(MovieSettings(frames=32, seed=3)).noisy
    spoilt = np.array(movie.data)
    rng = np.random.default_rng(1)
    spoilt[np.arange(32).repeat(3), *rng.integers(0, 128, (2, 96))] = 60_000
    whole, found = estimate(movie), estimate(Movie(spoilt))
    assert whole.spikes_per_frame == 0
    assert found.spikes_per_frame == pytest.approx(3, abs=0.05)
    assert found.offset_counts == pytest.approx(whole.offset_counts, abs=0.05 * whole.gain_counts)
    for name in ("gain_counts", "afterglow", "spot_variance_px2", "atom_peak_e", "atoms_per_frame"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=0.03), name
