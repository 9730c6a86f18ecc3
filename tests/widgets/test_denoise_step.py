"""A model applied: the layer is there at once, the slider is never kept waiting, what is saved can be read."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPointF
from scripted import COLUMNS, FRAMES, ROWS, TIMEOUT_S, add_movie, frames_of, tiny_model

from napari_noise2atom.browsing import BackgroundFrames
from napari_noise2atom.io import read_movie
from napari_noise2atom.movie import Movie
from napari_noise2atom.widgets import files
from napari_noise2atom.widgets.denoise_step import DenoiseStep
from napari_noise2atom.widgets.layers import current_frame, show_frame
from napari_noise2atom.widgets.workspace import Measured

MS = 1000 * TIMEOUT_S
MODEL = tiny_model()


class Denoiser:
    """Denoises when it is let, frame by frame."""

    def __init__(self, open_=True, error=None):
        self.gate, self.begun, self.error = threading.Event(), threading.Event(), error
        self.order, self.call = [], None
        if open_:
            self.gate.set()

    def __call__(self, *args):
        self.call = args
        self.movie = args[0]
        return self.frame

    def frame(self, index):
        self.begun.set()
        assert self.gate.wait(TIMEOUT_S)
        self.order.append(index)
        if self.error is not None:
            raise self.error
        return expected(self.movie, index)


def expected(movie, index):
    """What the scripted model makes of a frame: between 0 and 1, different for each."""
    frame = movie.frame(index)
    return (frame / frame.max() * (0.5 + index / (2 * len(movie)))).astype(np.float32)


@pytest.fixture
def step_of(qtbot, viewer, measured):
    made = []

    def make(denoiser, model=MODEL):
        measured.use_model(model, "of a test")
        widget = DenoiseStep(viewer, measured, denoiser)
        qtbot.addWidget(widget)
        made.append((widget, denoiser))
        return widget

    yield make
    for widget, denoiser in made:
        widget.close_jobs()
        denoiser.gate.set()
        threads = [result.denoising.frames for result in widget.results]
        for frames in threads:
            frames.close()


def shown(layer):
    """The frame that napari draws."""
    return np.asarray(layer._slice.image.raw)


def denoised_layers(viewer):
    return [layer for layer in viewer.layers if layer.metadata.get("noise2atom", {}).get("result") == "denoised"]


def until_saved(qtbot, widget, path):
    widget.save_as(path)
    assert widget.cancel.isEnabled()
    qtbot.waitUntil(lambda: widget.progress.format() in ("saved", "failed"), timeout=MS)
    assert widget.status.text() == f"Saved {path}."


def test_nothing_can_be_done_without_a_model(qtbot, viewer, measured):
    widget = DenoiseStep(viewer, measured, Denoiser())
    qtbot.addWidget(widget)
    assert not any(button.isEnabled() for button in (widget.apply, widget.compute, widget.save, widget.cancel))
    assert "Train or load a model" in widget.model.text()
    widget.start()
    widget.compute_all()
    assert not denoised_layers(viewer)
    measured.use_model(MODEL, "of a test")
    assert widget.apply.isEnabled()
    widget.close_jobs()


def test_the_model_is_applied_as_the_settings_say(step_of, measured):
    denoiser = Denoiser()
    measured.change("run", measured.settings.run.model_copy(update={"device": "cpu", "threads": 3}))
    step_of(denoiser).apply.click()
    assert denoiser.call == (measured.movie, MODEL, "cpu", 3)


def test_the_layer_is_there_at_once_with_calibration_and_recipe(viewer, raw, step_of):
    widget = step_of(Denoiser(open_=False))
    widget.apply.click()
    (layer,) = denoised_layers(viewer)
    assert layer.name == "film denoised"
    assert layer.data.shape == raw.data.shape
    np.testing.assert_array_equal(layer.scale, raw.scale)
    np.testing.assert_array_equal(layer.translate, raw.translate)
    assert (layer.units, layer.axis_labels) == (raw.units, raw.axis_labels)
    recipe = layer.metadata["noise2atom"]["recipe"]
    assert recipe["settings"] == MODEL.settings.model_dump()
    assert recipe["provenance"] == {"movie": "film"}


def test_the_slider_is_answered_while_the_model_is_at_work(qtbot, viewer, raw, step_of):
    denoiser = Denoiser(open_=False)
    widget = step_of(denoiser)
    widget.apply.click()
    (layer,) = denoised_layers(viewer)
    assert denoiser.begun.wait(TIMEOUT_S)
    for index in range(FRAMES):
        show_frame(viewer, raw, index)
        assert current_frame(viewer, raw) == index
        np.testing.assert_array_equal(shown(raw), raw.data[index])
        assert not shown(layer).any()
    assert not denoiser.gate.is_set(), "all that without a single denoised frame"
    assert not denoiser.order
    denoiser.gate.set()
    last = expected(denoiser.movie, FRAMES - 1)
    qtbot.waitUntil(lambda: np.array_equal(shown(layer), last), timeout=MS)


def test_a_frame_appears_when_it_is_ready_and_is_exact(qtbot, viewer, raw, step_of):
    denoiser = Denoiser()
    widget = step_of(denoiser)
    widget.apply.click()
    (layer,) = denoised_layers(viewer)
    for index in (5, 0, 11):
        show_frame(viewer, raw, index)
        frame = expected(denoiser.movie, index)
        qtbot.waitUntil(lambda frame=frame: np.array_equal(shown(layer), frame), timeout=MS)


def test_the_contrast_is_set_once_and_is_the_user_s_then(qtbot, viewer, raw, step_of):
    widget = step_of(Denoiser())
    widget.apply.click()
    (layer,) = denoised_layers(viewer)
    qtbot.waitUntil(lambda: widget.result.contrast_set, timeout=MS)
    low, high = layer.contrast_limits
    assert 0 <= low < high < 1
    layer.contrast_limits = (0.2, 0.4)
    show_frame(viewer, raw, 9)
    qtbot.waitUntil(lambda: shown(layer).any(), timeout=MS)
    assert tuple(layer.contrast_limits) == (0.2, 0.4)


def test_the_cursor_and_the_slider_are_one(qtbot, viewer, raw, step_of):
    widget = step_of(Denoiser())
    show_frame(viewer, raw, 4)
    widget.apply.click()
    qtbot.waitUntil(lambda: widget.css.cursor_line.value() == 4, timeout=MS)
    show_frame(viewer, raw, 7)
    qtbot.waitUntil(lambda: widget.css.cursor_line.value() == 7, timeout=MS)
    widget.css.frame_chosen.emit(2)
    assert current_frame(viewer, raw) == 2
    qtbot.waitUntil(lambda: widget.css.cursor_line.value() == 2, timeout=MS)


def test_a_click_on_the_plot_and_a_drag_of_the_cursor_choose_a_frame(qtbot, viewer, raw, step_of):
    widget = step_of(Denoiser())
    widget.apply.click()
    box = widget.css.plot.getPlotItem().vb
    place = box.mapViewToScene(QPointF(8.3, 0.5))
    widget.css.plot.scene().sigMouseClicked.emit(SimpleNamespace(scenePos=lambda: place))
    assert current_frame(viewer, raw) == 8
    widget.css.cursor_line.setValue(3.4)
    widget.css.cursor_line.sigDragged.emit(widget.css.cursor_line)
    assert current_frame(viewer, raw) == 3
    widget.css.cursor_line.setValue(-50)
    widget.css.cursor_line.sigDragged.emit(widget.css.cursor_line)
    assert current_frame(viewer, raw) == 0


def test_bad_frames_are_marked(step_of, measured):
    measured.measured = Measured((2, 5), measured.measured.found, "compact")
    widget = step_of(Denoiser())
    widget.apply.click()
    np.testing.assert_array_equal(widget.css.marks.getData()[0], [2, 5])


def test_compute_all_computes_every_frame_and_its_css(qtbot, step_of):
    denoiser = Denoiser()
    widget = step_of(denoiser)
    widget.apply.click()
    widget.compute.click()
    assert not widget.compute.isEnabled()
    assert widget.cancel.isEnabled()
    qtbot.waitUntil(lambda: widget.progress.format() == "every frame computed", timeout=MS)
    assert sorted(denoiser.order) == list(range(FRAMES))
    assert widget.compute.isEnabled()
    assert not widget.cancel.isEnabled()
    widget.paint()
    for name in ("css", "raw css"):
        frames, values = widget.css.plot.curves[name].getOriginalDataset()
        np.testing.assert_array_equal(frames, range(FRAMES))
        assert np.isfinite(values).all()


def test_computing_can_be_cancelled(qtbot, step_of):
    denoiser = Denoiser(open_=False)
    widget = step_of(denoiser)
    widget.apply.click()
    widget.compute.click()
    assert denoiser.begun.wait(TIMEOUT_S)
    widget.cancel.click()
    assert widget.progress.format() == "cancelled"
    assert widget.compute.isEnabled()
    assert not widget.cancel.isEnabled()


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_saved_movies_are_read_back_with_their_calibration(qtbot, step_of, tmp_path, ending):
    denoiser = Denoiser()
    widget = step_of(denoiser)
    widget.apply.click()
    path = tmp_path / f"film denoised{ending}"
    until_saved(qtbot, widget, path)
    movie = read_movie(path)
    np.testing.assert_array_equal(
        movie.frames(range(FRAMES)), [expected(denoiser.movie, index) for index in range(FRAMES)]
    )
    assert movie.pixel_size_nm == pytest.approx(0.03)
    assert movie.frame_time_s == pytest.approx(0.01)


def test_a_saved_film_shows_both_side_by_side(qtbot, step_of, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    widget = step_of(Denoiser())
    widget.apply.click()
    until_saved(qtbot, widget, tmp_path / "film.mp4")
    frames = imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    width, height = next(frames)["size"]
    frames.close()
    assert width > 1.5 * height * COLUMNS / ROWS


def test_saved_scores_have_a_line_for_each_frame(qtbot, step_of, tmp_path):
    widget = step_of(Denoiser())
    widget.apply.click()
    until_saved(qtbot, widget, tmp_path / "scores.csv")
    lines = [line for line in (tmp_path / "scores.csv").read_text().splitlines() if line and line[0].isdigit()]
    assert len(lines) == FRAMES


def test_a_name_with_a_dot_gets_the_chosen_ending(step_of, tmp_path, monkeypatch):
    widget = step_of(Denoiser())
    widget.start()
    saved = []
    monkeypatch.setattr(widget, "save_as", saved.append)
    answer = (str(tmp_path / "film_v1.2"), "OME-Zarr (*.zarr)")
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *given: answer)
    widget.save.click()
    assert saved == [tmp_path / "film_v1.2.zarr"]


def test_what_the_dialog_has_not_asked_about_is_not_replaced(step_of, tmp_path, monkeypatch):
    """The dialog sees the name without its ending."""
    widget = step_of(Denoiser())
    widget.start()
    (tmp_path / "film.tif").write_bytes(b"precious")
    saved = []
    monkeypatch.setattr(widget, "save_as", saved.append)
    for name in ("film", "film.tif"):
        answer = (str(tmp_path / name), "TIFF (*.tif)")
        monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *given, answer=answer: answer)
        widget.save.click()
        assert "is there already" in widget.status.text()
    assert saved == [tmp_path / "film.tif"], "the second name was asked about"


def test_the_raw_movie_is_never_replaced(viewer, step_of, tmp_path, monkeypatch):
    widget = step_of(Denoiser())
    widget.start()
    widget.result.source = str(tmp_path / "film.tif")
    (tmp_path / "film.tif").write_bytes(b"precious")
    saved = []
    monkeypatch.setattr(widget, "save_as", saved.append)
    answer = (str(tmp_path / "film.tif"), "TIFF (*.tif)")
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *given: answer)
    widget.save.click()
    assert not saved
    assert "is the raw movie itself" in widget.status.text()


def test_a_cancelled_zarr_goes_on_where_it_was(qtbot, step_of, tmp_path):
    denoiser = Denoiser(open_=False)
    widget = step_of(denoiser)
    widget.apply.click()
    path = tmp_path / "film.zarr"
    widget.save_as(path)
    assert denoiser.begun.wait(TIMEOUT_S)
    widget.cancel.click()
    denoiser.gate.set()
    qtbot.waitUntil((path / "0/c/0/0/0").exists, timeout=MS)
    until_saved(qtbot, widget, path)
    whole = read_movie(path)
    assert not whole.notes
    np.testing.assert_array_equal(whole.frame(FRAMES - 1), expected(denoiser.movie, FRAMES - 1))
    # another model's result is not mixed with it
    widget._workspace.use_model(tiny_model(5), "another")
    widget.start()
    widget.save_as(path)
    qtbot.waitUntil(lambda: widget.progress.format() == "failed", timeout=MS)
    assert "begun with another model" in widget.status.text()


def test_a_model_of_other_pixels_or_grey_values_is_doubted(qtbot, viewer, measured, step_of):
    widget = step_of(Denoiser(), tiny_model(pixel_size_nm=0.0136))
    qtbot.waitUntil(lambda: "the pixels of film are 0.03 nm wide" in widget.model.text(), timeout=MS)
    assert widget.apply.isEnabled()
    measured.choose_layer(add_movie(viewer, (frames_of() / 4095).astype(np.float32), name="scaled"))
    assert "film" not in widget.model.text()
    qtbot.waitUntil(lambda: "the grey values of scaled" in widget.model.text(), timeout=MS)


def test_a_model_of_the_movie_is_not_doubted(qtbot, measured, step_of):
    widget = step_of(Denoiser())
    with qtbot.waitSignal(measured.doubts_changed, timeout=MS):
        measured.use_model(MODEL, "of a test")
    assert widget.model.text() == "Model of a test."


def test_it_is_said_that_not_all_computed_frames_are_kept(qtbot, step_of, monkeypatch):
    monkeypatch.setattr(BackgroundFrames, "capacity", 5)
    widget = step_of(Denoiser())
    widget.start()
    widget.compute.click()
    qtbot.waitUntil(lambda: widget.progress.format() == "every frame computed", timeout=MS)
    assert "5 frames are kept in memory" in widget.status.text()


def test_an_unknown_ending_is_refused_in_words(qtbot, step_of, tmp_path):
    widget = step_of(Denoiser())
    widget.apply.click()
    widget.save_as(tmp_path / "film.xyz")
    qtbot.waitUntil(lambda: widget.progress.format() == "failed", timeout=MS)
    assert ".xyz" in widget.status.text()
    assert not list(tmp_path.glob("film*"))
    assert widget.save.isEnabled()


def test_a_removed_layer_is_forgotten_and_its_thread_ends(qtbot, viewer, step_of):
    widget = step_of(Denoiser())
    widget.apply.click()
    frames = widget.result.denoising.frames
    qtbot.waitUntil(lambda: frames._thread is not None, timeout=MS)
    viewer.layers.remove(denoised_layers(viewer)[0])
    assert widget.result is None
    assert not widget.results
    assert widget.css.isHidden()
    assert not widget.save.isEnabled()
    frames._thread.join(TIMEOUT_S)
    assert not frames._thread.is_alive()
    widget.apply.click()
    assert len(denoised_layers(viewer)) == 1


def test_a_layer_may_be_removed_while_a_frame_is_computed(qtbot, viewer, step_of):
    denoiser = Denoiser(open_=False)
    widget = step_of(denoiser)
    widget.apply.click()
    frames = widget.result.denoising.frames
    widget.compute.click()
    assert denoiser.begun.wait(TIMEOUT_S)
    viewer.layers.remove(denoised_layers(viewer)[0])
    denoiser.gate.set()
    frames._thread.join(TIMEOUT_S)
    assert not frames._thread.is_alive()
    assert not widget.cancel.isEnabled()


@pytest.mark.parametrize(
    "error", [ValueError("no such frame"), RuntimeError("CUDA error: launch failure"), MemoryError()]
)
def test_an_error_is_one_readable_message_and_can_be_tried_again(qtbot, viewer, step_of, error):
    denoiser = Denoiser(error=error)
    widget = step_of(denoiser)
    widget.apply.click()
    qtbot.waitUntil(lambda: widget.progress.format() == "failed", timeout=MS)
    assert str(error) in widget.status.text()
    assert "\n" not in widget.status.text()
    denoiser.error = None
    widget.compute.click()
    qtbot.waitUntil(lambda: widget.progress.format() == "every frame computed", timeout=MS)


@pytest.mark.parametrize("error", [ValueError("the device cuda is not there"), RuntimeError("CUDA out of memory")])
def test_a_model_that_cannot_be_applied_is_said(viewer, step_of, error):
    def refuse(*args):
        raise error

    refuse.gate = threading.Event()
    widget = step_of(refuse)
    widget.apply.click()
    assert str(error) in widget.status.text()
    assert not denoised_layers(viewer)
    assert widget.apply.isEnabled()


def test_a_second_result_replaces_nothing(qtbot, viewer, raw, step_of):
    denoiser = Denoiser()
    widget = step_of(denoiser)
    widget.apply.click()
    (first,) = denoised_layers(viewer)
    widget.apply.click()
    assert len(denoised_layers(viewer)) == 2
    second = denoised_layers(viewer)[1]
    show_frame(viewer, raw, 6)
    frame = expected(denoiser.movie, 6)
    qtbot.waitUntil(lambda: np.array_equal(shown(first), frame) and np.array_equal(shown(second), frame), timeout=MS)
    viewer.layers.remove(second)
    assert widget.result.layer is first
    assert widget.save.isEnabled()


def test_the_plot_fits_the_result_that_is_left(qtbot, viewer, raw, measured, step_of):
    widget = step_of(Denoiser())
    widget.apply.click()
    longer = add_movie(viewer, frames_of(shape=(2 * FRAMES, ROWS, COLUMNS)), name="longer")
    measured.choose_layer(longer)
    widget.apply.click()
    viewer.layers.remove(denoised_layers(viewer)[-1])
    assert widget.css.isHidden()
    measured.choose_layer(raw)
    assert not widget.css.isHidden()
    widget.paint()
    widget.css.frame_chosen.emit(FRAMES - 1)
    assert len(widget.css.plot.curves["css"].getOriginalDataset()[0]) == FRAMES
    assert widget.css._nearest(10 * FRAMES) == FRAMES - 1


def test_what_is_computed_and_saved_is_the_newest_result_of_the_chosen_movie(viewer, raw, measured, step_of):
    widget = step_of(Denoiser())
    widget.apply.click()
    widget.apply.click()
    other = add_movie(viewer, frames_of(seed=1), name="other")
    measured.choose_layer(other)
    assert widget.result is None
    assert not widget.save.isEnabled()
    widget.apply.click()
    assert "other denoised" in widget.model.text()
    measured.choose_layer(raw)
    assert widget.result.layer is denoised_layers(viewer)[1]
    assert denoised_layers(viewer)[1].name in widget.model.text()
    assert widget.save.isEnabled()


def test_adding_the_result_touches_nothing_of_the_user_s_view(viewer, raw, step_of):
    viewer.layers.selection = {raw}
    show_frame(viewer, raw, 7)
    viewer.scene.camera.zoom = 5.5
    before = (viewer.scene.camera.model_dump(), viewer.dims.point, raw.visible, raw.contrast_limits)
    step_of(Denoiser()).apply.click()
    assert (viewer.scene.camera.model_dump(), viewer.dims.point, raw.visible, raw.contrast_limits) == before
    assert viewer.layers.selection == {raw}


def test_bad_model_files_are_refused_in_words(step_of, tmp_path):
    widget = step_of(Denoiser(), model=None)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    for path in (tmp_path / "model.safetensors", tmp_path / "nothing"):
        widget.load_model(path)
        assert str(path.name) in widget.status.text()
        assert not widget.apply.isEnabled()


def test_a_flat_first_frame_gives_usable_contrast(qtbot, viewer, measured, step_of):
    """Such as a frame that the detector has lost."""
    data = frames_of()
    data[0] = 7
    layer = add_movie(viewer, data, name="lost")
    measured.choose_layer(layer)
    widget = step_of(Denoiser())
    show_frame(viewer, layer, 0)
    widget.apply.click()
    qtbot.waitUntil(lambda: widget.result.contrast_set, timeout=MS)
    low, high = widget.result.layer.contrast_limits
    assert low < high
    assert isinstance(widget.result.movie, Movie)


def test_a_saturated_first_frame_gives_usable_contrast(qtbot, step_of):
    """Such as that of a model of another movie."""
    denoiser = Denoiser()
    denoiser.frame = lambda index: np.ones((ROWS, COLUMNS), np.float32)
    widget = step_of(denoiser)
    widget.start()
    widget.result.denoising.frames.look(0)
    qtbot.waitUntil(lambda: widget.result.contrast_set, timeout=MS)
    assert widget.result.layer.contrast_limits == [0.95, 1.0]
