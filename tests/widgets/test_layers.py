"""Layers that are made lie on the raw one; sparse frames are an array; frame numbers and the slider agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices
from napari.components import ViewerModel
from scripted import COLUMNS, FRAMES, ROWS, add_movie, frames_of

from napari_noise2atom.widgets.layers import SparseFrames, add_result, current_frame, results_of, show_frame

SHAPE = (5, 6, 7)
IMAGE = np.arange(12, dtype=np.float32).reshape(3, 4)


def sparse_and_dense(lead=()):
    """The same parts of frames in both kinds of array."""
    shape = (*lead, *SHAPE)
    sparse, dense = SparseFrames(shape), np.full(shape, np.nan, np.float32)
    for number, (frame, origin) in enumerate([(1, (0, 0)), (4, (2, 3)), (1, (3, 1))]):
        place = (*(length - 1 for length in lead), frame)
        sparse.put(place, IMAGE + number, origin)
        dense[place] = np.nan
        dense[place][origin[0] : origin[0] + 3, origin[1] : origin[1] + 4] = IMAGE + number
    return sparse, dense


@hypothesis_settings(max_examples=150, deadline=None)
@given(data=st.data(), lead=st.sampled_from([(), (2,)]))
def test_sparse_frames_are_indexed_like_an_array(data, lead):
    sparse, dense = sparse_and_dense(lead)
    key = data.draw(basic_indices(dense.shape, allow_newaxis=False))
    np.testing.assert_array_equal(sparse[key], dense[key])


@pytest.mark.parametrize("lead", [(), (2,)])
def test_sparse_frames_are_an_array_as_a_whole(lead):
    sparse, dense = sparse_and_dense(lead)
    assert (sparse.shape, sparse.ndim, sparse.size, sparse.dtype) == (dense.shape, dense.ndim, dense.size, dense.dtype)
    np.testing.assert_array_equal(np.asarray(sparse), dense)
    assert np.asarray(sparse, np.float64).dtype == np.float64
    np.testing.assert_array_equal(list(sparse), dense)
    for beyond in (len(dense), -len(dense) - 1):
        with pytest.raises(IndexError):
            sparse[beyond]


def test_one_frame_of_a_huge_movie_needs_memory_for_one():
    huge = SparseFrames((10**9, 4, 5))
    huge.put((7,), np.ones((4, 5), np.float32), (0, 0))
    assert huge[7:8, :, 1:3].shape == (1, 4, 2)
    assert (huge[7] == 1).all()


def test_a_result_lies_on_its_raw_layer(viewer, raw):
    made = add_result(viewer, raw, np.zeros(raw.data.shape, np.float32), "denoised", metadata={"recipe": {"seed": 1}})
    for name in ("scale", "translate"):
        np.testing.assert_array_equal(getattr(made, name), getattr(raw, name))
    assert made.units == raw.units
    assert made.axis_labels == raw.axis_labels
    assert made.name == "film denoised"
    origin = {"result": "denoised", "of": raw.metadata["noise2atom"]["id"], "recipe": {"seed": 1}}
    assert made.metadata == {"noise2atom": origin}
    np.testing.assert_array_equal(made.extent.world, raw.extent.world)


def test_a_result_with_an_axis_more_has_it_first(viewer, raw):
    made = add_result(viewer, raw, SparseFrames((3, *raw.data.shape)), "history", contrast_limits=(0, 1))
    np.testing.assert_array_equal(made.scale[1:], raw.scale)
    np.testing.assert_array_equal(made.translate, (0, *raw.translate))
    assert (made.axis_labels[0], str(made.units[0]), made.units[1:]) == ("history", "pixel", raw.units)


def test_adding_a_result_touches_nothing_of_the_user_s(viewer, raw):
    other = add_movie(viewer, name="other")
    points = viewer.add_points(np.zeros((1, 3)))
    viewer.layers.selection = {raw, points}
    viewer.dims.set_point(0, 5.04)
    viewer.scene.camera.zoom = 3.7
    before = (viewer.scene.camera.model_dump(), viewer.dims.point, viewer.dims.order)
    first = add_result(viewer, raw, np.zeros(raw.data.shape, np.float32), "denoised")
    second = add_result(viewer, raw, np.ones(raw.data.shape, np.float32), "denoised")
    assert viewer.layers.selection == {raw, points}
    assert list(viewer.layers) == [raw, other, points, first, second]
    assert first.name == "film denoised"
    assert second.name != first.name
    assert not np.asarray(first.data).any()
    assert (viewer.scene.camera.model_dump(), viewer.dims.point, viewer.dims.order) == before


def test_results_are_those_of_the_layer_however_it_is_called_and_other_movies_of_its_size(viewer, raw):
    same = add_result(viewer, raw, np.zeros(raw.data.shape, np.float32), "denoised")
    truth = add_movie(viewer, name="truth")
    viewer.add_image(np.zeros((FRAMES, ROWS, COLUMNS + 1)))
    viewer.add_image(np.zeros((ROWS, COLUMNS)))
    viewer.add_image(np.zeros((FRAMES, ROWS, COLUMNS, 3), np.uint8), rgb=True)
    viewer.add_image(np.zeros((2, FRAMES, ROWS, COLUMNS)))
    viewer.add_labels(np.zeros((FRAMES, ROWS, COLUMNS), int))
    of_truth = add_result(viewer, truth, np.zeros(raw.data.shape, np.float32), "denoised")
    raw.name, truth.name = truth.name, raw.name
    assert results_of(viewer, raw) == [same, truth]
    assert results_of(viewer, truth) == [raw, of_truth]


@pytest.mark.parametrize("dimensions", [3, 4])
@pytest.mark.parametrize("more", [{}, {"scale": (1, 1, 1), "translate": (0, 0, 0)}, {"scale": (0.002, 1, 1)}])
def test_the_slider_and_the_number_of_the_frame_agree(dimensions, more):
    viewer = ViewerModel()
    layer = add_movie(viewer, **more)
    if dimensions == 4:
        viewer.add_image(np.zeros((3, FRAMES, ROWS, COLUMNS)), scale=(1, *layer.scale), translate=(0, *layer.translate))
    for index in (0, 3, FRAMES - 1, 7):
        show_frame(viewer, layer, index)
        assert current_frame(viewer, layer) == index


def test_a_slider_beyond_the_movie_is_at_its_end(viewer, raw):
    add_movie(viewer, frames_of(shape=(4 * FRAMES, ROWS, COLUMNS)), name="longer")
    viewer.dims.set_current_step(0, 4 * FRAMES - 1)
    assert current_frame(viewer, raw) == FRAMES - 1


def test_a_movie_with_a_leading_axis_of_length_one_is_a_movie(viewer):
    """As other readers bring them: (channel, t, y, x)."""
    layer = viewer.add_image(frames_of()[np.newaxis], scale=(1, 0.01, 0.03, 0.03))
    show_frame(viewer, layer, 7)
    assert current_frame(viewer, layer) == 7
    made = add_result(viewer, layer, np.zeros((FRAMES, ROWS, COLUMNS), np.float32), "denoised")
    assert results_of(viewer, layer) == [made]
    np.testing.assert_array_equal(made.scale, layer.scale[1:])
    np.testing.assert_array_equal(made.extent.world, layer.extent.world[:, 1:])
