import numpy as np
import pytest
import torch

from napari_noise2atom.movie import Movie
from napari_noise2atom.normalisation import Normalisation, measure_normalisation


def test_normalisation_holds_nearly_all_pixels() -> None:
    grey = np.random.default_rng(0).normal(100, 10, (10, 64, 64))
    normal = measure_normalisation(Movie(grey)).apply(grey)
    assert 0.01 < np.mean(np.abs(normal) > 1) < 0.02


def test_normalisation_skips_bad_frames() -> None:
    grey = np.random.default_rng(0).normal(100, 10, (10, 64, 64))
    spoilt = grey.copy()
    spoilt[3] = np.inf
    assert measure_normalisation(Movie(spoilt)).high == pytest.approx(measure_normalisation(Movie(grey)).high, rel=0.01)


def test_normalisation_is_that_of_the_frames_where_the_beam_was_on() -> None:
    data = np.zeros((500, 8, 9))
    data[205:207] = grey = np.random.default_rng(0).normal(100, 10, (2, 8, 9))
    assert measure_normalisation(Movie(data)) == measure_normalisation(Movie(grey))


def test_a_movie_with_hardly_an_electron_is_not_blown_up() -> None:
    data = np.zeros((6, 64, 64), np.uint16)
    data[:, 10, 20] = 5
    assert measure_normalisation(Movie(data)) == Normalisation(0, 5)


def test_normalisation_is_affine_and_does_not_clip() -> None:
    normalisation = Normalisation(100, 300)
    grey = np.array([0, 100, 200, 300, 400], np.uint16)
    result = normalisation.apply(grey)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [-2, -1, 0, 1, 2], atol=1e-6)


def test_tensors_are_normalised_where_they_are() -> None:
    normalisation, grey = Normalisation(-3, 250.5), np.linspace(-10, 300, 1001, dtype=np.float32)
    tensor = torch.from_numpy(grey.copy())
    assert normalisation.overwrite(tensor) is tensor
    np.testing.assert_array_equal(tensor.numpy(), normalisation.apply(grey))


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_impossible_normalisation(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low below high"):
        Normalisation(low, high)
