import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter1d

from napari_noise2atom.baselines import filters
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

SETTINGS = CompareSettings(filter_px=1.5, filter_frames=1.6)


@pytest.fixture(params=["numpy", "dask"])
def movie(request):
    data = np.random.default_rng(0).poisson(5, (9, 12, 17)).astype(np.uint16)
    return Movie(data if request.param == "numpy" else da.from_array(data, chunks=(2, 12, 17)))


def filtered(method, movie, settings=SETTINGS):
    shares = []
    result = method(movie, settings, shares.append)
    assert result.dtype == np.float32
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return result


def test_gaussians_are_those_of_scipy(movie):
    frames = np.asarray(movie.data, np.float32)
    np.testing.assert_allclose(
        filtered(filters.gaussian_3d, movie), gaussian_filter(frames, (1.6, 1.5, 1.5)), rtol=1e-4
    )
    np.testing.assert_allclose(filtered(filters.gaussian_2d, movie), gaussian_filter(frames, (0, 1.5, 1.5)), rtol=1e-4)


def test_temporal_mean_is_that_of_scipy_inside_and_of_fewer_frames_at_the_ends(movie):
    frames = np.asarray(movie.data, np.float64)
    mean = filtered(filters.temporal_mean, movie)  # two frames on each side
    np.testing.assert_allclose(mean[2:-2], uniform_filter1d(frames, 5, axis=0)[2:-2], rtol=1e-5)
    np.testing.assert_allclose(mean[0], frames[:3].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(mean[-2], frames[-4:].mean(axis=0), rtol=1e-5)


def test_temporal_mean_of_a_window_longer_than_the_movie_is_the_mean(movie):
    mean = filtered(filters.temporal_mean, movie, CompareSettings(filter_frames=30))
    np.testing.assert_allclose(mean, np.broadcast_to(np.asarray(movie.data).mean(axis=0), movie.shape), rtol=1e-5)


def test_median_is_that_of_scipy(movie):
    expected = median_filter(np.asarray(movie.data, np.float32), 3, mode="nearest")
    np.testing.assert_array_equal(filtered(filters.median, movie), expected)


@pytest.mark.parametrize("name", ["raw", "gaussian_2d", "gaussian_3d", "temporal_mean", "median"])
def test_the_movie_stays_as_it_is(name):
    """A layer's own float32 array gets here without a copy."""
    data = np.random.default_rng(0).random((9, 12, 17)).astype(np.float32)
    before = data.copy()
    result = filtered(getattr(filters, name), Movie(data))
    result[:] = 0
    np.testing.assert_array_equal(data, before)


def test_raw_is_the_movie(movie):
    np.testing.assert_array_equal(filtered(filters.raw, movie), np.asarray(movie.data))
