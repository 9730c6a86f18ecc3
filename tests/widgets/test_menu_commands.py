"""What the manifest calls: models are opened like files, and the menu's commands act on the dock."""

import numpy as np
import pytest
import torch
from napari.utils.notifications import notification_manager
from scripted import COLUMNS, FRAMES, ROWS, TIMEOUT_S, add_movie

from napari_noise2atom.modelfile import Normalisation, TrainedModel, save_model
from napari_noise2atom.networks import build_s2c
from napari_noise2atom.settings import NetworkSettings, preset
from napari_noise2atom.widgets import commands
from napari_noise2atom.widgets.layers import add_result
from napari_noise2atom.widgets.view import NOTHING

MS = 1000 * TIMEOUT_S


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run as a training leaves it, as far as it matters here."""
    folder = tmp_path_factory.mktemp("run 1")
    settings = preset("compact").model_copy(update={"network": NetworkSettings(channels=4, frames_in=1)})
    torch.manual_seed(0)
    model = TrainedModel(settings, build_s2c(settings.network).state_dict(), Normalisation(0, 60), 0.03)
    save_model(model, folder)
    return folder


@pytest.mark.parametrize("whole_folder", [True, False])
def test_napari_opens_a_model_into_the_dock_and_adds_no_layer(window, run_folder, whole_folder):
    path = run_folder if whole_folder else run_folder / "model.safetensors"
    layers = list(window.layers)
    window.open(path, plugin="napari-noise2atom")
    assert list(window.layers) == layers
    dock = commands.open_dock(window)
    assert dock.workspace.model.settings.network.channels == 4
    assert str(path) in dock.denoise.model.text()


def test_a_damaged_model_is_said_in_the_dock(window, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    window.open(tmp_path / "model.safetensors", plugin="napari-noise2atom")
    dock = commands.open_dock(window)
    assert dock.workspace.model is None
    assert "model.safetensors" in dock.denoise.status.text()


def test_only_models_and_runs_are_read(run_folder, tmp_path):
    assert commands.read_model(str(run_folder)) is not None
    assert commands.read_model(str(tmp_path / "other.safetensors")) is not None
    assert commands.read_model(str(tmp_path)) is None
    assert commands.read_model(str(tmp_path / "movie.tif")) is None
    assert commands.read_model([str(run_folder)]) is None


def test_without_a_window_a_model_is_refused_in_words(run_folder, monkeypatch):
    monkeypatch.setattr(commands.napari, "current_viewer", lambda: None)
    with pytest.raises(ValueError, match=r"open a napari window first, or use 'noise2atom denoise'"):
        commands.read_model(str(run_folder))(str(run_folder))


def test_denoise_opens_the_dock_with_the_selected_layer(window):
    other = add_movie(window, name="other")
    window.layers.selection.active = window.layers["film"]
    commands.denoise_layer(window)
    dock = commands.open_dock(window)
    assert dock.workspace.layer == window.layers["film"]
    window.layers.selection.active = other
    commands.denoise_layer(window)
    assert commands.open_dock(window) is dock
    assert dock.workspace.layer == other
    assert dock.movie.layers.currentText() == "other"


def test_views_are_commands_too(window):
    raw = window.layers["film"]
    add_result(window, raw, np.ones((FRAMES, ROWS, COLUMNS), np.float32), "denoised", contrast_limits=(0, 1))
    commands.side_by_side(window)
    assert window.canvas.grid.enabled
    commands.side_by_side(window)
    assert not window.canvas.grid.enabled
    commands.difference(window)
    assert window.layers[-1].name == "film difference"


def test_a_loaded_model_denoises_in_the_window(qtbot, window, run_folder):
    """The one test here in which a network is at work."""
    commands.denoise_layer(window)
    dock = commands.open_dock(window)
    dock.load_model(run_folder)
    dock.denoise.apply.click()
    layer = window.layers["film denoised"]
    qtbot.waitUntil(lambda: np.asarray(layer._slice.image.raw).any(), timeout=MS)
    np.testing.assert_array_equal(layer.scale, window.layers["film"].scale)


def test_views_show_the_selected_layer_and_say_if_there_is_nothing(window):
    first, second = window.layers["film"], add_movie(window, name="other")
    add_result(window, second, np.ones((FRAMES, ROWS, COLUMNS), np.float32), "denoised", contrast_limits=(0, 1))
    window.layers.selection.active = second
    commands.difference(window)
    assert window.layers[-1].name == "other difference"
    window.layers.remove("other difference")
    window.layers.remove("other denoised")
    window.layers.remove("other")
    window.layers.selection.active = first
    notification_manager.records.clear()
    commands.side_by_side(window)
    commands.difference(window)
    assert [record.message for record in notification_manager.records] == 2 * [NOTHING]
    assert not window.canvas.grid.enabled
