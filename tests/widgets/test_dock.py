"""The dock in a real window: it opens by its name, and however it is closed its work ends and nothing listens on."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from scripted import TIMEOUT_S, Script, add_movie, frames_of, step

from napari_noise2atom.comparison import MethodProgress
from napari_noise2atom.events import Command
from napari_noise2atom.widgets import workspace as workspace_module
from napari_noise2atom.widgets.dock import Noise2AtomDock
from napari_noise2atom.widgets.jobs import State

MS = 1000 * TIMEOUT_S


def open_dock(viewer):
    return viewer.window.add_plugin_dock_widget("napari-noise2atom", "Noise2Atom")


def listeners(viewer):
    events = (viewer.layers.events, viewer.dims.events)
    return {(number, name): len(group[name].callbacks) for number, group in enumerate(events) for name in group}


def delete_what_is_to_be_deleted():
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def train(qtbot, dock, script):
    qtbot.waitUntil(dock.train.start.isEnabled, timeout=MS)
    dock.train._train = script
    with qtbot.waitSignal(dock.train.job.told, timeout=MS):
        dock.train.start.click()


def test_the_dock_opens_once(qtbot, window):
    frame, dock = open_dock(window)
    assert isinstance(dock, Noise2AtomDock)
    assert open_dock(window) == (frame, dock)
    assert dock.workspace.layer == window.layers["film"]
    titles = [section.header.text() for section in dock.sections]
    assert titles == ["1  Movie", "2  Simulate", "3  Train", "4  Denoise", "5  Trust", "6  Compare"]


def test_views_wait_for_a_movie(window):
    window.layers.clear()
    _, dock = open_dock(window)
    views = (dock.side_by_side, dock.flip, dock.difference)
    assert not any(button.isEnabled() for button in views)
    add_movie(window)
    assert all(button.isEnabled() for button in views)
    window.layers.clear()
    assert not any(button.isEnabled() for button in views)


def close_by_button(viewer, frame):
    frame.title.close_button.click()


def close_by_window(viewer, frame):
    viewer.window.remove_dock_widget(frame)


def close_all(viewer, frame):
    viewer.window.remove_dock_widget("all")


@pytest.mark.parametrize(
    ("close", "paused"),
    [(close_by_button, False), (close_by_button, True), (close_by_window, False), (close_all, False)],
)
def test_a_closed_dock_ends_its_work_and_lets_go_of_the_viewer(qtbot, window, close, paused):
    before = listeners(window)
    frame, dock = open_dock(window)
    gone, script, over = [], Script(endless=True), dock.train.job.wait
    dock.destroyed.connect(lambda: gone.append(True))
    train(qtbot, dock, script)
    if paused:
        dock.train.pause.click()
    assert listeners(window) != before
    close(window, frame)
    qtbot.waitUntil(script.closed.is_set, timeout=MS)
    assert over(TIMEOUT_S)
    delete_what_is_to_be_deleted()
    assert gone, "a closed dock must not be kept"
    assert listeners(window) == before
    # nothing may be called on what is gone
    window.add_image(np.zeros((4, 4)))
    window.layers.remove("film")
    assert isinstance(open_dock(window)[1], Noise2AtomDock)


def compare_endlessly(qtbot, dock):
    """Begin a comparison that ends when it is told; return an event that says so."""
    closed = threading.Event()

    def run(*args, **options):
        command = None
        try:
            while command is not Command.STOP:
                closed.wait(0.002)
                command = yield MethodProgress("endless", 0.5, 1.0)
        finally:
            closed.set()

    qtbot.waitUntil(dock.compare.start.isEnabled, timeout=MS)
    dock.compare._run = run
    with qtbot.waitSignal(dock.compare.job.told, timeout=MS):
        dock.compare.start.click()
    return closed


def test_a_closed_dock_ends_its_comparison(qtbot, window):
    frame, dock = open_dock(window)
    closed, over = compare_endlessly(qtbot, dock), dock.compare.job.wait
    close_by_button(window, frame)
    qtbot.waitUntil(closed.is_set, timeout=MS)
    assert over(TIMEOUT_S)


def test_closing_the_window_ends_the_comparison(qtbot, window):
    _, dock = open_dock(window)
    closed, over = compare_endlessly(qtbot, dock), dock.compare.job.wait
    window.close()
    delete_what_is_to_be_deleted()
    assert closed.wait(TIMEOUT_S)
    assert over(TIMEOUT_S)


@pytest.mark.parametrize("paused", [False, True])
def test_closing_the_window_ends_the_training(qtbot, window, paused):
    _, dock = open_dock(window)
    script, over = Script(endless=True), dock.train.job.wait
    train(qtbot, dock, script)
    if paused:
        dock.train.pause.click()
    window.close()
    delete_what_is_to_be_deleted()
    assert script.closed.wait(TIMEOUT_S), "also the generator's end must run: it keeps the best model"
    assert over(TIMEOUT_S)


def test_a_closed_dock_gives_the_user_s_view_back(qtbot, window):
    frame, dock = open_dock(window)
    window.add_image(frames_of(1), name="truth", scale=window.layers["film"].scale)
    dock.side_by_side.click()
    assert window.canvas.grid.enabled
    close_by_button(window, frame)
    qtbot.waitUntil(lambda: not window.canvas.grid.enabled, timeout=MS)


def test_a_dock_may_be_closed_while_the_movie_is_measured(qtbot, window, monkeypatch):
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def measure(movie, wanted):
        begun.set()
        assert gate.wait(TIMEOUT_S)
        try:
            wanted(1, 2)
        finally:
            ended.set()

    monkeypatch.setattr(workspace_module, "_measure", measure)
    frame, _ = open_dock(window)
    assert begun.wait(TIMEOUT_S)
    close_by_button(window, frame)
    delete_what_is_to_be_deleted()
    gate.set()
    assert ended.wait(TIMEOUT_S)


def test_hiding_or_floating_the_dock_ends_nothing(qtbot, window):
    frame, dock = open_dock(window)
    script = Script(endless=True)
    train(qtbot, dock, script)
    frame.title.hide_button.click()
    frame.show()
    frame.setFloating(True)
    frame.setFloating(False)
    delete_what_is_to_be_deleted()
    assert dock.train.job.state is State.RUNNING
    assert not script.closed.is_set()
    dock.train.job.stop()
    assert script.closed.wait(TIMEOUT_S)


def test_the_fourth_step_unfolds_when_there_is_a_model(qtbot, window):
    _, dock = open_dock(window)
    last = dock.sections[3]
    assert not last.header.isChecked()
    train(qtbot, dock, Script(step(), model="trained"))
    qtbot.waitUntil(lambda: dock.train.job.state is State.IDLE, timeout=MS)
    assert last.header.isChecked()
    assert dock.workspace.model == "trained"


def test_side_by_side_needs_something_beside(qtbot, window):
    _, dock = open_dock(window)
    dock.side_by_side.click()
    assert not dock.side_by_side.isChecked()
    assert not dock.back.isEnabled()
    add_movie(window, frames_of(3), name="truth")
    dock.side_by_side.click()
    assert window.canvas.grid.enabled
    assert dock.side_by_side.isChecked()
    dock.back.click()
    assert not window.canvas.grid.enabled
    assert not dock.side_by_side.isChecked()
