import json
import signal

import numpy as np
import pytest
from rich.console import Console

from napari_noise2atom import training
from napari_noise2atom.cli.follow import TrainingView
from napari_noise2atom.cli.progress import ProgressLine, clock
from napari_noise2atom.events import Command, Score, Started, Step
from napari_noise2atom.settings import RunSettings, Settings

pytestmark = pytest.mark.usefixtures("quiet_stop")


def joined(text):
    return " ".join(text.split())


def test_training_tells_what_was_measured_and_where_things_are(noise2atom, movie_file, scripted):
    script = scripted()
    ended = noise2atom("train", "movie.tif", "-o", "run")
    assert ended.code == 0
    assert "grey value of one electron" in ended.out
    assert "run/model.safetensors" in ended.out
    assert "noise2atom denoise movie.tif --model run -o movie_denoised.tif" in ended.out
    assert "Alarm at step 0, gradient: The background is a wedge; look at the edges." in joined(ended.err)
    assert "Training 5/5" in ended.err
    assert "newest 0.25 at step 0" in ended.err
    (call,) = script.calls
    assert call["movie"].shape == (6, 48, 48)
    assert not call["resume"]
    assert call["run"].name == "run"


def test_plain_progress_is_a_line_now_and_then(noise2atom, movie_file, scripted):
    scripted(steps=3000)
    ended = noise2atom("train", "movie.tif", "-o", "run")
    assert ended.err.count("\n") < 12
    assert "\r" not in ended.err
    assert "\x1b" not in ended.err


def test_settings_prevail_in_order(noise2atom, movie_file, scripted, tmp_path):
    """Preset, then the movie, then the file, then the options."""
    file = {"scene": {"atom_peak_e": 2.5, "walk_px": 0.7}, "training": {"epochs": 9, "momentum": 0.5}}
    (tmp_path / "my.json").write_text(json.dumps(file))
    script = scripted()
    words = ("--settings", "my.json", "--set", "scene.walk_px=0.2", "--epochs", 3, "--seed", 8, "-t", 2.5)
    assert noise2atom("train", movie_file, "-o", "run", "--preset", "compact", *words).code == 0
    settings = script.calls[0]["settings"]
    assert settings.preset == "compact"
    assert settings.detector.gain_counts != Settings().detector.gain_counts
    assert (settings.scene.atom_peak_e, settings.scene.walk_px) == (2.5, 0.2)
    assert (settings.training.epochs, settings.training.momentum) == (3, 0.5)
    assert (settings.run.seed, settings.run.max_minutes) == (8, 2.5)


def test_settings_of_another_run_are_taken_whole(noise2atom, movie_file, scripted, tmp_path):
    other = Settings(preset="paper").model_copy(update={"scene": Settings().scene})
    (tmp_path / "settings.json").write_text(other.model_dump_json())
    script = scripted()
    assert noise2atom("train", movie_file, "-o", "run", "--settings", "settings.json").code == 0
    assert script.calls[0]["settings"] == other


def test_the_paper_keeps_its_clean_images_but_for_a_crop_as_small_as_the_movie(noise2atom, movie_file, scripted):
    script = scripted()
    assert noise2atom("train", movie_file, "-o", "run", "--preset", "paper").code == 0
    expected = Settings().simulation.model_copy(update={"crop_px": 48})
    assert script.calls[0]["settings"].simulation == expected


def test_small_frames_need_a_smaller_low_pass_only(noise2atom, simulated, scripted):
    np.save("small.npy", simulated.noisy.data[:, :32, :32])
    script = scripted()
    assert noise2atom("train", "small.npy", "-o", "run", "--set", "training.low_pass_px=17").code == 0
    settings = script.calls[0]["settings"]
    assert (settings.simulation.crop_px, settings.training.low_pass_px) == (32, 17)


def test_json_lines(noise2atom, movie_file, scripted):
    scripted(steps=2)
    ended = noise2atom("train", movie_file, "-o", "run", "--json")
    assert ended.code == 0
    events = ended.lines
    assert [event["event"] for event in events] == [
        *("started", "score", "preview", "alarm", "checkpointed"),
        *("step", "step", "finished"),
    ]
    assert events[0]["settings"]["preset"] == "default"
    assert events[1]["values"] == {"quality": 0.25, "css": None}
    assert "raw" not in events[2]
    assert events[4]["folder"] == "run"
    assert events[-1]["reason"] == "done"
    assert "grey value of one electron" in ended.err


def test_interrupt_stops_and_keeps_the_best(noise2atom, movie_file, scripted, quiet_stop):
    before = signal.getsignal(signal.SIGINT)
    script = scripted(steps=50, at_step=lambda step: signal.raise_signal(signal.SIGINT) if step == 3 else None)
    ended = noise2atom("train", movie_file, "-o", "run")
    assert ended.code == 0
    assert script.commands == [None, None, Command.STOP]
    assert "the best model is kept" in quiet_stop[0]
    assert "(stopped)" in ended.out
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_aborts(noise2atom, movie_file, scripted, tmp_path):
    def interrupt_twice(step):
        if step == 2:
            (tmp_path / "run").mkdir()
            (tmp_path / "run/checkpoint.safetensors").touch()
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    scripted(at_step=interrupt_twice)
    ended = noise2atom("train", movie_file, "-o", "run")
    assert ended.code == 1
    assert "add --resume to go on from the last checkpoint in run" in joined(ended.err)
    assert signal.getsignal(signal.SIGINT) is before


def test_failed_training(noise2atom, movie_file, scripted):
    def fail(step):
        raise ValueError("crops of 128 px are larger than the frames of 48 px")

    scripted(at_step=fail)
    ended = noise2atom("train", movie_file, "-o", "run")
    assert ended.code == 1
    assert "Error: crops of 128 px are larger than the frames of 48 px" in ended.err


@pytest.mark.parametrize("there", ["model.safetensors", "checkpoint.safetensors"])
def test_a_run_is_not_overwritten(noise2atom, movie_file, scripted, tmp_path, there):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / there).write_bytes(b"precious")
    script = scripted()
    ended = noise2atom("train", movie_file, "-o", "run")
    assert ended.code == 2
    assert "run holds a run already; add --resume" in joined(ended.err)
    assert not script.calls
    assert (tmp_path / "run" / there).read_bytes() == b"precious"


@pytest.mark.parametrize("there", ["settings.json", "history.csv", "previews.tif"])
def test_what_a_run_would_replace_is_kept(noise2atom, movie_file, scripted, tmp_path, there):
    (tmp_path / there).write_bytes(b"precious")
    script = scripted()
    ended = noise2atom("train", movie_file, "-o", tmp_path)
    assert ended.code == 2
    assert f"holds a {there}, and a run writes its own; choose another folder" in joined(ended.err)
    assert not script.calls
    (tmp_path / "environment.json").touch()
    assert noise2atom("train", movie_file, "-o", tmp_path).code == 0, "of a run that ended before its first checkpoint"


def test_resume_goes_on_with_the_settings_of_the_run(noise2atom, movie_file, scripted, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoint.safetensors").touch()
    recorded = Settings(preset="compact")
    monkeypatch.setattr(training, "load_run_settings", lambda run: recorded, raising=False)
    script = scripted()
    assert noise2atom("train", movie_file, "-o", "run", "--resume", "--max-minutes", 3).code == 0
    (call,) = script.calls
    assert call["resume"]
    assert call["settings"].run.max_minutes == 3
    assert call["settings"].model_copy(update={"run": recorded.run}) == recorded


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--resume", "--set", "training.epochs=3"), "leave out the settings of training"),
        (("--resume", "--epochs", "3"), "leave out the settings of training"),
        (("--resume", "--preset", "paper"), "leave out --preset"),
        (("--resume", "--seed", "3"), "leave out --seed"),
        (("--preset", "best"), "preset 'best' is unknown; expected one of default, paper, compact"),
        (("--set", "training.epoch=3"), "expected training.epochs, or one that"),
        (("--epochs", "-1"), "training.epochs: got -1; expected greater than or equal to 0"),
        (("--settings", "none.json"), "cannot be read"),
    ],
)
def test_wrong_options_are_refused(noise2atom, movie_file, scripted, tmp_path, options, sentence):
    folder = tmp_path / ("run" if "--resume" in options else "other")
    folder.mkdir()
    (folder / "checkpoint.safetensors").touch()
    script = scripted()
    ended = noise2atom("train", movie_file, "-o", "run", *options)
    assert ended.code == 2
    assert sentence in joined(ended.err)
    assert not script.calls


def test_nothing_to_resume(noise2atom, movie_file, scripted):
    scripted()
    ended = noise2atom("train", movie_file, "-o", "run", "--resume")
    assert ended.code == 2
    assert "nothing to resume" in joined(ended.err)


def test_a_file_is_no_run_folder(noise2atom, movie_file):
    assert noise2atom("train", movie_file, "-o", movie_file).code == 2


def test_clock():
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3725, -3)] == ["0:00", "1:00", "1:01", "1:02:05", "0:00"]


class Line:
    """Notes what is shown."""

    def __init__(self):
        self.shown, self.said = [], []

    def __call__(self, *shown):
        self.shown.append(shown)

    def say(self, text, style=None):
        self.said.append(text)


@pytest.mark.parametrize(("minutes", "share"), [(0.0, (88, 8120)), (1.0, (75, 100))])
def test_progress_is_that_of_steps_or_with_a_limit_of_time(minutes, share):
    line = Line()
    view = TrainingView(line)
    view(Started(Settings(run=RunSettings(max_minutes=minutes)), "cpu", 8120))
    view(Step("cycle", 88, 8120, {"cycle": 0.1}, 45.0, 15.0))
    ((*shown, text),) = line.shown
    assert tuple(shown) == share
    assert ("step 88" in text) is (minutes > 0)
    assert ("at most 1 min" in line.said[0]) is (minutes > 0)


def test_of_the_warm_start_the_newest_model_is_told_and_of_the_cycle_the_best():
    line = Line()
    view = TrainingView(line)
    for stage, word in (("warm start", "newest"), ("cycle", "best")):
        view(Score(7, {"quality": 0.25}, best=True))
        view(Step(stage, 8, 100, {}, 1.0, 1.0))
        assert f"{word} 0.25 at step 7" in line.shown[-1][2]


def test_bar_on_a_terminal(capsys):
    console = Console(force_terminal=True, width=70, highlight=False)
    with ProgressLine("Working", console) as line:
        for done in range(4):
            line(done, 3, "text that is far too long for a single line of this terminal, so it is cut")
        line.say("A sentence [px].")
    out = capsys.readouterr().out
    assert "3/3" in out
    assert "A sentence [px]." in out
    assert "so it is cut" not in out


def test_time_left_counts_only_what_was_done_now(monkeypatch, capsys):
    """A resumed task starts with 40 of 100 done; ten more take ten seconds."""
    now = 0.0
    monkeypatch.setattr("napari_noise2atom.cli.progress.monotonic", lambda: now)
    line = ProgressLine("Working", Console())
    line(40, 100)
    now = 10.0
    line(50, 100)
    assert capsys.readouterr().out == "Working 50/100  0:50 left\n"
