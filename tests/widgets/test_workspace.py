"""Any reader's movie is taken, measured and its estimates shown; what is no movie is refused in one sentence."""

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import zarr
from scripted import COLUMNS, FOUND, FRAMES, ROWS, TIMEOUT_S, add_movie, frames_of

from napari_noise2atom.estimate import MEANING
from napari_noise2atom.settings import MovieSettings, preset
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.widgets import workspace as workspace_module
from napari_noise2atom.widgets.layers import add_result
from napari_noise2atom.widgets.movie_step import MovieStep
from napari_noise2atom.widgets.workspace import Workspace, new_run_folder

MS = 1000 * TIMEOUT_S
PLAIN = {"scale": (1, 1, 1), "translate": (0, 0, 0), "units": ("pixel",) * 3, "axis_labels": None}


@pytest.fixture
def movie_step(qtbot, viewer, workspace):
    made = MovieStep(viewer, workspace)
    qtbot.addWidget(made)
    return made


def until_measured(qtbot, workspace):
    qtbot.waitUntil(lambda: workspace.measured is not None or bool(workspace.problem), timeout=MS)


def offered(movie_step):
    return [movie_step.layers.itemText(index) for index in range(movie_step.layers.count())]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_movies_of_all_readers_are_taken(qtbot, viewer, workspace, movie_step, kind, dtype):
    data = frames_of().astype(dtype)
    array = {
        "numpy": lambda: data,
        "dask": lambda: da.from_array(data, chunks=(1, -1, -1)),
        "zarr": lambda: zarr.array(data),
    }
    layer = viewer.add_image(array[kind](), name="film", contrast_limits=(0, 60))
    assert workspace.layer == layer
    until_measured(qtbot, workspace)
    np.testing.assert_array_equal(workspace.movie.frame(3), data[3].astype(np.float32))
    assert workspace.movie.pixel_size_nm is None
    assert "unknown" in movie_step.facts.text()
    assert not workspace.problem


def test_of_several_resolutions_the_finest_is_taken(qtbot, viewer, workspace, movie_step):
    data = frames_of()
    viewer.add_image([data, data[:, ::2, ::2]], multiscale=True, contrast_limits=(0, 60))
    assert workspace.movie.shape == data.shape
    until_measured(qtbot, workspace)


def test_calibration_comes_with_the_layer(qtbot, viewer, workspace, movie_step):
    add_movie(viewer)
    assert workspace.movie.pixel_size_nm == pytest.approx(0.03)
    assert workspace.movie.frame_time_s == pytest.approx(0.01)
    assert f"{FRAMES} frames of {COLUMNS} × {ROWS} px" in movie_step.facts.text()
    assert "0.03 nm" in movie_step.facts.text()
    assert "10 ms" in movie_step.facts.text()


def test_calibration_that_is_set_later_is_taken(qtbot, viewer, workspace, movie_step):
    layer = viewer.add_image(frames_of(), name="bare")
    until_measured(qtbot, workspace)
    measured = workspace.measured
    assert workspace.movie.pixel_size_nm is None
    layer.scale = (1, 0.02, 0.02)
    layer.units = ("pixel", "nm", "nm")
    assert workspace.movie.pixel_size_nm == pytest.approx(0.02)
    assert "0.02 nm" in movie_step.facts.text()
    assert workspace.measured is measured, "what is measured is in pixels"
    other = add_movie(viewer, name="other")
    movie_step.choose(other)
    layer.scale = (1, 0.05, 0.05)
    assert workspace.movie.pixel_size_nm == pytest.approx(0.03), "of the chosen one alone"
    workspace.close()
    other.scale = (0.01, 0.04, 0.04)
    assert workspace.movie.pixel_size_nm == pytest.approx(0.03)


def add_flat(viewer):
    return viewer.add_image(np.zeros((ROWS, COLUMNS)), name="photograph")


def add_colours(viewer):
    return viewer.add_image(np.zeros((FRAMES, ROWS, COLUMNS, 3), np.uint8), rgb=True, name="photograph")


def add_stack(viewer):
    return viewer.add_image(np.zeros((2, FRAMES, ROWS, COLUMNS)), name="photograph")


@pytest.mark.parametrize("add", [add_flat, add_colours, add_stack])
def test_what_is_no_movie_is_refused_in_one_sentence(qtbot, viewer, workspace, movie_step, add):
    movie_step.choose(add(viewer))
    assert workspace.movie is None
    assert workspace.problem.startswith("photograph: got ")
    assert "\n" not in workspace.problem
    assert movie_step.problem.text() == workspace.problem
    assert not movie_step.problem.isHidden()
    assert movie_step.estimates.isHidden()


@pytest.mark.parametrize("add", [add_flat, add_colours])
def test_a_movie_that_comes_after_a_picture_is_chosen(viewer, workspace, movie_step, add):
    add(viewer)
    movie = add_movie(viewer)
    assert workspace.layer == movie
    assert offered(movie_step) == ["photograph", "film"]


def test_without_a_movie_it_is_said_what_to_do(movie_step):
    assert "Drag a movie" in movie_step.facts.text()
    assert movie_step.estimates.isHidden()


@pytest.mark.parametrize("add", [add_flat, add_colours, add_stack])
def test_an_image_that_is_added_and_is_no_movie_is_told(viewer, workspace, movie_step, add):
    layer = add(viewer)
    assert workspace.layer is layer
    assert movie_step.problem.text().startswith("photograph: got ")


def test_a_movie_with_a_leading_axis_of_length_one_is_chosen(viewer, workspace, movie_step):
    add_flat(viewer)
    layer = viewer.add_image(frames_of()[np.newaxis], name="film")
    assert workspace.layer is layer
    assert workspace.movie.shape == (FRAMES, ROWS, COLUMNS)


def test_the_chosen_movie_stays_chosen_while_it_is_there(viewer, workspace, movie_step):
    first = add_movie(viewer, name="first")
    second = add_movie(viewer, name="second")
    assert workspace.layer is first
    movie_step.layers.setCurrentIndex(1)
    assert workspace.layer is second
    viewer.add_points(np.zeros((1, 3)))
    viewer.layers.move(0, 2)
    viewer.layers.remove(first)
    assert workspace.layer is second
    assert movie_step.layers.currentText() == "second"
    viewer.layers.remove(second)
    assert workspace.layer is None
    assert workspace.movie is None
    assert "Drag a movie" in movie_step.facts.text()


def test_a_renamed_layer_has_its_new_name_in_the_list(viewer, workspace, movie_step):
    layer = add_movie(viewer)
    layer.name = "renamed"
    assert offered(movie_step) == ["renamed"]
    assert workspace.layer is layer


def test_results_are_not_offered_and_hidden_truths_not_chosen(viewer, workspace, movie_step):
    add_movie(viewer, name="truth", visible=False)
    raw = add_movie(viewer, name="film")
    add_result(viewer, raw, np.zeros(raw.data.shape, np.float32), "denoised")
    assert offered(movie_step) == ["truth", "film"]


def test_a_movie_is_measured_once_whatever_happens_to_other_layers(qtbot, viewer, workspace, movie_step, monkeypatch):
    measured = []
    real = workspace_module._measure
    monkeypatch.setattr(workspace_module, "_measure", lambda *given: (measured.append(given), real(*given))[1])
    add_movie(viewer)
    until_measured(qtbot, workspace)
    viewer.add_points(np.zeros((1, 3)))
    add_movie(viewer, name="other")
    until_measured(qtbot, workspace)
    assert len(measured) == 1


def test_estimates_are_shown_with_unit_and_meaning(qtbot, viewer, workspace, movie_step):
    add_movie(viewer)
    until_measured(qtbot, workspace)
    shown = {**movie_step.estimates.values, **movie_step.others.values}
    assert set(shown) == set(MEANING)
    for name, label in shown.items():
        number, *unit = label.text().split(" ", 1)
        assert float(number) == pytest.approx(getattr(FOUND, name), rel=0.01)
        assert "".join(unit) == MEANING[name][1]
        assert label.toolTip().startswith("Sets ")
    assert movie_step.problem.isHidden()


def test_large_numbers_are_written_in_full(qtbot, viewer, quick, workspace, movie_step):
    quick["estimate"] = type(FOUND)(**vars(FOUND) | {"saturation_counts": 65535.0})
    add_movie(viewer, scale=(2, 0.03, 0.03))
    until_measured(qtbot, workspace)
    assert movie_step.others.values["saturation_counts"].text() == "65535 counts"
    assert "frame time 2000 ms" in movie_step.facts.text()


def test_guesses_are_called_guesses(qtbot, viewer, quick, workspace, movie_step):
    quick["estimate"] = type(FOUND)(**vars(FOUND) | {"certain": False})
    add_movie(viewer)
    until_measured(qtbot, workspace)
    assert "guesses" in movie_step.problem.text()
    assert not movie_step.problem.isHidden()


def test_bad_frames_are_listed(qtbot, viewer, workspace, movie_step):
    data = frames_of().astype(np.float32)
    data[3], data[8, 2, 2] = 5, np.nan
    add_movie(viewer, data)
    until_measured(qtbot, workspace)
    assert workspace.measured.bad == (3, 8)
    assert "2 frames hold no image and are left out: 3, 8." in movie_step.problem.text()


def test_a_movie_that_cannot_be_measured_is_said(qtbot, viewer, workspace, movie_step, monkeypatch):
    def refuse(movie):
        raise ValueError("film: no two frames in a row are usable")

    monkeypatch.setattr(workspace_module, "estimate", refuse)
    add_movie(viewer)
    until_measured(qtbot, workspace)
    assert movie_step.problem.text() == "film: no two frames in a row are usable"


def test_a_removed_movie_s_measures_are_not_told(qtbot, viewer, workspace, movie_step):
    layer = add_movie(viewer)
    viewer.layers.remove(layer)
    other = add_movie(viewer, name="other")
    until_measured(qtbot, workspace)
    assert workspace.layer is other
    assert workspace.movie.name == "other"


def test_what_the_movie_tells_goes_into_the_settings(qtbot, viewer, workspace, movie_step):
    add_movie(viewer)
    until_measured(qtbot, workspace)
    settings = workspace.settings
    assert settings.scene.background_e == pytest.approx(FOUND.background_e, rel=0.01)
    assert settings.simulation.variance_min_px2 <= FOUND.spot_variance_px2 <= settings.simulation.variance_max_px2
    workspace.choose_preset("paper")
    assert workspace.settings.network == preset("paper").network


def test_what_is_set_while_the_movie_is_measured_stays(qtbot, viewer, workspace, movie_step):
    add_movie(viewer)
    training = workspace.settings.training.model_copy(update={"epochs": 3})
    workspace.change("training", training)
    until_measured(qtbot, workspace)
    assert workspace.settings.training == training
    assert workspace.settings.scene.background_e == pytest.approx(FOUND.background_e, rel=0.01)


def test_a_chosen_preset_and_the_run_s_settings_outlive_another_movie(qtbot, viewer, workspace, movie_step):
    add_movie(viewer)
    until_measured(qtbot, workspace)
    workspace.choose_preset("paper")
    run = workspace.settings.run.model_copy(update={"seed": 5})
    workspace.change("run", run)
    movie_step.choose(add_movie(viewer, name="other"))
    until_measured(qtbot, workspace)
    assert (workspace.settings.preset, workspace.settings.run) == ("paper", run)


def test_settings_of_one_movie_are_not_those_of_the_next(qtbot, viewer, quick, workspace, movie_step):
    add_movie(viewer, frames_of(shape=(4, ROWS, COLUMNS)), name="short")
    until_measured(qtbot, workspace)
    workspace.change("training", workspace.settings.training.model_copy(update={"epochs": 3}))
    restless = {"drift_px": 2.0, "jump_px": 3.0, "flicker": 1.0, "spot_variance_px2": 40.0, "column_atoms": 30}
    quick["estimate"] = type(FOUND)(**vars(FOUND) | restless)
    movie_step.choose(add_movie(viewer, name="restless"))
    until_measured(qtbot, workspace)
    assert workspace.settings.network.aligned
    quick["estimate"] = FOUND
    movie_step.choose(add_movie(viewer, frames_of(shape=(20, ROWS, COLUMNS)), name="long"))
    until_measured(qtbot, workspace)
    settings, afresh = workspace.settings, preset(workspace.settings.preset)
    assert settings.network == afresh.network
    assert settings.simulation.kernel_px == afresh.simulation.kernel_px
    assert settings.simulation.atoms_per_position == afresh.simulation.atoms_per_position
    assert settings.training.epochs == 3, "the user's own"


def test_a_preset_that_is_chosen_is_taken_without_earlier_edits(qtbot, viewer, workspace, movie_step):
    add_movie(viewer)
    until_measured(qtbot, workspace)
    workspace.change("training", workspace.settings.training.model_copy(update={"epochs": 3}))
    workspace.choose_preset("paper")
    assert workspace.settings.training == preset("paper").training


def test_a_real_movie_is_really_measured(qtbot, viewer):
    """No replacement of the estimate here."""
    simulated = simulate_movie(MovieSettings(frames=12, size_px=96))
    workspace = Workspace()
    workspace.choose_layer(viewer.add_image(np.asarray(simulated.noisy.data), contrast_limits=(0, 4000)))
    until_measured(qtbot, workspace)
    assert workspace.problem == ""
    assert 2 < workspace.measured.found.spot_variance_px2 < 20


def test_preferences_are_taken_and_a_wrong_device_is_said(qtbot, monkeypatch):
    said = []
    monkeypatch.setattr(workspace_module, "show_warning", said.append)
    wished = SimpleNamespace(device="cuda:1", threads=3, run_folder="")
    monkeypatch.setattr(workspace_module, "preferences", lambda: wished)
    run = workspace_module.Workspace().settings.run
    assert (run.device, run.threads, said) == ("cuda:1", 3, [])
    wished.threads = 0
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert workspace_module.Workspace().settings.run.threads == 7, "the window keeps a core"
    wished.device = "toaster"
    assert workspace_module.Workspace().settings.run.device == "auto"
    assert "'toaster'; expected auto" in said[0]


def test_run_folders_are_new_and_lie_beside_the_movie_where_possible(viewer, tmp_path):
    layer = add_movie(viewer, name="Pt / C: film?")
    first = new_run_folder(layer)
    assert first == tmp_path / "Pt _ C_ film_ noise2atom" / "run 1"
    first.mkdir(parents=True)
    assert new_run_folder(layer).name == "run 2"
    assert first.parent.parent == tmp_path
