"""A training as the window shows it, told by a script: buttons, curves, previews, alarms, ends."""

import threading
from pathlib import Path

import numpy as np
import pytest
from scripted import COLUMNS, FRAMES, ROWS, TIMEOUT_S, Script, add_movie, finished, frames_of, preview, started, step

from napari_noise2atom.events import Alarm, Checkpointed, Command, Paused, Score, Started, Step
from napari_noise2atom.settings import Settings, preset
from napari_noise2atom.widgets import train_step as train_module
from napari_noise2atom.widgets.form import SettingsForm
from napari_noise2atom.widgets.jobs import State
from napari_noise2atom.widgets.layers import show_frame
from napari_noise2atom.widgets.train_step import MOST_PREVIEWS, TrainStep

MS = 1000 * TIMEOUT_S


@pytest.fixture
def step_of(qtbot, viewer, measured):
    """Make the widget with a script for a training."""
    made = []

    def make(*parts, **more):
        widget = TrainStep(viewer, measured, Script(*parts, **more))
        widget.script = widget._train
        qtbot.addWidget(widget)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.close_jobs()
        widget.script.release()
        assert widget.job.wait(TIMEOUT_S)


def run(qtbot, widget):
    """Train to the end."""
    widget.start.click()
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)


def enabled(widget):
    return {name for name in ("start", "pause", "stop", "resume", "history") if getattr(widget, name).isEnabled()}


def previews_of(viewer):
    return [layer for layer in viewer.layers if layer.metadata.get("noise2atom", {}).get("result") == "preview"]


def test_nothing_can_be_started_before_there_is_a_movie(qtbot, viewer, workspace):
    widget = TrainStep(viewer, workspace, Script())
    qtbot.addWidget(widget)
    assert enabled(widget) == set()
    widget.start_run()
    assert widget.job.state is State.IDLE


def test_the_state_decides_every_button(qtbot, step_of):
    widget = step_of(endless=True)
    assert enabled(widget) == {"start", "resume"}
    widget.start.click()
    assert enabled(widget) == {"pause", "stop"}
    assert widget.pause.text() == "Pause"
    widget.pause.click()
    assert enabled(widget) == {"pause", "stop"}
    assert widget.pause.text() == "Continue"
    widget.pause.click()
    assert widget.pause.text() == "Pause"
    widget.stop.click()
    assert enabled(widget) == set()
    assert "Stopping" in widget.status.text()
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)
    assert enabled(widget) == {"start", "resume"}


def test_the_training_gets_movie_settings_and_a_new_folder(qtbot, step_of, measured, tmp_path):
    widget = step_of()
    measured.change("run", measured.settings.run.model_copy(update={"seed": 42}))
    run(qtbot, widget)
    (movie, settings), options = widget.script.call
    assert movie is measured.movie
    assert isinstance(settings, Settings)
    assert settings.run.seed == 42
    assert (options["run"], options["resume"]) == (tmp_path / "film noise2atom" / "run 1", False)
    options["run"].mkdir(parents=True)
    run(qtbot, widget)
    assert widget.script.call[1]["run"].name == "run 2"


def test_nothing_is_trained_while_a_value_that_is_shown_was_not_taken(step_of):
    widget = step_of()
    form = next(form for form in widget.findChildren(SettingsForm) if "max_minutes" in form._edits)
    form._edits["max_minutes"].value = "1,000"
    assert enabled(widget) == set()
    assert widget.refused.text().startswith("max minutes: got '1,000'.")
    assert not widget.refused.isHidden()
    form._edits["max_minutes"].value = "0,1"
    assert enabled(widget) == {"start", "resume"}
    assert widget.refused.isHidden()
    assert widget._workspace.settings.run.max_minutes == 0.1


def test_the_model_is_handed_on_and_the_end_is_said(qtbot, step_of, measured):
    widget = step_of(started(), step(40), finished("time is up"), model="the model")
    with qtbot.waitSignal(measured.model_changed, timeout=MS):
        widget.start.click()
    assert (measured.model, measured.model_name) == ("the model", "trained on film")
    assert "time is up" in widget.status.text()
    assert "step 80" in widget.status.text()
    assert str(widget.run_folder) in widget.status.text()
    assert widget.progress.value() == widget.progress.maximum()


def test_progress_is_said_with_the_time_left(qtbot, step_of):
    gate = threading.Event()
    widget = step_of(started(), step(25, 100), gate)
    widget.start.click()
    qtbot.waitUntil(lambda: widget.progress.value() == 25, timeout=MS)
    assert widget.progress.maximum() == 100
    assert widget.progress.format() == "cycle: step 25 of 100"
    assert "left" in widget.status.text()
    gate.set()


def test_with_a_limit_of_time_progress_is_that_of_time(qtbot, step_of):
    gate, limited = threading.Event(), preset("compact").run.model_copy(update={"max_minutes": 1.0})
    begun = Started(preset("compact").model_copy(update={"run": limited}), "cpu", 8000)
    widget = step_of(begun, Step("warm start", 11, 8000, {"pairs": 0.1}, 45.0, 15.0), gate)
    widget.start.click()
    qtbot.waitUntil(lambda: widget.progress.value() == 75, timeout=MS)
    assert widget.progress.maximum() == 100
    assert widget.progress.format() == "warm start: step 11, 75%"
    gate.set()


def test_a_pause_is_said_even_if_a_step_has_just_been_told(qtbot, step_of):
    widget = step_of(endless=True)
    widget.start.click()
    with qtbot.waitSignal(widget.job.told, timeout=MS, check_params_cb=lambda event: isinstance(event, Paused)):
        widget.pause.click()
    widget.paint()
    assert widget.status.text().startswith("Paused after step")


def test_losses_and_scores_become_curves(qtbot, step_of):
    widget = step_of(
        *(step(n, cycle=1 / n, critic=-n, **{"low-frequency cycle": 2 / n, "odd": 7.0}) for n in (1, 2, 4)),
        step(5, cycle=float("nan"), critic=0.0),
        Score(4, {"css": 0.8, "raw css": 0.1, "quality": 1.0}, best=True),
    )
    run(qtbot, widget)
    losses, adversarial, css = (plot.curves for plot in widget.plots.plots)
    np.testing.assert_allclose(losses["cycle"].getOriginalDataset(), ([1, 2, 4], [1, 0.5, 0.25]))
    np.testing.assert_allclose(losses["low-frequency cycle"].getOriginalDataset()[1], [2, 1, 0.5])
    np.testing.assert_allclose(adversarial["critic"].getOriginalDataset(), ([1, 2, 4, 5], [-1, -2, -4, 0]))
    np.testing.assert_allclose(css["css"].getOriginalDataset(), ([4], [0.8]))
    np.testing.assert_allclose(css["raw css"].getOriginalDataset(), ([4], [0.1]))


def test_the_thresholds_of_the_paper_are_drawn(step_of):
    widget = step_of()
    losses = widget.plots.plots[0]
    drawn = sorted(10 ** item.value() for item in losses.getPlotItem().items if hasattr(item, "sigDragged"))
    np.testing.assert_allclose(drawn, [0.05, 0.1])


def test_a_long_run_keeps_bounded_curves(qtbot, step_of):
    widget = step_of()
    for number in range(1, 9001):
        widget.plots.add(step(number))
    steps, values = widget.plots.curves.of("cycle")
    assert len(steps) <= 2000
    assert (steps[0], steps[-1]) == (1, 9000)
    assert (np.diff(steps) > 0).all()
    np.testing.assert_allclose(values, 1 / steps)


def test_previews_are_one_layer_that_is_updated_in_place(qtbot, viewer, raw, step_of):
    gate = threading.Event()
    widget = step_of(preview(10, (3,), 0.25), gate, preview(20, (3, 7), 0.75))
    widget.start.click()
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=MS)
    (layer,) = previews_of(viewer)
    assert (np.asarray(layer.data)[3] == 0.25).all()
    assert np.isnan(np.asarray(layer.data)[7]).all()
    gate.set()
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)
    assert previews_of(viewer) == [layer]
    assert (np.asarray(layer.data)[[3, 7]] == 0.75).all()
    np.testing.assert_array_equal(layer.scale, raw.scale)
    np.testing.assert_array_equal(layer.translate, raw.translate)
    assert (layer.units, layer.axis_labels) == (raw.units, raw.axis_labels)
    assert not widget.pictures.pictures["denoised"].pixmap().isNull()


def test_the_middle_of_a_large_frame_lies_where_it_belongs(qtbot, viewer, step_of):
    widget = step_of(preview(10, (3,), 0.5, (16, 24), (12, 8)))
    run(qtbot, widget)
    (layer,) = previews_of(viewer)
    shown = np.isfinite(np.asarray(layer.data)[3])
    assert shown[12:28, 8:32].all()
    assert shown.sum() == 16 * 24


def test_the_contrast_follows_the_previews_until_the_user_sets_one(qtbot, viewer, step_of):
    first, second, gates = preview(value=0.1), preview(value=0.6), [threading.Event(), threading.Event()]
    widget = step_of(first, gates[0], second, gates[1], second)
    widget.start.click()

    def layer_shows(limits):
        return "film preview" in viewer.layers and np.allclose(viewer.layers["film preview"].contrast_limits, limits)

    qtbot.waitUntil(lambda: layer_shows((0.1, 0.15)), timeout=MS)
    gates[0].set()
    qtbot.waitUntil(lambda: layer_shows((0.6, 0.78)), timeout=MS)
    viewer.layers["film preview"].contrast_limits = (0.2, 0.9)
    gates[1].set()
    qtbot.waitUntil(lambda: len(widget.previews) == 3 and widget._unpainted is None, timeout=MS)
    assert layer_shows((0.2, 0.9))


def test_a_second_run_replaces_no_preview_of_the_first(qtbot, viewer, step_of):
    widget = step_of(preview(value=0.25))
    run(qtbot, widget)
    (first,) = previews_of(viewer)
    widget._train = Script(preview(value=0.75))
    run(qtbot, widget)
    assert len(previews_of(viewer)) == 2
    assert (np.asarray(first.data)[3] == 0.25).all()
    assert widget.plots.curves.of("cycle")[0].size == 0, "curves begin afresh"


def test_the_history_is_a_layer_with_all_previews(qtbot, viewer, raw, step_of):
    widget = step_of(preview(10, (3,), 0.25), preview(20, (5,), 0.75))
    assert not widget.history.isEnabled()
    run(qtbot, widget)
    widget.history.click()
    layer = viewer.layers[-1]
    data = np.asarray(layer.data)
    assert layer.data.shape == (2, FRAMES, ROWS, COLUMNS)
    assert (data[0, 3] == 0.25).all()
    assert (data[1, 5] == 0.75).all()
    assert np.isnan(data[0, 5]).all()
    assert layer.metadata["noise2atom"]["steps"] == [10, 20]
    np.testing.assert_array_equal(layer.scale[1:], raw.scale)


def test_many_previews_need_bounded_memory(qtbot, viewer, step_of):
    widget = step_of(*(preview(number, (number % FRAMES,), shape=(4, 4)) for number in range(1000)))
    run(qtbot, widget)
    assert len(widget.previews) <= MOST_PREVIEWS
    assert (widget.previews[0].step, widget.previews[-1].step) == (0, 999)
    assert len(previews_of(viewer)) == 1
    assert len(previews_of(viewer)[0].data._parts) <= FRAMES


def test_a_training_touches_nothing_of_the_user_s_view(qtbot, viewer, raw, step_of):
    other = add_movie(viewer, name="other")
    viewer.layers.selection = {raw}
    show_frame(viewer, raw, 7)
    viewer.scene.camera.zoom = 5.5
    before = (viewer.scene.camera.model_dump(), viewer.dims.point, viewer.canvas.grid.enabled)
    widget = step_of(started(), step(), preview(), finished())
    run(qtbot, widget)
    assert (viewer.scene.camera.model_dump(), viewer.dims.point, viewer.canvas.grid.enabled) == before
    assert viewer.layers.selection == {raw}
    assert list(viewer.layers)[:2] == [raw, other]


def test_a_preview_layer_that_was_removed_does_not_come_back(qtbot, viewer, step_of):
    gate = threading.Event()
    widget = step_of(preview(10), gate, preview(20))
    widget.start.click()
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=MS)
    viewer.layers.remove(previews_of(viewer)[0])
    gate.set()
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)
    assert not previews_of(viewer)


def test_the_movie_s_layer_may_be_removed_during_training(qtbot, viewer, raw, measured, step_of):
    gate = threading.Event()
    widget = step_of(preview(10), gate, preview(20), finished())
    widget.start.click()
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=MS)
    viewer.layers.remove(raw)
    gate.set()
    qtbot.waitUntil(lambda: measured.model is not None, timeout=MS)
    widget.history.click()
    assert len(viewer.layers) == 1


def test_alarms_are_said_in_words_and_stay(qtbot, step_of):
    widget = step_of(
        Alarm(30, "inverted", "atoms come out dark; the cycle begins afresh"),
        Alarm(60, "gradient", "the background has a wedge"),
        Checkpointed(70, None),
        step(80),
        finished(),
    )
    run(qtbot, widget)
    assert not widget.alarms.isHidden()
    assert widget.alarms.text() == (
        "Step 30: atoms come out dark; the cycle begins afresh.\nStep 60: the background has a wedge."
    )
    widget._train = Script(step())
    run(qtbot, widget)
    assert widget.alarms.isHidden()


@pytest.mark.parametrize("error", [ValueError("crops of 512 px exceed the frames"), RuntimeError("cuDNN error")])
def test_a_failure_is_said_and_one_can_try_again(qtbot, step_of, measured, error):
    widget = step_of(started(), step(), error)
    run(qtbot, widget)
    assert str(error) in widget.alarms.text()
    assert not widget.alarms.isHidden()
    assert widget.progress.format() == "failed"
    assert widget.progress.maximum() > 0, "a bar without an end would look busy"
    assert enabled(widget) == {"start", "resume"}
    assert measured.model is None
    widget._train = Script(finished(), model="second")
    run(qtbot, widget)
    assert measured.model == "second"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", (4,)),
        ("3", (3,)),
        ("0, 2 5", (0, 2, 5)),
        ("1,2,3,5,7", (1, 2, 3)),
        ("3, 3, 3, 2", (3, 2)),
        (f"{FRAMES}, 999", (4,)),
        ("two, -1, 2.5, ²", (4,)),
        (f"{FRAMES - 1}", (FRAMES - 1,)),
    ],
)
def test_previewed_frames_are_those_listed_or_the_shown_one(viewer, raw, step_of, text, shown):
    widget = step_of()
    widget.frames.setText(text)
    show_frame(viewer, raw, 4)
    assert widget._shown == shown


def test_a_running_training_follows_the_slider(qtbot, viewer, raw, step_of):
    gate = threading.Event()
    widget = step_of(step(), gate)
    show_frame(viewer, raw, 2)
    widget.start.click()
    qtbot.waitUntil(lambda: widget.script.call is not None, timeout=MS)
    shown = widget.script.call[1]["shown"]
    assert tuple(shown()) == (2,)
    show_frame(viewer, raw, 9)
    assert tuple(shown()) == (9,)
    viewer.layers.remove(raw)
    show_frame(viewer, add_movie(viewer), 1)
    assert tuple(shown()) == ()
    gate.set()


def test_a_running_training_is_asked_for_frames_of_its_own_movie_only(qtbot, viewer, raw, measured, step_of):
    gate = threading.Event()
    widget = step_of(step(), gate)
    longer = add_movie(viewer, frames_of(shape=(5 * FRAMES, ROWS, COLUMNS)), name="longer")
    widget.start.click()
    qtbot.waitUntil(lambda: widget.script.call is not None, timeout=MS)
    measured.choose_layer(longer)
    show_frame(viewer, longer, 5 * FRAMES - 1)
    assert widget.script.call[1]["shown"]() == (FRAMES - 1,)
    gate.set()


def test_presets_are_chosen_by_their_name(step_of, measured):
    widget = step_of()
    widget.preset.textActivated.emit("paper")
    assert measured.settings.training == preset("paper").training
    assert measured.settings.preset == "paper"
    measured.choose_preset("default")
    assert widget.preset.currentText() == "default"


def test_a_run_is_resumed_with_its_own_settings_and_the_shown_device(qtbot, step_of, measured, tmp_path):
    kept = preset("paper")
    (tmp_path / "settings.json").write_text(kept.model_dump_json())
    widget = step_of()
    measured.change("run", measured.settings.run.model_copy(update={"device": "cpu", "max_minutes": 3.0, "seed": 9}))
    widget.resume_run(tmp_path)
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)
    (_, settings), options = widget.script.call
    assert (options["run"], options["resume"]) == (tmp_path, True)
    assert settings.training == kept.training
    assert (settings.run.device, settings.run.max_minutes, settings.run.seed) == ("cpu", 3.0, kept.run.seed)


def test_a_folder_without_a_run_is_refused_in_words(step_of, tmp_path):
    widget = step_of()
    widget.resume_run(tmp_path)
    assert "holds no settings of a run" in widget.alarms.text()
    assert widget.job.state is State.IDLE
    assert enabled(widget) == {"start", "resume"}


def test_the_resume_button_always_asks_and_proposes_the_last_run_of_the_movie(
    qtbot, viewer, raw, step_of, measured, monkeypatch
):
    widget = step_of(started())
    run(qtbot, widget)
    last, proposed, resumed = widget.run_folder, [], []

    def answer(parent, title, folder):
        proposed.append(folder)
        return "runs"

    monkeypatch.setattr(train_module.QFileDialog, "getExistingDirectory", answer)
    monkeypatch.setattr(widget, "resume_run", resumed.append)
    widget.resume.click()
    measured.choose_layer(add_movie(viewer, name="other"))
    widget.resume.click()
    assert proposed == [str(last), ""]
    assert resumed == [Path("runs"), Path("runs")]


def test_a_run_that_is_refused_clears_nothing_and_is_not_proposed(qtbot, step_of, tmp_path):
    widget = step_of(started(), step(3), Score(3, {"css": 0.8}, best=True), preview(), finished())
    run(qtbot, widget)
    last = widget.run_folder
    (tmp_path / "settings.json").write_text(preset("compact").model_dump_json())
    widget._train = Script(ValueError("the run has trained for 25 s already"))
    widget.resume_run(tmp_path)
    qtbot.waitUntil(lambda: widget.job.state is State.IDLE, timeout=MS)
    assert "25 s already" in widget.alarms.text()
    assert widget.run_folder == last
    assert len(widget.plots.curves.of("css")[0]) == 1
    assert widget.history.isEnabled()


def test_closing_ends_a_running_training(qtbot, step_of):
    widget = step_of(endless=True)
    widget.start.click()
    qtbot.waitUntil(lambda: bool(widget.script.sent), timeout=MS)
    widget.close_jobs()
    assert widget.script.closed.wait(TIMEOUT_S)
    assert widget.script.sent[-1] is Command.STOP
