import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.feature import peak_local_max

from napari_noise2atom.metrics import find_atoms, match_atoms
from napari_noise2atom.metrics.atoms import inside

points = arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats(0, 12, width=32))


def test_maxima_agree_with_scikit_image():
    frame = np.random.default_rng(0).random((40, 50))
    expected = peak_local_max(frame, footprint=np.ones((5, 5)), exclude_border=False)
    found = find_atoms(frame)
    np.testing.assert_array_equal(np.rint(found[:, :2] - 1e-9), expected)
    assert (np.diff(found[:, 2]) <= 0).all()


def test_subpixel_positions():
    y, x = np.mgrid[:21, :21]
    frame = np.exp(-((y - 10.3) ** 2 + (x - 8.8) ** 2) / 8)
    np.testing.assert_allclose(find_atoms(frame, threshold=0.5)[0, :2], (10.3, 8.8), atol=0.02)


def test_threshold_is_inclusive():
    frame = np.zeros((20, 20), np.uint16)
    frame[5, 5], frame[5, 15], frame[15, 5] = 7, 8, 9
    assert find_atoms(frame, threshold=8)[:, 2].tolist() == [9, 8]


def test_of_equal_neighbours_one_is_kept_and_flat_frames_hold_none():
    frame = np.zeros((12, 12), np.uint16)
    frame[5, 5] = frame[5, 6] = 3
    assert len(find_atoms(frame)) == 1
    assert find_atoms(np.full((12, 12), 3.0)).shape == (0, 3)


def test_maxima_at_the_edge_are_not_moved_across_it():
    frame = np.zeros((9, 9))
    frame[0, 0], frame[0, 1] = 2, 1
    assert find_atoms(frame)[0].tolist() == [0, 0, 2]


def test_a_stack_is_not_a_frame():
    with pytest.raises(ValueError, match="axes"):
        find_atoms(np.zeros((2, 8, 8)))


def test_inside_leaves_out_absent_and_outlying_atoms():
    positions = [(0, 0), (-0.6, 3), (7.4, 9.4), (3, 9.6), (np.nan, np.nan)]
    assert inside(np.array(positions), (8, 10)).tolist() == [[0, 0], [7.4, 9.4]]


@settings(deadline=None)
@given(points, points, st.floats(0.5, 8))
def test_matching_is_one_to_one_largest_and_then_closest(found, truth, radius):
    pairs = match_atoms(found, truth, radius)
    distances = cdist(found, truth)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert (distances[pairs[:, 0], pairs[:, 1]] <= radius).all()
    # One assignment problem for both aims: a distance beyond the radius costs more than all others together.
    cost = np.where(distances <= radius, distances, 1e4)
    best = cost[linear_sum_assignment(cost)]
    assert len(pairs) == (best < 1e4).sum()
    assert distances[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(best[best < 1e4].sum())


@pytest.mark.parametrize("radius", [0.5, 2.5, 4.0])
def test_the_pairs_are_those_of_one_table_of_all_distances(radius):
    rng = np.random.default_rng(2)
    found, truth = rng.uniform(0, 60, (300, 3)), rng.uniform(0, 60, (250, 2))
    distances = cdist(found[:, :2], truth)
    rows, columns = linear_sum_assignment(np.where(distances <= radius, distances, 1e4))
    near = distances[rows, columns] <= radius
    np.testing.assert_array_equal(match_atoms(found, truth, radius), np.stack([rows, columns], axis=1)[near])


def test_thousands_of_atoms_take_little_memory():
    rng = np.random.default_rng(0)
    truth = 8.0 * np.argwhere(np.ones((90, 90)))
    found = truth + rng.normal(0, 0.5, truth.shape)
    tracemalloc.start()
    pairs = match_atoms(found, truth)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert len(pairs) > 0.99 * len(truth)
    assert peak < 50e6, "a table of all distances has 500 MB"


def test_atoms_at_the_very_same_place_are_pairs():
    places = np.array([[1.0, 2], [3, 4]])
    assert match_atoms(places, places).tolist() == [[0, 0], [1, 1]]


def test_more_pairs_beat_closer_ones():
    found, truth = np.array([[0.0, 0], [0, 2]]), np.array([[0.0, 1.9], [0, 4]])
    assert sorted(match_atoms(found, truth, 2.1).tolist()) == [[0, 0], [1, 1]]


def test_the_radius_must_be_positive():
    with pytest.raises(ValueError, match="radius"):
        match_atoms(np.zeros((1, 2)), np.zeros((1, 2)), 0)
