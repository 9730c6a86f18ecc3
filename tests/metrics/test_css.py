import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_noise2atom.metrics import css, css_per_pair
from napari_noise2atom.metrics.css import CssTally
from napari_noise2atom.movie import Movie

unit_images = arrays(np.float64, (2, 5, 4), elements=st.floats(0, 1, width=32))


def test_equation_10_by_hand():
    a = np.array([[0.0, 1.0], [0.0, 1.0]])
    b = np.array([[0.0, 0.5], [0.5, 1.0]])
    # Means 1/2 and 1/2; variances 1/4 and 1/8; covariance (1/4 + 0 + 0 + 1/4) / 4 = 1/8.
    assert css(a, b) == pytest.approx((2 * 0.125 + 9e-4) / (0.25 + 0.125 + 9e-4), rel=1e-12)


def test_brightness_term_by_hand():
    a, b = np.full((3, 3), 0.2), np.full((3, 3), 0.6)
    assert css(a, b) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rel=1e-12)


def test_blank_images_score_one():
    assert css(np.zeros((8, 8)), np.zeros((8, 8))) == 1


@given(unit_images)
def test_symmetric_at_most_one_and_one_for_itself(images):
    a, b = images
    assert css(a, b) == pytest.approx(css(b, a), abs=1e-12)
    assert css(a, b) <= 1 + 1e-12
    assert css(a, a) == pytest.approx(1)


def test_inverted_image_scores_below_zero():
    image = np.random.default_rng(0).random((32, 32))
    assert css(image, 1 - image) < -0.9


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        css(np.zeros((3, 4)), np.zeros((4, 3)))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_movie_is_scaled_by_its_own_range(dtype):
    data = np.random.default_rng(1).integers(10_000, 10_400, (5, 16, 16)).astype(dtype)
    unit = (data - 10_000.0) / np.ptp(data.astype(float)) - (data.min() - 10_000.0) / np.ptp(data.astype(float))
    expected = [css(unit[i], unit[i + 1]) for i in range(4)]
    np.testing.assert_allclose(css_per_pair(Movie(da.from_array(data, chunks=(1, -1, -1)))), expected, rtol=1e-10)


def test_bad_frames_are_nan_and_leave_the_range_alone():
    data = np.random.default_rng(2).random((6, 8, 8))
    spoilt = data.copy()
    spoilt[2] = 1e9
    spoilt[5, 0, 0] = np.nan
    pairs = css_per_pair(Movie(spoilt))
    assert np.isnan(pairs).tolist() == [False, True, True, False, True]
    good = css_per_pair(Movie(data[[0, 1, 3, 4]]))
    np.testing.assert_allclose(pairs[[0, 3]], good[[0, 2]])


def test_per_frame_is_the_mean_over_known_neighbours():
    data = np.random.default_rng(4).random((5, 8, 8))
    data[3] = 0
    tally = CssTally(len(data))
    for frame in data:
        tally.add(frame)
    first, second, *_ = tally.per_pair()
    np.testing.assert_allclose(tally.per_frame(), [first, (first + second) / 2, second, np.nan, np.nan])
    assert np.isnan(tally.means()).tolist() == [False, False, False, True, False]


def test_a_movie_without_any_good_frame_is_all_nan():
    assert np.isnan(css_per_pair(Movie(np.zeros((3, 8, 8))))).all()
