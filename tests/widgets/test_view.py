"""Looking at raw and denoised in all ways, and back to the view that one had."""

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from scripted import COLUMNS, FRAMES, ROWS, TIMEOUT_S, add_movie, frames_of

from napari_noise2atom.trust.residual import frame_residual
from napari_noise2atom.widgets.layers import add_result, show_frame
from napari_noise2atom.widgets.view import Views

MS = 1000 * TIMEOUT_S


def denoised_data(seed=1):
    return np.random.default_rng(seed).random((FRAMES, ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture
def views(qtbot, viewer):
    return Views(viewer)


@pytest.fixture
def denoised(viewer, raw):
    return add_result(viewer, raw, denoised_data(), "denoised", contrast_limits=(0, 1))


@pytest.fixture
def arranged(viewer, raw, denoised):
    """A view that somebody has made."""
    other = viewer.add_points(np.zeros((1, 3)), name="marks")
    denoised.visible = False
    raw.gamma = 0.7
    denoised.gamma = 1.3
    other.name_overlay.visible = True
    viewer.scene.camera.zoom = 6.5
    viewer.scene.camera.center = (0, 1.3, 2.4)
    viewer.canvas.grid.stride = 2
    return other


def view_of(viewer):
    return {
        "layers": [(layer.visible, layer.name_overlay.visible, getattr(layer, "gamma", 1)) for layer in viewer.layers],
        "grid": viewer.canvas.grid.model_dump(),
        "camera": viewer.scene.camera.model_dump(include={"center", "zoom", "angles"}),
        "dims": viewer.dims.point,
    }


def difference_of(viewer):
    return [layer for layer in viewer.layers if layer.metadata.get("noise2atom", {}).get("result") == "difference"]


def test_side_by_side_is_the_grid_with_names_and_one_gamma(viewer, raw, denoised, arranged, views):
    truth = add_movie(viewer, name="truth")
    preview = add_result(viewer, raw, denoised_data(), "preview", contrast_limits=(0, 1))
    views.side_by_side(raw)
    grid = viewer.canvas.grid
    assert (grid.enabled, grid.stride, tuple(grid.shape)) == (True, 1, (1, 3))
    assert [layer.visible for layer in (raw, denoised, truth)] == [True] * 3
    assert [layer.name_overlay.visible for layer in (raw, denoised, truth)] == [True] * 3
    assert not preview.visible
    assert not arranged.visible
    assert raw.gamma == denoised.gamma == truth.gamma == 0.7
    denoised.gamma = 2
    assert raw.gamma == 2
    assert views.active
    assert views.side_by_side_active


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("look", ["side_by_side", "flip", "both"])
def test_everything_comes_back(viewer, raw, arranged, views, look, times):
    before = view_of(viewer)
    for _ in range(times):
        for name in ("side_by_side", "flip") if look == "both" else (look,):
            getattr(views, name)(raw)
    assert view_of(viewer) != before
    views.restore()
    assert view_of(viewer) == before
    assert not views.active
    raw.gamma = 0.4
    assert viewer.layers["film denoised"].gamma == 1.3, "gammas are no longer one"


@pytest.mark.parametrize("look", ["side_by_side", "flip"])
@pytest.mark.parametrize("removed", ["film", "film denoised", "marks"])
def test_it_comes_back_for_the_layers_that_are_left(viewer, raw, arranged, views, look, removed):
    before = view_of(viewer)
    index = viewer.layers.index(removed)
    getattr(views, look)(raw)
    viewer.layers.remove(removed)
    late = viewer.add_image(np.zeros((4, 4)))
    views.restore()
    viewer.layers.remove(late)
    after = view_of(viewer)
    assert after["layers"] == [layer for number, layer in enumerate(before["layers"]) if number != index]
    assert (after["grid"], after["camera"]) == (before["grid"], before["camera"])


def test_nothing_is_left_to_come_back_when_all_layers_are_gone(viewer, raw, denoised, views):
    views.side_by_side(raw)
    viewer.layers.clear()
    views.restore()
    assert not views.active
    assert not views.side_by_side_active
    assert not viewer.canvas.grid.enabled
    views.restore()


def test_flip_shows_one_and_then_the_other(viewer, raw, denoised, arranged, views):
    shown = []
    for _ in range(4):
        views.flip(raw)
        shown.append([layer for layer in viewer.layers if layer.visible])
        assert shown[-1][0].name_overlay.visible
    assert shown == [[raw], [denoised], [raw], [denoised]]
    assert not views.side_by_side_active


def test_flip_takes_the_denoised_layer_and_not_a_truth_above_it(viewer, raw, denoised, views):
    add_movie(viewer, denoised_data(3), name="truth")
    shown = set()
    for _ in range(2):
        views.flip(raw)
        shown |= {layer for layer in viewer.layers if layer.visible}
    assert shown == {raw, denoised}


def test_results_of_another_movie_of_the_same_size_are_left_out(viewer, raw, denoised, views):
    other = add_movie(viewer, frames_of(5), name="other")
    of_other = add_result(viewer, other, denoised_data(3), "denoised", contrast_limits=(0, 1))
    difference = np.asarray(views.difference(raw).data[4])
    expected = frame_residual(raw.data[4].astype(np.float32), denoised.data[4])
    np.testing.assert_allclose(difference, expected, atol=1e-4)
    seen = []
    for _ in range(2):
        views.flip(raw)
        seen += [layer for layer in viewer.layers if layer.visible]
    assert seen == [raw, denoised]
    views.side_by_side(raw)
    assert not of_other.visible


def test_flip_after_the_result_was_removed_leaves_something_to_see(viewer, raw, denoised, views):
    views.flip(raw)
    viewer.layers.remove(denoised)
    views.flip(raw)
    assert raw.visible
    second = add_result(viewer, raw, denoised_data(2), "denoised", contrast_limits=(0, 1))
    seen = set()
    for _ in range(2):
        views.flip(raw)
        seen |= {layer for layer in viewer.layers if layer.visible}
    assert seen == {raw, second}


def test_without_a_result_nothing_changes(viewer, raw, views):
    before = view_of(viewer)
    views.side_by_side(raw)
    views.flip(raw)
    assert views.difference(raw) is None
    assert view_of(viewer) == before
    assert not views.active


def test_the_difference_is_the_residual_of_each_frame(qtbot, viewer, raw, denoised, views):
    layer = views.difference(raw)
    values = np.asarray(layer.data)
    for index in (0, 5, FRAMES - 1):
        noisy, clean = raw.data[index].astype(float), denoised.data[index].astype(float)
        slope, offset = np.polyfit(clean.ravel(), noisy.ravel(), 1)
        np.testing.assert_allclose(values[index], noisy - slope * clean - offset, atol=2e-4)
    np.testing.assert_array_equal(layer.scale, raw.scale)
    low, high = layer.contrast_limits
    assert low == -high


def test_the_difference_is_shown_when_it_is_ready(qtbot, viewer, raw, denoised, views):
    layer = views.difference(raw)
    show_frame(viewer, raw, 8)
    expected = frame_residual(raw.data[8].astype(np.float32), denoised.data[8])
    qtbot.waitUntil(lambda: np.allclose(layer._slice.image.raw, expected, atol=1e-4), timeout=MS)
    viewer.layers.remove(layer)


def test_the_difference_outlives_the_views_and_lets_go_when_removed(qtbot, viewer, raw, denoised):
    listening = len(viewer.layers.events.removed.callbacks)
    views = Views(viewer)
    layer = views.difference(raw)
    views.deleteLater()
    del views
    qtbot.wait(1)
    show_frame(viewer, raw, 3)
    qtbot.waitUntil(lambda: np.asarray(layer._slice.image.raw).any(), timeout=MS)
    viewer.layers.remove(layer)
    assert len(viewer.layers.events.removed.callbacks) == listening
    assert not difference_of(viewer)


def test_a_difference_of_a_bad_frame_is_no_error(qtbot, viewer, views):
    data = frames_of().astype(np.float32)
    data[0] = np.nan
    layer = add_movie(viewer, data)
    add_result(viewer, layer, denoised_data(), "denoised", contrast_limits=(0, 1))
    show_frame(viewer, layer, 0)
    made = views.difference(layer)
    assert np.isfinite(made.contrast_limits).all()
    assert np.isnan(np.asarray(made.data)[0]).all()
    assert np.isfinite(np.asarray(made.data)[1]).all()
    assert not any(notification.severity.value == "error" for notification in notification_manager.records)
