"""The noise test counts the atoms of a denoiser that is known: one that invents them, and one that does not."""

import numpy as np
import pytest

from napari_noise2atom.io import lazy_frames
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CleanSettings, Settings
from napari_noise2atom.trust import NULLS, NoiseTest, atom_threshold, noise_test
from napari_noise2atom.trust.noisetest import spread_frames


def inventor(movie):
    """Draws three atoms into every frame, whatever it holds."""
    frame = np.zeros(movie.shape[1:], np.float32)
    frame[[10, 20, 40], [10, 30, 50]] = 1
    return movie.with_data(lazy_frames(lambda index: frame, movie.shape, np.float32, "inventor"))


def test_an_inventor_is_found_out(simulated, settings):
    result = noise_test(simulated.noisy, inventor, settings)
    assert result.real.tolist() == [3] * 8
    for kind in NULLS:
        assert result.nulls[kind].tolist() == [3] * 8
        assert result.false_discovery_rate(kind) == 1
    assert "3.0 atoms a frame" in result.sentence
    assert "3 in the noise model" in result.sentence
    assert "100.0% by the noise model" in result.sentence


def test_an_honest_denoiser_sees_atoms_where_they_are(simulated, settings, smooth):
    told = []
    # a crude denoiser leaves high noise
    result = noise_test(simulated.noisy, smooth, settings, threshold=0.2, progress=lambda *n: told.append(n))
    assert result.real.mean() > 3
    assert result.false_discovery_rate("noise model") < 0.1
    assert told == [(number, 32) for number in range(1, 33)]


def test_rates_are_ratios_of_sums():
    counts = np.array([4, 6])
    nulls = {"pixel shuffle": np.array([1, 0]), "phase shuffle": np.array([20, 0]), "noise model": np.array([0, 0])}
    result = NoiseTest(0.125, np.arange(2), counts, nulls)
    assert [result.false_discovery_rate(kind) for kind in NULLS] == [0.1, 1, 0]
    empty = NoiseTest(0.125, np.arange(2), 0 * counts, nulls)
    assert np.isnan(empty.false_discovery_rate("noise model"))
    assert "False discovery rate: none, as the movie has no atoms" in empty.sentence
    assert "nan" not in empty.sentence


def test_the_threshold_is_half_a_single_atom():
    assert atom_threshold(Settings()) == 0.125
    assert atom_threshold(Settings(simulation=CleanSettings(atoms_per_position=1))) == 0.5


def test_a_threshold_may_be_given(simulated, settings):
    assert noise_test(simulated.noisy, inventor, settings, threshold=1.1).real.sum() == 0


def test_frames_are_spread_and_bad_ones_left_out():
    data = np.random.default_rng(0).poisson(5, (100, 8, 8)).astype(np.uint16)
    assert spread_frames(Movie(data), 10).tolist() == list(range(5, 100, 10))
    assert spread_frames(Movie(data), 500).tolist() == list(range(100))
    data[25] = 3
    assert spread_frames(Movie(data), 10).tolist() == [5, 15, *range(35, 100, 10)]
    with pytest.raises(ValueError, match="none of 2 frames carries an image"):
        spread_frames(Movie(np.zeros((2, 8, 8))), 12)
