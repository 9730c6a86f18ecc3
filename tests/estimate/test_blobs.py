import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter

from napari_noise2atom.estimate.blobs import Blobs, maxima


@pytest.mark.parametrize("scale_px2", [0.5, 2.6, 9.0, 22.6])
def test_maxima_are_those_of_a_maximum_filter(scale_px2):
    response = Blobs(np.random.default_rng(0).normal(size=(3, 96, 80)).astype(np.float32)).response(scale_px2)
    index, height = maxima(response, scale_px2, 0.2 * response.std())
    sigma = np.sqrt(scale_px2)
    side, margin = max(3, 2 * round(sigma) + 1), int(np.ceil(3 * sigma)) + 1
    expected = (response == maximum_filter(response, (1, side, side))) & (response > 0.2 * response.std())
    expected[:, :margin] = expected[:, -margin:] = expected[:, :, :margin] = expected[:, :, -margin:] = False
    assert set(map(tuple, index)) == set(map(tuple, np.argwhere(expected)))
    assert len(index) > 10
    assert (np.diff(height) <= 0).all()
    np.testing.assert_array_equal(height, response[tuple(index.T)])


def test_the_best_scale_of_a_spot_is_its_own():
    spot = np.zeros((1, 64, 64), np.float32)
    spot[0, 30, 33] = 1
    blobs = Blobs(gaussian_filter(spot, (0, 2, 2)))
    heights = {}
    for scale_px2 in (1.0, 2.0, 4.0, 8.0, 16.0):
        index, height = maxima(blobs.response(scale_px2), scale_px2, 1e-4)
        np.testing.assert_array_equal(index[0], (0, 30, 33))
        heights[scale_px2] = height[0]
    assert max(heights, key=heights.__getitem__) == 4.0


@pytest.mark.parametrize("side", [1, 3, 8, 20])
def test_frames_smaller_than_a_window_have_no_maxima(side):
    index, height = maxima(np.ones((2, side, side), np.float32), 22.6, 0.0)
    assert index.shape == (0, 3)
    assert height.shape == (0,)
