import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noise2atom.simulate.spots import render_spots

spot = st.tuples(
    st.floats(-10, 30, width=32),
    st.floats(-10, 30, width=32),
    st.floats(0, 4, width=32),
    st.floats(0.5, 25, width=32),
)


def spots_by_loops(spots, size, reach):
    image = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            for row, column, weight, variance in spots:
                # in single precision, as what is tested: a spot may be cut off where two pixels are as near
                if abs(np.float32(y) - np.float32(row)) <= reach and abs(np.float32(x) - np.float32(column)) <= reach:
                    image[y, x] += weight * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * variance))
    return image


@settings(max_examples=30, deadline=None)
@given(st.lists(spot, min_size=1, max_size=4), st.sampled_from([np.inf, 4.0, 7.5]))
def test_equals_a_loop_over_pixels_and_spots(spots, reach):
    size = (14, 19)
    image = render_spots(*np.array(spots).T, size, reach)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, spots_by_loops(spots, size, reach), atol=2e-5)


def test_many_images_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(0)
    y, x, weight = rng.uniform(0, 16, (3, 5, 4))
    variance = rng.uniform(1, 5, (5, 1))
    together = render_spots(y, x, weight, variance, (16, 16))
    alone = [render_spots(y[i], x[i], weight[i], variance[i], (16, 16)) for i in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_peak_and_sum_of_a_spot():
    image = render_spots([20], [20], [3], 4, (41, 41))
    assert image[20, 20] == pytest.approx(3)
    assert image.sum() == pytest.approx(3 * 2 * np.pi * 4, rel=1e-5)


def test_no_spots_give_an_empty_image():
    assert not render_spots([], [], [], 4, (8, 8)).any()
