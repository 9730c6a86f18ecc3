"""What napari finds of the plugin, and what comes of it in a viewer without a window."""

import importlib
import tomllib
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from app_model.expressions import get_context, parse_expression
from napari._app_model.constants._menus import is_menu_contributable
from napari.components import ViewerModel
from napari.settings import get_plugin_settings, get_settings
from npe2 import PluginManifest, io_utils

import napari_noise2atom
from napari_noise2atom.io import READABLE, MovieFileError, frames, write_movie
from napari_noise2atom.layerdata import layer_data, movie_of_layer
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import RunSettings

PACKAGE = Path(napari_noise2atom.__file__).parent
ROOT = Path(__file__).parent.parent
NAME = "napari-noise2atom"
MANIFEST = PluginManifest.from_file(PACKAGE / "napari.yaml")
POINTS = MANIFEST.contributions
COMMANDS = {command.id: command for command in POINTS.commands}
FRAMES = np.random.default_rng(4).integers(0, 200, (40, 8, 10)).astype(np.uint8)
FILM = Movie(FRAMES, 0.03, 0.02, "film")


@pytest.fixture(autouse=True)
def plugin(npe2pm):
    """The only plugin that there is."""
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(PACKAGE / "napari.yaml")):
        yield npe2pm


@pytest.fixture(params=["film.tif", "film.zarr"])
def film(tmp_path, request):
    path = tmp_path / request.param
    write_movie(FILM, path)
    return path


def offered(command):
    [reader] = [reader for reader in POINTS.readers if reader.command == f"{NAME}.{command}"]
    return reader


def test_the_installed_package_has_this_manifest():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["napari.manifest"] == {NAME: "napari_noise2atom:napari.yaml"}
    assert MANIFEST.name == project["name"]
    assert "Framework :: napari" in project["classifiers"]
    assert (ROOT / "napari.yaml").samefile(PACKAGE / "napari.yaml")


def used_commands():
    points = [*POINTS.readers, *POINTS.writers, *POINTS.widgets, *POINTS.sample_data]
    items = [item for menu in POINTS.menus.values() for item in menu if hasattr(item, "command")]
    return {point.command for point in [*points, *items]}


def test_every_command_is_used_and_every_use_has_a_command():
    assert used_commands() == set(COMMANDS)


def is_there(command):
    """Whether the part of the package that a command is in has been written."""
    part = command.python_name.split(".")[1].split(":")[0]
    return (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()


@pytest.mark.parametrize("command", [*filter(is_there, COMMANDS.values())], ids=lambda command: command.id)
def test_every_command_has_a_function(command):
    module, name = command.python_name.split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_endings_are_those_that_can_be_read():
    assert offered("get_reader").filename_patterns == [f"*{ending}" for ending in READABLE]
    assert all(reader.accepts_directories for reader in POINTS.readers)


def test_the_menu_hangs_in_that_of_filters():
    [entry] = POINTS.menus["napari/layers/filter"]
    [submenu] = POINTS.submenus
    assert entry.submenu == submenu.id
    items = [item.command.partition(".")[2] for item in POINTS.menus[submenu.id]]
    assert items == ["denoise_layer", "side_by_side", "difference"]
    assert is_menu_contributable("napari/layers/filter")
    assert is_menu_contributable(submenu.id)


@pytest.mark.parametrize("name", ["denoise_layer", "side_by_side", "difference"])
def test_layer_commands_want_an_image(name):
    enabled = parse_expression(COMMANDS[f"{NAME}.{name}"].enablement)
    viewer = ViewerModel()
    context = get_context(viewer.layers)
    assert not enabled.eval(context)
    viewer.add_image(FRAMES)
    assert enabled.eval(context)


def test_preferences_have_the_texts_and_values_of_the_settings():
    [computing] = POINTS.configurations.values()
    assert computing.title == "Computing"
    assert set(computing.properties) == {"device", "threads", "run_folder"}
    for name in ("device", "threads"):
        field, shown = RunSettings.model_fields[name], computing.properties[name]
        assert (shown.description, shown.default) == (field.description, field.default)
        RunSettings(**{name: shown.default})


def test_preferences_are_kept_by_napari(plugin_settings):
    computing = get_plugin_settings(NAME).computing
    assert (computing.device, computing.threads, computing.run_folder) == ("auto", 0, "")
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        computing.threads = -1


def test_settings_of_the_user_are_not_touched():
    assert "napari-settings-" in str(get_settings().config_path)


def test_npe2_reads_and_writes(tmp_path, film):
    [layer] = io_utils.read([str(film)], stack=False, plugin_name=NAME)
    written = io_utils.write(str(tmp_path / f"copy{film.suffix}"), [layer], plugin_name=NAME)
    assert written == [str(tmp_path / f"copy{film.suffix}")]
    [(data, meta, _)] = io_utils.read(written, stack=False, plugin_name=NAME)
    np.testing.assert_array_equal(data, FRAMES)
    assert meta["scale"] == pytest.approx((0.02, 0.03, 0.03))


def test_napari_stacks_chosen_files(tmp_path):
    paths = [str(tmp_path / f"{i}.npy") for i in range(12)]
    for path, frame in zip(paths, FRAMES, strict=False):
        np.save(path, frame)
    [layer] = ViewerModel().open(sorted(paths), stack=True, plugin=NAME)
    np.testing.assert_array_equal(layer.data, FRAMES[:12])


@pytest.mark.parametrize("chosen", [NAME, None])
def test_a_dropped_movie_is_a_calibrated_layer(film, chosen):
    viewer = ViewerModel()
    [layer] = viewer.open(film, plugin=chosen)
    assert layer.name == "film"
    assert layer.scale == pytest.approx((0.02, 0.03, 0.03))
    assert [f"{unit:~}" for unit in layer.units] == ["s", "nm", "nm"]
    assert layer.axis_labels == ("t", "y", "x")
    assert layer.source.reader_plugin == NAME
    low, high = layer.contrast_limits
    assert 0 <= low < high <= 200
    movie = movie_of_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(movie.data, FRAMES)
    assert (movie.pixel_size_nm, movie.frame_time_s) == pytest.approx((0.03, 0.02))


def test_a_dropped_folder_of_frames_is_a_layer(tmp_path):
    for i in range(12):
        np.save(tmp_path / f"{i}.npy", FRAMES[i])
    [layer] = ViewerModel().open(tmp_path, plugin=NAME)
    np.testing.assert_array_equal(layer.data, FRAMES[:12])


def test_opening_reads_a_few_frames(tmp_path, monkeypatch):
    write_movie(FILM, tmp_path / "film.tif")
    seen = []
    read = frames._RawReader.__call__
    monkeypatch.setattr(frames._RawReader, "__call__", lambda self, index: seen.append(index) or read(self, index))
    viewer = ViewerModel()
    [layer] = viewer.open(tmp_path / "film.tif", plugin=NAME)
    assert 0 < len(seen) <= 8
    seen.clear()
    viewer.dims.set_current_step(0, 17)
    assert set(seen) == {17}
    assert isinstance(layer.data, da.Array)


def test_what_is_no_movie_is_said_in_one_sentence(tmp_path):
    np.save(tmp_path / "photo.npy", FRAMES[0])
    with pytest.raises(MovieFileError, match=r"^photo\.npy: got a single image of 8 × 10 px; [^\n]+$"):
        ViewerModel().open(tmp_path / "photo.npy", plugin=NAME)


@pytest.mark.parametrize("name", ["all.tif", "all.zarr"])
def test_layers_are_saved_with_their_calibration(tmp_path, name):
    viewer = ViewerModel()
    for title in ("film", "film denoised"):
        data, meta, _ = layer_data(FILM, name=title)
        viewer.add_image(data, **meta)
    written = viewer.layers.save(str(tmp_path / name), plugin=NAME)
    assert [Path(path).stem for path in written] == ["all_film", "all_film denoised"]
    for path in written:
        [layer] = ViewerModel().open(path, plugin=NAME)
        assert layer.scale == pytest.approx((0.02, 0.03, 0.03))


@pytest.mark.parametrize("sample", POINTS.sample_data, ids=lambda sample: sample.key)
def test_samples_open(sample):
    viewer = ViewerModel()
    added = viewer.open_sample(NAME, sample.key)
    assert list(viewer.layers) == added
    assert {layer.units for layer in added} == {added[0].units}
    assert viewer.dims.nsteps == (64, 128, 128)
    assert [layer.visible for layer in viewer.layers[-2:]] == [False, False], "the truth is hidden at first"
    assert all(layer.visible for layer in viewer.layers[:-2])
