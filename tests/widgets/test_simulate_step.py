"""Simulated crops beside the movie's own: newest settings only, however fast they are edited."""

import threading

import numpy as np
import pytest
from scripted import TIMEOUT_S, add_movie, frames_of

from napari_noise2atom.widgets import simulate_step as simulate_module
from napari_noise2atom.widgets.simulate_step import CLEAN, NOISY, REAL, SimulateStep

MS = 1000 * TIMEOUT_S


@pytest.fixture
def step(qtbot, measured):
    made = SimulateStep(measured)
    qtbot.addWidget(made)
    made._timer.setInterval(20)
    yield made
    made.close_jobs()


def pictures(step):
    return {title: picture.pixmap() for title, picture in step.pictures.pictures.items()}


def has_pictures(step):
    return all(not pixmap.isNull() for pixmap in pictures(step).values())


def test_pictures_come_without_being_asked_for(qtbot, step, measured):
    assert set(pictures(step)) == {CLEAN, NOISY, REAL}
    measured.settings_changed.emit()
    qtbot.waitUntil(lambda: has_pictures(step), timeout=MS)
    assert step.problem.isHidden()


def test_another_crop_is_another_one(qtbot, step):
    with qtbot.waitSignal(step._job.done, timeout=MS) as first:
        step.another.click()
    with qtbot.waitSignal(step._job.done, timeout=MS) as second:
        step.another.click()
    for title in (CLEAN, NOISY):
        assert not np.array_equal(first.args[0][title], second.args[0][title])
    assert all(np.isfinite(crop).all() for crop in second.args[0].values())
    assert len({crop.shape for crop in second.args[0].values()}) == 1


def test_many_edits_are_one_computation_of_the_newest(qtbot, step, measured, monkeypatch):
    asked = []

    def crops(movie, settings, seed, wanted):
        asked.append(settings.scene.atom_peak_e)
        return {title: np.eye(8, dtype=np.float32) for title in (CLEAN, NOISY, REAL)}

    monkeypatch.setattr(simulate_module, "_crops", crops)
    with qtbot.waitSignal(step._job.done, timeout=MS):
        for number in range(1, 21):
            scene = measured.settings.scene.model_copy(update={"atom_peak_e": float(number)})
            measured.change("scene", scene)
    assert asked == [20.0]


def test_an_outdated_computation_shows_nothing(qtbot, step, monkeypatch):
    gate, shown, begun = threading.Event(), [], threading.Event()
    monkeypatch.setattr(step, "_show", lambda crops: shown.append(crops))

    def crops(movie, settings, seed, wanted):
        if seed == 1:
            begun.set()
            assert gate.wait(TIMEOUT_S)
        return seed

    monkeypatch.setattr(simulate_module, "_crops", crops)
    step._job.done.disconnect()
    step._job.done.connect(shown.append)
    step.another.click()
    assert begun.wait(TIMEOUT_S)
    step.another.click()
    qtbot.waitUntil(lambda: shown == [2], timeout=MS)
    gate.set()
    with qtbot.waitSignal(step._job.done, timeout=MS):
        step.another.click()
    assert shown == [2, 3]


def test_an_error_is_said_and_goes_away(qtbot, step, monkeypatch):
    def refuse(*given):
        raise ValueError("crop_px 512 exceeds the frame")

    with monkeypatch.context() as patch:
        patch.setattr(simulate_module, "_crops", refuse)
        step.another.click()
        qtbot.waitUntil(lambda: not step.problem.isHidden(), timeout=MS)
        assert step.problem.text() == "crop_px 512 exceeds the frame"
    step.another.click()
    qtbot.waitUntil(lambda: step.problem.isHidden(), timeout=MS)


def test_a_movie_without_a_single_usable_frame_is_no_error(qtbot, viewer, workspace):
    step = SimulateStep(workspace)
    qtbot.addWidget(step)
    workspace.choose_layer(add_movie(viewer, np.full((4, 40, 40), np.nan, np.float32)))
    workspace._measuring.cancel()
    with qtbot.waitSignal(step._job.failed, timeout=MS) as failed:
        step.another.click()
    assert "no usable frame" in failed.args[0]
    step.close_jobs()


def test_closing_wants_no_more_pictures(qtbot, step, measured):
    measured.settings_changed.emit()
    step.close_jobs()
    assert not step._timer.isActive()
    assert not step._job.busy


@pytest.mark.parametrize(("frame", "side"), [((24, 40), 24), ((150, 140), 128)])
def test_so_much_is_simulated_that_one_sees_how_dense_atoms_are(qtbot, viewer, step, measured, frame, side):
    measured.choose_layer(add_movie(viewer, frames_of(shape=(6, *frame))))
    with qtbot.waitSignal(step._job.done, timeout=MS) as done:
        step.another.click()
    assert {crop.shape for crop in done.args[0].values()} == {(side, side)}
