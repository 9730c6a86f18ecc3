import numpy as np
import pytest

from napari_noise2atom.estimate import estimate, propose
from napari_noise2atom.estimate.levels import FLICKERING, level_frames, level_lines, measure_flicker
from napari_noise2atom.estimate.sample import sample_runs
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import preset


@pytest.fixture(scope="module")
def movie(simulated) -> Movie:
    return simulated(pulse_shape=8, walk_px=0.4, atom_peak_e=1.0, background_e=0.1, spot_variance_px2=2.6).noisy


def noise_of_lines(movie: Movie, share: float) -> np.ndarray:
    """Return noise, shape (t, y, 1), so many times as strong as that of a pixel."""
    frames = np.asarray(movie.data, np.float32)
    pixel = np.diff(frames, axis=0).std() / np.sqrt(2)
    return share * pixel * np.random.default_rng(0).standard_normal((*frames.shape[:2], 1))


@pytest.mark.parametrize(
    "conditions",
    [{}, {"afterglow": 0.8}, {"walk_px": 3.0}, {"atom_peak_e": 10}, {"clusters": 12, "cluster_atoms": 20}],
    ids=str,
)
def test_what_does_not_flicker_stays_as_it_is(simulated, conditions):
    runs = sample_runs(simulated(**conditions).noisy)
    assert level_lines(runs) is runs
    assert level_frames(runs) is runs
    assert measure_flicker(runs) < FLICKERING / 5


@pytest.mark.parametrize("width", [5, 16, 64])
def test_few_pixels_have_no_noise_of_lines(width):
    rng = np.random.default_rng(width)
    trials = [rng.normal(size=(1, 2, 32, width)).astype(np.float32) for _ in range(50)]
    assert all(level_lines(runs) is runs for runs in trials)


def test_lines_are_level_and_nothing_else_changes(movie):
    runs = sample_runs(movie)
    offset = 300 * np.random.default_rng(0).standard_normal((*runs.shape[:3], 1)).astype(np.float32)
    change = level_lines(runs + offset) - runs
    assert np.ptp(change, axis=3).max() < 0.01 * runs.std()
    np.testing.assert_allclose(change.mean(axis=(0, 1, 3)), offset.mean(axis=(0, 1, 3)), atol=0.05 * offset.std())
    assert change.std() < 0.2 * offset.std()


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_noise_of_lines_spoils_no_estimate(movie, share):
    """Not levelled, 0.3 of it gave an afterglow of 0.74 where it is 0.34, and twice the gain."""
    without = estimate(movie)
    noisy = np.asarray(movie.data, np.float32) + noise_of_lines(movie, share)
    found = estimate(Movie(np.rint(noisy).astype(np.int32)))
    assert found.afterglow == pytest.approx(without.afterglow, abs=0.07)
    assert found.spot_variance_px2 == pytest.approx(without.spot_variance_px2, rel=0.1)
    assert found.atom_peak_e == pytest.approx(without.atom_peak_e, rel=0.15)
    assert found.gain_counts == pytest.approx(without.gain_counts, rel=0.15)


def test_a_particle_is_not_taken_for_noise_of_lines(simulated):
    """Rows of atoms along x, some of which move from frame to frame."""
    movie = simulated(clusters=1, cluster_atoms=45, atom_peak_e=1.2, background_e=0.1, spot_variance_px2=2.6).noisy
    runs = sample_runs(movie)
    assert level_lines(runs) is runs


@pytest.mark.parametrize("share", [0.05, 0.3, 2.0])
def test_flicker_is_measured_relative_to_the_noise_of_a_pixel(share):
    rng = np.random.default_rng(0)
    runs = rng.normal(0, 7, (4, 64, 32, 32)) + 7 * share * rng.normal(size=(4, 64, 1, 1))
    assert measure_flicker(runs.astype(np.float32)) == pytest.approx(share, rel=0.12)


def test_a_movie_that_flickers_tells_the_same_and_is_levelled(movie):
    """Not levelled, the spots of such a movie had three times their variance, and electrons a quarter of their gain."""
    without = estimate(movie)
    rng = np.random.default_rng(0)
    frames = np.asarray(movie.data) + without.gain_counts / 2 * rng.standard_normal((len(movie), 1, 1))
    settings, found = propose(Movie(np.rint(frames).astype(np.int32)), preset("compact"))
    for name in ("gain_counts", "spot_variance_px2", "atom_peak_e", "afterglow"):
        assert getattr(found, name) == pytest.approx(getattr(without, name), rel=0.12), name
    assert settings.network.levelled
    assert not propose(movie, preset("compact"))[0].network.levelled
    assert not propose(Movie(np.rint(frames).astype(np.int32)), preset("paper"))[0].network.levelled
