import numpy as np
import pytest

from napari_noise2atom.baselines.anscombe import anscombe, unbiased_inverse
from napari_noise2atom.baselines.poissongaussian import PoissonGaussian
from napari_noise2atom.settings import DetectorSettings, MovieSettings
from napari_noise2atom.simulate.noisy import simulate_movie

READ_VARIANCE = 0.25


def stabilised(mean, read_variance=READ_VARIANCE):
    rng = np.random.default_rng(0)
    counts = rng.poisson(mean, 200_000) + np.sqrt(read_variance) * rng.standard_normal(200_000)
    return anscombe(counts.astype(np.float32), read_variance)


@pytest.mark.parametrize("mean", [4, 10, 50])
def test_noise_is_of_one_size(mean):
    assert stabilised(mean).std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("read_variance", [0.0, 0.25, 4.0])
@pytest.mark.parametrize("mean", [1, 3, 10, 50])
def test_inverse_is_unbiased(mean, read_variance):
    expected = stabilised(mean, read_variance).mean(keepdims=True)
    assert unbiased_inverse(expected, read_variance)[0] == pytest.approx(mean, rel=0.04)


@pytest.mark.parametrize(("read_variance", "tolerance"), [(0.0, 1e-6), (0.25, 0.1)])
def test_nothing_becomes_nothing(read_variance, tolerance):
    nothing = anscombe(np.array([0.0, -3.0], np.float32), read_variance)
    np.testing.assert_allclose(unbiased_inverse(nothing, read_variance), 0, atol=tolerance)


def test_grey_values_survive_the_normalisation():
    noise = PoissonGaussian(42, 180, 14)
    grey = np.array([0, 180, 4000], np.float32)
    np.testing.assert_allclose(noise.restore(noise.normalise(grey)), grey, atol=1e-3)


def test_variance_of_a_movie_grows_as_measured():
    detector = DetectorSettings(afterglow=0.34, pulse_shape=1.8, gain_counts=300)
    movie = simulate_movie(MovieSettings(frames=32, size_px=96, detector=detector)).noisy
    noise = PoissonGaussian.of(movie)
    assert noise.gain_counts == pytest.approx(300 * (1 + 1 / 1.8) * (1 - 0.34) / (1 + 0.34), rel=0.15)
