import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noise2atom.simulate.background import film, wedge


@settings(max_examples=50, deadline=None)
@given(st.floats(-2, 2), st.floats(-7, 7))
def test_a_wedge_has_mean_one_its_gradient_and_no_negative_pixel(gradient, angle):
    plane = wedge((33, 47), gradient, angle)
    assert plane.shape == (33, 47)
    assert plane.mean() == pytest.approx(1, abs=1e-5)
    assert plane.min() >= 0
    assert np.ptp(plane) == pytest.approx(abs(gradient), abs=1e-5)


def test_a_wedge_rises_along_its_angle():
    along_x, along_y = wedge((16, 16), 0.5), wedge((16, 16), 0.5, np.pi / 2)
    np.testing.assert_allclose(along_x[:, -1] - along_x[:, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(along_y, along_x.T, atol=1e-6)


@pytest.mark.parametrize("texture", [0, 0.05, 0.2])
def test_a_film_has_mean_one_and_its_texture(texture):
    speckle = film((128, 128), texture, np.random.default_rng(0))
    assert speckle.dtype == np.float32
    assert speckle.mean() == pytest.approx(1, abs=0.02)
    assert speckle.std() == pytest.approx(texture, rel=0.01)


def test_a_rough_film_is_never_negative():
    assert film((128, 128), 1, np.random.default_rng(0)).min() == 0


def test_grains_are_larger_than_a_pixel():
    speckle = film((128, 128), 0.1, np.random.default_rng(1)) - 1
    assert (speckle[1:] * speckle[:-1]).mean() > 0.7 * speckle.var()
