"""Atoms, noise test and residual: what is shown and saved, and that nothing waits for them."""

import csv
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Points, Tracks
from scipy.ndimage import gaussian_filter
from scripted import COLUMNS, FRAMES, ROWS, TIMEOUT_S, add_movie, frames_of

from napari_noise2atom.io import lazy_frames
from napari_noise2atom.settings import preset
from napari_noise2atom.simulate.clean import lost_width_px
from napari_noise2atom.trust import NULLS
from napari_noise2atom.widgets import files
from napari_noise2atom.widgets.layers import current_frame, show_frame
from napari_noise2atom.widgets.trust_step import TrustStep

MS = 1000 * TIMEOUT_S
MODEL = SimpleNamespace(settings=preset("compact"), provenance={"movie": "film"}, doubts=lambda movie: ())


class Smoothing:
    """Denoises when it is let, by smoothing; of two atoms in the movie, one flashes."""

    def __init__(self, open_=True, error=None):
        self.gate, self.begun, self.error, self.call = threading.Event(), threading.Event(), error, None
        if open_:
            self.gate.set()

    def __call__(self, movie, model, device, threads):
        self.call = (model, device, threads)
        if self.error is not None:
            raise self.error

        def read(index):
            self.begun.set()
            assert self.gate.wait(TIMEOUT_S)
            return np.clip(gaussian_filter(movie.frame(index), 1) / 100 - 0.4, 0, 1)

        return movie.with_data(lazy_frames(read, movie.shape, np.float32, "smooth"))


@pytest.fixture
def atomic(viewer, measured, qtbot):
    """A movie in the workspace with two atoms, one of which is there in frame 3 only."""
    frames = frames_of().astype(np.float32)
    rows, columns = np.indices((ROWS, COLUMNS))
    frames += 150 * np.exp(-((rows - 10) ** 2 + (columns - 12.4) ** 2) / 8)
    frames[3] += 150 * np.exp(-((rows - 30) ** 2 + (columns - 35) ** 2) / 8)
    layer = add_movie(viewer, frames, name="atomic")
    with qtbot.waitSignal(measured.settings_changed, timeout=MS):
        measured.choose_layer(layer)
    return layer


@pytest.fixture
def step_of(qtbot, viewer, measured, atomic):
    made = []

    def make(apply, model=MODEL):
        if model is not None:
            measured.use_model(model, "of a test")
        widget = TrustStep(viewer, measured, apply)
        qtbot.addWidget(widget)
        made.append((widget, apply))
        return widget

    yield make
    for widget, apply in made:
        widget.close_jobs()
        apply.gate.set()


def layers_of(viewer, kind):
    return [layer for layer in viewer.layers if layer.metadata.get("noise2atom", {}).get("result") == kind]


def until_over(qtbot, widget, end="done"):
    qtbot.waitUntil(lambda: widget.progress.format() in ("done", "failed"), timeout=MS)
    assert widget.progress.format() == end, widget.status.text()


def found(qtbot, widget):
    widget.locate.click()
    until_over(qtbot, widget)
    return widget


def test_nothing_can_be_done_without_a_model(step_of, measured):
    widget = step_of(Smoothing(), model=None)
    buttons = (widget.locate, widget.test, widget.residual, widget.save, widget.cancel)
    assert not any(button.isEnabled() for button in buttons)
    measured.use_model(MODEL, "of a test")
    assert [button.isEnabled() for button in buttons] == [True, True, True, False, False]


def test_atoms_lie_on_the_movie_and_know_how_sure_they_are(qtbot, viewer, atomic, step_of):
    viewer.layers.selection = {atomic}
    widget = found(qtbot, step_of(Smoothing()))
    (points,), (tracks,) = layers_of(viewer, "atoms"), layers_of(viewer, "tracks")
    assert isinstance(points, Points)
    assert isinstance(tracks, Tracks)
    for layer in (points, tracks):
        np.testing.assert_allclose(layer.scale, atomic.scale)
        np.testing.assert_allclose(layer.translate, atomic.translate)
        assert layer.units == atomic.units
    assert len(points.data) == FRAMES + 1
    steady = points.data[:, 2] < 20
    np.testing.assert_allclose(points.data[steady, 1:].mean(axis=0), (10, 12.4), atol=0.2)
    assert list(points.features) == ["frame", "intensity", "confidence", "track"]
    assert (points.features["confidence"][steady] == 1).all()
    assert points.features["confidence"][~steady].tolist() == [0.6]
    assert not np.allclose(points.face_color[steady][0], points.face_color[~steady][0]), "coloured by confidence"
    assert len(tracks.data) == FRAMES, "an atom of one frame has no trajectory to draw"
    assert "1.1 atoms a frame on 2 trajectories" in widget.status.text()
    assert viewer.layers.selection == {atomic}


def test_the_plot_counts_atoms_and_jumps(qtbot, viewer, atomic, step_of):
    widget = found(qtbot, step_of(Smoothing()))
    numbers, counts = widget.plot.plot.curves["movie"].getOriginalDataset()
    assert numbers.tolist() == list(range(FRAMES))
    assert counts.tolist() == [1, 1, 1, 2] + [1] * (FRAMES - 4)
    widget.plot.frame_chosen.emit(3)
    assert current_frame(viewer, atomic) == 3
    show_frame(viewer, atomic, 5)
    qtbot.waitUntil(lambda: widget.plot.cursor_line.value() == 5, timeout=MS)


def test_the_noise_test_stands_beside_the_movie(qtbot, step_of):
    widget = step_of(Smoothing())
    widget.test.click()
    until_over(qtbot, widget)
    assert "in frames of noise alone" in widget.status.text()
    for name in ("movie", *NULLS):
        assert len(widget.plot.plot.curves[name].getOriginalDataset()[0]) == FRAMES
    assert not widget.plot.isHidden()


def test_curves_of_another_movie_are_not_kept(qtbot, viewer, measured, step_of):
    widget = step_of(Smoothing())
    widget.test.click()
    until_over(qtbot, widget)
    with qtbot.waitSignal(measured.settings_changed, timeout=MS):
        measured.choose_layer(add_movie(viewer, frames_of(3), name="other"))
    widget.progress.setFormat("")
    found(qtbot, widget)
    assert widget.plot.plot.curves["noise model"].getOriginalDataset()[0] is None


def test_the_residual_is_a_layer_that_is_computed_as_one_looks(qtbot, viewer, atomic, step_of):
    smoothing = Smoothing()
    widget = step_of(smoothing)
    widget.residual.click()
    until_over(qtbot, widget)
    (layer,) = layers_of(viewer, "residual")
    np.testing.assert_allclose(layer.scale, atomic.scale)
    assert "those of the detector's noise alone" in widget.status.text()
    assert not widget.picture.isHidden()
    show_frame(viewer, atomic, 7)
    qtbot.waitUntil(lambda: np.asarray(layer._slice.image.raw).any(), timeout=MS)
    shown = np.asarray(layer._slice.image.raw)
    smooth = smoothing(widget._workspace.movie, MODEL, "cpu", 1).frame(7)
    smooth = gaussian_filter(smooth, lost_width_px(MODEL.settings.simulation))
    # raw minus gain × denoised minus offset, with one gain and offset for the movie
    taken = atomic.data[7] - shown
    assert np.corrcoef(taken.ravel(), smooth.ravel())[0, 1] == pytest.approx(1, abs=1e-4)


def test_the_table_is_saved(qtbot, step_of, tmp_path, monkeypatch):
    widget = found(qtbot, step_of(Smoothing()))
    proposed = []

    def answer(parent, title, name, kinds):
        proposed.append(name)
        return str(tmp_path / "table"), kinds

    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", answer)
    widget.progress.setFormat("")
    widget.save.click()
    until_over(qtbot, widget)
    assert proposed == ["atomic atoms.csv"]
    assert widget.status.text() == f"Saved {tmp_path / 'table.csv'}."
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES + 1
    assert float(rows[0]["x_nm"]) == pytest.approx(0.03 * 12.4, abs=0.01)


def test_a_folder_that_is_not_there_is_said(qtbot, step_of, tmp_path):
    widget = found(qtbot, step_of(Smoothing()))
    widget.progress.setFormat("")
    widget.save_as(tmp_path / "nowhere" / "table.csv")
    until_over(qtbot, widget, "failed")
    assert "nowhere" in widget.status.text()
    assert widget.save.isEnabled()


@pytest.mark.parametrize("button", ["locate", "test", "residual"])
def test_work_can_be_cancelled(qtbot, viewer, step_of, button):
    smoothing = Smoothing(open_=False)
    widget, layers = step_of(smoothing), len(viewer.layers)
    getattr(widget, button).click()
    assert smoothing.begun.wait(TIMEOUT_S), "it began, in the background"
    assert not widget.locate.isEnabled()
    widget.cancel.click()
    smoothing.gate.set()
    assert widget.progress.format() == "cancelled"
    assert widget.locate.isEnabled()
    qtbot.wait(100)
    assert len(viewer.layers) == layers
    assert widget.atoms is None


def test_progress_is_told(qtbot, step_of):
    widget, told = step_of(Smoothing()), []
    widget._job.progress.connect(lambda *numbers: told.append(numbers))
    found(qtbot, widget)
    assert all(0 < number <= total == FRAMES for number, total in told)


@pytest.mark.parametrize("error", [ValueError("the device cuda is not there"), RuntimeError("CUDA out of memory")])
def test_errors_are_words(qtbot, viewer, step_of, error):
    widget = step_of(Smoothing(error=error))
    widget.locate.click()
    until_over(qtbot, widget, "failed")
    assert str(error) in widget.status.text()
    assert widget.locate.isEnabled()
    assert not layers_of(viewer, "atoms")


def test_no_atoms_make_no_layer(qtbot, viewer, step_of):
    smoothing = Smoothing()
    blank = lambda movie, *more: movie.with_data(np.zeros(movie.shape, np.float32))  # noqa: E731
    blank.gate = smoothing.gate
    widget = found(qtbot, step_of(blank))
    assert "No atoms were found" in widget.status.text()
    assert not layers_of(viewer, "atoms")
    assert widget.save.isEnabled()


def test_results_belong_to_the_movie_on_which_they_began(qtbot, viewer, measured, atomic, step_of):
    smoothing = Smoothing(open_=False)
    widget = step_of(smoothing)
    widget.locate.click()
    assert smoothing.begun.wait(TIMEOUT_S)
    measured.choose_layer(add_movie(viewer, frames_of(3), name="other"))
    smoothing.gate.set()
    until_over(qtbot, widget)
    (points,) = layers_of(viewer, "atoms")
    assert points.name == "atomic atoms"
    assert len(points.data) == FRAMES + 1


def test_the_movie_may_be_removed(qtbot, viewer, step_of):
    widget = found(qtbot, step_of(Smoothing()))
    viewer.layers.clear()
    widget.plot.frame_chosen.emit(3)
    qtbot.wait(100)
    assert widget.save.isEnabled()
