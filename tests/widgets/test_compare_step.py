"""Comparing in the window: layers, scores and curves of each method as it ends, and what is left when one does not."""

import csv
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from scripted import FRAMES, TIMEOUT_S, add_movie, frames_of

from napari_noise2atom.baselines import METHODS, UnavailableError
from napari_noise2atom.comparison import MethodBegun, MethodProgress
from napari_noise2atom.io import read_movie
from napari_noise2atom.widgets import compare_step as compare_module
from napari_noise2atom.widgets.compare_step import CompareStep
from napari_noise2atom.widgets.dock import WIDTH_PX
from napari_noise2atom.widgets.jobs import State
from napari_noise2atom.widgets.layers import current_frame, show_frame

MS = 1000 * TIMEOUT_S
FAST = ("raw", "gaussian-2d")
REASON = "it needs the package nowhere, which is not there; " * 3 + "install it"
MARGINS_PX = 30
"""Of the dock, with its scroll bar."""


class Waiting:
    """A method that tells its progress until it is told to stop or the gate is opened."""

    title, source, trained, missing = "Waiting", "a test", False, ""

    def __init__(self):
        self.begun, self.gate, self.ended = threading.Event(), threading.Event(), threading.Event()

    def denoise(self, movie, settings, progress):
        try:
            while not self.gate.wait(0.002):
                progress(0.25)
                self.begun.set()
        finally:
            self.ended.set()
        return movie.frames(range(len(movie)))


class Missing(Waiting):
    title = "Missing"

    def denoise(self, movie, settings, progress):
        raise UnavailableError(REASON)


@pytest.fixture
def waiting(monkeypatch):
    method = Waiting()
    monkeypatch.setitem(METHODS, "waiting", method)
    yield method
    method.gate.set()


@pytest.fixture
def step_of(qtbot, viewer, measured):
    made = []

    def make(*names, **more):
        widget = CompareStep(viewer, measured, **more)
        qtbot.addWidget(widget)
        for name, box in widget.boxes.items():
            box.setChecked(name in names)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.close_jobs()
        assert widget.job.wait(TIMEOUT_S), "a thread was left behind"


def until_over(qtbot, widget):
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)


def compared(qtbot, widget):
    widget.start.click()
    until_over(qtbot, widget)
    return widget


def rows_of(table):
    texts = [[table.item(row, column) for column in range(table.columnCount())] for row in range(table.rowCount())]
    return [[item.text() if item is not None else "" for item in row] for row in texts]


@pytest.mark.parametrize("installed", [False, True])
def test_fast_methods_are_proposed_and_each_says_whose_it_is(qtbot, viewer, measured, monkeypatch, installed):
    spec = object() if installed else None
    monkeypatch.setattr("napari_noise2atom.baselines.method.find_spec", lambda name: spec)
    widget = CompareStep(viewer, measured)
    qtbot.addWidget(widget)
    for name, method in METHODS.items():
        box, there = widget.boxes[name], installed or name != "bm3d"
        assert box.isChecked() is (there and not method.trained)
        assert box.isEnabled() is there
        assert box.toolTip() == method.source if there else "pip install" in box.toolTip()
    assert not widget.present.isEnabled()
    assert widget.start.isEnabled()
    assert not widget.save.isEnabled()


def test_it_is_no_wider_than_the_dock(qtbot, step_of):
    widget = compared(qtbot, step_of(*FAST))
    assert widget.minimumSizeHint().width() < WIDTH_PX - MARGINS_PX


def test_titles_are_not_cut(qtbot, step_of):
    widget = step_of()
    widget.resize(WIDTH_PX - MARGINS_PX, 800)
    widget.table.show()
    widget.show()
    qtbot.waitExposed(widget)
    room = widget.table.columnWidth(0) - widget.table.iconSize().width()
    for title in (widget.present.text(), *(method.title for method in METHODS.values())):
        assert widget.table.fontMetrics().horizontalAdvance(title) < room, title


def test_nothing_is_compared_without_a_method_or_a_movie(step_of, measured):
    widget = step_of()
    assert not widget.start.isEnabled()
    widget.boxes["raw"].setChecked(True)
    assert widget.start.isEnabled()
    measured.choose_layer(None)
    assert not widget.start.isEnabled()


def test_nothing_is_compared_while_a_value_that_is_shown_was_not_taken(step_of):
    widget = step_of("raw")
    widget.form._edits["minutes"].value = "eight"
    assert not widget.start.isEnabled()
    assert "minutes: got 'eight'" in widget.start.toolTip()
    widget.form._edits["minutes"].value = "8"
    assert widget.start.isEnabled()


def test_each_result_is_a_layer_a_row_and_a_curve(qtbot, viewer, raw, step_of):
    viewer.layers.selection = {raw}
    widget = compared(qtbot, step_of(*FAST))
    assert [layer.name for layer in viewer.layers] == ["film", "film Raw", "film Gaussian 2-D"]
    for layer in list(viewer.layers)[1:]:
        assert layer.data.dtype == np.float32
        np.testing.assert_allclose(layer.scale, raw.scale)
        np.testing.assert_allclose(layer.translate, raw.translate)
        assert layer.units == raw.units
    shown = viewer.layers["film Gaussian 2-D"]
    low, high = shown.contrast_limits
    assert shown.data.min() <= low < shown.data.mean() < high <= shown.data.max(), "in grey values of its own"
    assert [layer.visible for layer in viewer.layers] == [True, False, True], "the newest one"
    assert viewer.layers.selection == {raw}
    recipe = shown.metadata["noise2atom"]["recipe"]
    assert recipe["method"] == "gaussian-2d"
    assert recipe["settings"]["filter_px"] == 2

    (of_raw, of_blurred), (first, second) = rows_of(widget.table), widget.results
    assert of_raw[0] == "Raw"
    assert of_raw[1] == of_raw[2], "CSS of the raw movie, and raw CSS"
    assert of_blurred[:2] == ["Gaussian 2-D", f"{second.scores.summary['css']:.3f}"]
    assert float(of_blurred[4]) >= 0
    assert list(widget.plot.plot.curves) == ["Raw", "Gaussian 2-D"]
    for result in (first, second):
        numbers, css = widget.plot.plot.curves[result.title].getData()
        assert numbers.tolist() == list(range(FRAMES))
        np.testing.assert_array_equal(css, result.scores.columns["css"])
    pens = [curve.opts["pen"] for curve in widget.plot.plot.curves.values()]
    assert pens[0] != pens[1]
    assert not widget.table.item(0, 0).icon().isNull()
    assert widget.progress.format() == "2 of 2 methods have a result"


def test_all_curves_have_pens_of_their_own(step_of):
    widget = step_of()
    plot = widget.plot
    plot.show_movie(3, ())
    pens = [plot.add(title, np.ones(3)) for title in (*METHODS, widget.present.text())]
    assert len({(pen.color().name(), pen.style()) for pen in pens}) == len(pens)


def test_the_cursor_is_the_slider(qtbot, viewer, raw, step_of):
    widget = compared(qtbot, step_of("raw"))
    widget.plot.frame_chosen.emit(3)
    assert current_frame(viewer, raw) == 3
    show_frame(viewer, raw, 5)
    qtbot.waitUntil(lambda: widget.plot.cursor_line.value() == 5, timeout=MS)


def test_side_by_side_no_result_is_hidden(qtbot, viewer, step_of):
    viewer.canvas.grid.enabled = True
    compared(qtbot, step_of(*FAST))
    assert all(layer.visible for layer in viewer.layers)


def test_a_method_that_fails_says_why_and_the_next_one_follows(qtbot, viewer, monkeypatch, step_of):
    monkeypatch.setitem(METHODS, "raw", Missing())
    widget = compared(qtbot, step_of(*FAST))
    failed, done = rows_of(widget.table)
    assert failed[:2] == ["Missing", REASON]
    assert widget.table.rowHeight(0) > 2 * widget.table.rowHeight(1), "all of it can be read"
    assert widget.table.minimumSizeHint().width() < WIDTH_PX - MARGINS_PX
    assert widget.table.columnSpan(0, 1) == widget.table.columnCount() - 1
    assert done[0] == "Gaussian 2-D"
    assert done[4]
    assert [layer.name for layer in viewer.layers] == ["film", "film Gaussian 2-D"]
    assert widget.progress.format() == "1 of 2 methods have a result"


def test_stop_ends_a_method_and_keeps_the_results(qtbot, viewer, step_of, waiting):
    widget = step_of("raw", "waiting")
    widget.start.click()
    assert not widget.start.isEnabled()
    qtbot.waitUntil(lambda: widget.progress.format().startswith("Waiting, 2 of 2: 25%, "), timeout=MS)
    assert "film Raw" in viewer.layers, "while the next method runs"
    assert not widget.save.isEnabled()
    widget.stop.click()
    assert not widget.stop.isEnabled()
    until_over(qtbot, widget)
    assert waiting.ended.is_set()
    assert rows_of(widget.table)[1][:2] == ["Waiting", "it was stopped"]
    assert [result.name for result in widget.results] == ["raw"]
    assert widget.start.isEnabled()
    assert widget.save.isEnabled()


def test_a_movie_that_cannot_be_compared_is_said(qtbot, viewer, measured, step_of):
    with qtbot.waitSignal(measured.settings_changed, timeout=MS):
        measured.choose_layer(add_movie(viewer, np.zeros((4, 20, 20), np.uint8), name="blank"))
    widget = compared(qtbot, step_of("raw"))
    assert widget.progress.format() == "failed"
    assert widget.status.text()
    assert widget.start.isEnabled()
    assert not widget.save.isEnabled()


def test_the_present_model_joins_in_with_the_settings_of_the_run(qtbot, measured, step_of):
    calls = []

    def run(movie, methods, settings, *, models):
        calls.append((movie, methods, settings, models))
        yield MethodBegun("raw", "Raw", 1, 1)
        yield MethodProgress("raw", 0.0, 0.0)

    model = SimpleNamespace(provenance={"movie": "film"}, doubts=lambda movie: ())
    measured.change("run", measured.settings.run.model_copy(update={"threads": 3, "seed": 7}))
    widget = step_of(run=run)
    assert not widget.start.isEnabled()
    measured.use_model(model, "of a test")
    assert widget.present.toolTip() == "Model of a test."
    compared(qtbot, widget)
    ((movie, methods, settings, models),) = calls
    assert movie is measured.movie
    assert methods == []
    assert (settings.threads, settings.seed, settings.device) == (3, 7, measured.settings.run.device)
    assert list(models.values()) == [model]
    widget.present.setChecked(False)
    widget.boxes["raw"].setChecked(True)
    compared(qtbot, widget)
    assert calls[1][3] == {}


def test_a_second_comparison_keeps_the_layers_of_the_first(qtbot, viewer, step_of):
    widget = compared(qtbot, step_of(*FAST))
    widget.boxes["raw"].setChecked(False)
    compared(qtbot, widget)
    assert len(viewer.layers) == 4
    assert [row[0] for row in rows_of(widget.table)] == ["Gaussian 2-D"]
    assert list(widget.plot.plot.curves) == ["Gaussian 2-D"]
    assert len(widget.results) == 1


def test_layers_may_be_removed_and_movies_changed_meanwhile(qtbot, viewer, measured, step_of, waiting):
    widget = step_of("raw", "waiting")
    widget.start.click()
    qtbot.waitUntil(lambda: "film Raw" in viewer.layers, timeout=MS)
    viewer.layers.clear()
    measured.choose_layer(add_movie(viewer, frames_of(3), name="other"))
    waiting.gate.set()
    until_over(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["other", "film Waiting"]
    assert [result.name for result in widget.results] == ["raw", "waiting"]
    widget.plot.frame_chosen.emit(3)
    qtbot.wait(100)


def test_the_folder_is_that_of_the_command_line(qtbot, step_of, tmp_path, monkeypatch):
    widget = compared(qtbot, step_of(*FAST))
    folder, proposed = tmp_path / "here" / "results", []

    def answer(parent, title, name):
        proposed.append(name)
        return str(folder), ""

    monkeypatch.setattr(compare_module.QFileDialog, "getSaveFileName", answer)
    widget.save.click()
    qtbot.waitUntil(lambda: widget.progress.format() in ("saved", "failed"), timeout=MS)
    assert proposed == ["film compared"]
    assert widget.status.text() == f"Saved {folder}."
    left = {path.name for path in folder.iterdir()}
    assert left == {"raw.tif", "gaussian-2d.tif", "scores.csv", "css.csv", "compare.png"}
    with (folder / "scores.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == list(FAST)
    np.testing.assert_array_equal(read_movie(folder / "gaussian-2d.tif").frame(3), widget.results[1].movie.frame(3))
    assert widget.save.isEnabled()


def test_no_folder_is_written_into_that_is_there(qtbot, step_of, tmp_path):
    widget = compared(qtbot, step_of("raw"))
    (tmp_path / "raw.tif").write_text("the user's own")
    widget.save_as(tmp_path)
    qtbot.waitUntil(lambda: widget.progress.format() in ("saved", "failed"), timeout=MS)
    assert "is there already" in widget.status.text()
    assert (tmp_path / "raw.tif").read_text() == "the user's own"
    assert widget.save.isEnabled()


def test_a_closed_step_ends_its_comparison(qtbot, step_of, waiting):
    widget = step_of("waiting")
    widget.start.click()
    assert waiting.begun.wait(TIMEOUT_S)
    widget.close_jobs()
    assert waiting.ended.wait(TIMEOUT_S)
    assert widget.job.wait(TIMEOUT_S)
