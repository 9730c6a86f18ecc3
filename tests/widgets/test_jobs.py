"""Whatever happens in a thread, the window is told once, in its own thread, and can go on."""

import re
import threading
import time

import pytest
import torch
from qtpy.QtCore import QCoreApplication, QEvent, QObject
from scripted import TIMEOUT_S, Script, finished, started, step

from napari_noise2atom.events import Command, Paused
from napari_noise2atom.widgets.jobs import BackgroundJob, CancelledError, State, StreamJob
from napari_noise2atom.widgets.threads import JobError, end_all, in_words

MS = 1000 * TIMEOUT_S


@pytest.fixture
def job(qtbot):
    job = StreamJob()
    yield job
    job.stop()
    assert job.wait(TIMEOUT_S), "a thread was left behind"


@pytest.fixture
def heard(job):
    """All that the job tells, in order, with the thread in which it is heard."""
    heard = []
    job.told.connect(lambda event: heard.append(("told", event, threading.current_thread())))
    job.finished.connect(lambda model: heard.append(("finished", model, threading.current_thread())))
    job.failed.connect(lambda text: heard.append(("failed", text, threading.current_thread())))
    return heard


def ends(heard):
    return [(kind, what) for kind, what, _ in heard if kind != "told"]


def until_over(qtbot, job, heard):
    qtbot.waitUntil(lambda: bool(ends(heard)), timeout=MS)
    assert job.state is State.IDLE
    assert job.wait(TIMEOUT_S)
    assert len(ends(heard)) == 1
    return ends(heard)[0]


def delete(thing):
    """Delete an object of Qt as a closed window does."""
    thing.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def test_all_events_arrive_in_order_and_then_the_model(qtbot, job, heard):
    events = [started(), step(1), step(2), finished()]
    job.start(Script(*events, model="the model"))
    assert job.state is State.RUNNING
    assert until_over(qtbot, job, heard) == ("finished", "the model")
    assert [what for kind, what, _ in heard if kind == "told"] == events


def test_slots_run_in_the_thread_of_the_window_and_the_training_does_not(qtbot, job, heard):
    script = Script(step())
    job.start(script)
    until_over(qtbot, job, heard)
    assert {thread for *_, thread in heard} == {threading.main_thread()}
    assert script.thread is not threading.main_thread()


def test_stop_ends_it_with_the_model(qtbot, job, heard):
    script = Script(endless=True)
    job.start(script)
    qtbot.waitUntil(lambda: bool(heard), timeout=MS)
    job.stop()
    assert job.state is State.STOPPING
    assert until_over(qtbot, job, heard) == ("finished", "model")
    assert script.sent[-1] is Command.STOP


def test_a_paused_training_waits_until_it_is_resumed(qtbot, job, heard):
    script = Script(endless=True)
    job.start(script)
    qtbot.waitUntil(lambda: bool(heard), timeout=MS)
    job.pause()
    assert job.state is State.PAUSED
    qtbot.waitUntil(lambda: isinstance(heard[-1][1], Paused), timeout=MS)
    told = len(heard)
    job.resume()
    assert job.state is State.RUNNING
    qtbot.waitUntil(lambda: len(heard) > told, timeout=MS)
    job.stop()
    assert until_over(qtbot, job, heard)[0] == "finished"
    assert script.sent.count(Command.PAUSE) == 1


def test_a_paused_training_can_be_stopped(qtbot, job, heard):
    job.start(Script(endless=True))
    job.pause()
    qtbot.waitUntil(lambda: bool(heard) and isinstance(heard[-1][1], Paused), timeout=MS)
    job.stop()
    assert until_over(qtbot, job, heard) == ("finished", "model")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("the movie is too small"), "the movie is too small"),
        (RuntimeError("mat1 and mat2 cannot be multiplied"), "RuntimeError: mat1 and mat2 cannot be multiplied"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), "too little memory.*2 GiB"),
        (MemoryError(), "too little memory.*device cpu"),
        (OSError("disk full"), "^disk full$"),
        (OSError(28, "No space left on device"), "^No space left on device$"),
        (PermissionError(13, "Permission denied", "/lab/film.tif"), "^/lab/film.tif: Permission denied$"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_is_told_once_and_another_training_can_follow(qtbot, job, heard, error, words):
    script = Script(step(), error)
    job.start(script)
    kind, text = until_over(qtbot, job, heard)
    assert kind == "failed"
    assert "\n" not in text
    with qtbot.waitSignal(job.finished, timeout=MS, check_params_cb=lambda model: model == "second"):
        job.start(Script(model="second"))
    assert re.search(words, text)


def test_an_error_before_the_first_event_is_told(qtbot, job, heard):
    def start():
        raise ValueError("no such device")

    job.start(start)
    assert until_over(qtbot, job, heard) == ("failed", "no such device")


def test_a_second_start_is_refused_while_one_runs(qtbot, job, heard):
    first = Script(endless=True)
    job.start(first)
    with pytest.raises(RuntimeError, match=r"running.*stop it"):
        job.start(Script())
    job.stop()
    until_over(qtbot, job, heard)


def test_a_training_may_be_started_where_the_former_one_is_told(qtbot, job):
    models = []

    def again(model):
        models.append(model)
        if len(models) < 3:
            job.start(Script(model=len(models)))

    job.finished.connect(again)
    job.start(Script(model=0))
    qtbot.waitUntil(lambda: models == [0, 1, 2], timeout=MS)


def test_buttons_out_of_turn_do_nothing(qtbot, job, heard):
    for press in (job.pause, job.resume, job.stop):
        press()
        assert job.state is State.IDLE
    job.start(Script(step()))
    job.resume()
    assert job.state is State.RUNNING
    assert until_over(qtbot, job, heard)[0] == "finished", "a stop of before must not end it"


@pytest.mark.parametrize("paused", [False, True])
def test_its_end_can_be_wished_when_the_object_is_gone(qtbot, paused):
    parent = QObject()
    job, script = StreamJob(parent), Script(endless=True)
    end, over = job.ender(), job.wait
    with qtbot.waitSignal(job.told, timeout=MS):
        job.start(script)
    if paused:
        with qtbot.waitSignal(job.told, timeout=MS, check_params_cb=lambda event: isinstance(event, Paused)):
            job.pause()
    delete(parent)
    assert not script.closed.is_set()
    end()
    assert script.closed.wait(TIMEOUT_S), "the generator must be closed, so that its last model is kept"
    assert over(TIMEOUT_S)


@pytest.fixture
def background(qtbot):
    job = BackgroundJob()
    yield job
    job.cancel()


def test_a_result_is_told_once(qtbot, background):
    with qtbot.waitSignal(background.done, timeout=MS) as done:
        background.run(lambda wanted: threading.current_thread())
        assert background.busy
    assert done.args[0] is not threading.main_thread()
    assert not background.busy


def test_only_the_newest_result_is_told(qtbot, background):
    told, gate, first_over = [], threading.Event(), threading.Event()
    background.done.connect(told.append)

    def first(wanted):
        assert gate.wait(TIMEOUT_S)
        first_over.set()
        return "first"

    background.run(first)
    with qtbot.waitSignal(background.done, timeout=MS):
        background.run(lambda wanted: "second")
    gate.set()
    assert first_over.wait(TIMEOUT_S)
    with qtbot.waitSignal(background.done, timeout=MS):
        background.run(lambda wanted: "third")
    assert told == ["second", "third"]


def test_what_was_cancelled_tells_nothing_and_is_ended_at_its_next_progress(qtbot, background):
    told, begun, gate, ended = [], threading.Event(), threading.Event(), []
    for signal in (background.done, background.failed, background.progress):
        signal.connect(lambda *what: told.append(what))

    def work(wanted):
        begun.set()
        assert gate.wait(TIMEOUT_S)
        try:
            wanted(1, 2)
        except CancelledError:
            ended.append(bool(wanted))
            raise

    background.run(work)
    assert begun.wait(TIMEOUT_S)
    background.cancel()
    assert not background.busy
    gate.set()
    qtbot.waitUntil(lambda: ended == [False], timeout=MS)
    with qtbot.waitSignal(background.done, timeout=MS):
        background.run(lambda wanted: "the next")
    assert told == [("the next",)]


def test_progress_is_told_in_the_window_s_thread(qtbot, background):
    told = []
    background.progress.connect(lambda *what: told.append((*what, threading.current_thread())))
    gate = threading.Event()

    def work(wanted):
        wanted(1, 3)
        assert gate.wait(TIMEOUT_S)

    background.run(work)
    qtbot.waitUntil(lambda: bool(told), timeout=MS)
    assert told == [(1, 3, threading.main_thread())]
    gate.set()
    qtbot.waitUntil(lambda: not background.busy, timeout=MS)


@pytest.mark.parametrize("error", [ValueError("two frames are too few"), RuntimeError("two frames are too few")])
def test_an_error_is_told_in_words(qtbot, background, error):
    def work(wanted):
        raise error

    with qtbot.waitSignal(background.failed, timeout=MS) as failed:
        background.run(work)
    assert failed.args[0].endswith("two frames are too few")
    assert not background.busy


def test_a_thread_survives_the_object_it_works_for(qtbot):
    """A signal emitted by a deleted object would end the process."""
    parent, gate, over = QObject(), threading.Event(), threading.Event()
    job = BackgroundJob(parent)

    def work(wanted):
        assert gate.wait(TIMEOUT_S)
        wanted(1, 2)
        over.set()

    job.run(work)
    delete(parent)
    gate.set()
    assert over.wait(TIMEOUT_S)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("got 1, expected 2"), "got 1, expected 2"),
        (JobError("first line\nsecond line"), "first line"),
        (KeyError("name"), "KeyError: 'name'"),
        (RuntimeError(), "RuntimeError: RuntimeError"),
    ],
)
def test_errors_are_said_in_one_line(error, text):
    assert in_words(error) == text


def test_the_end_of_the_program_waits_for_what_tidies_up(qtbot):
    begun, tidied = threading.Event(), threading.Event()

    def work(wanted):
        begun.set()
        while wanted:
            time.sleep(0.01)
        time.sleep(0.2)
        tidied.set()

    job = BackgroundJob()
    job.run(work)
    assert begun.wait(TIMEOUT_S)
    end_all()
    assert tidied.is_set()
    assert not job.busy
