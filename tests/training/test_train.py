"""The contract of the stream of events."""

import csv
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from small_runs import FAST, changed, collect, files, same_weights

from napari_noise2atom.events import Alarm, Checkpointed, Command, Finished, Paused, Preview, Score, Started, Step
from napari_noise2atom.modelfile import load_model, load_tensors
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator
from napari_noise2atom.settings import Settings, preset
from napari_noise2atom.training import load_run_settings, train
from napari_noise2atom.training.pace import Pace
from napari_noise2atom.training.probe import Probe, ProbeScores
from napari_noise2atom.training.runfolder import Progress


@pytest.fixture(scope="module")
def fast(proposed: Settings) -> Settings:
    return changed(proposed, FAST)


def test_first_started_last_finished(movie: Movie, fast: Settings) -> None:
    events, model = collect(train(movie, fast))
    assert isinstance(events[0], Started)
    assert [type(event) for event in events].count(Finished) == 1
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.step) == ("done", 12)
    assert events[0].total_steps == 12
    assert model.settings == fast
    assert {"movie", "best step", "score quality"} <= model.provenance.keys()


def test_events_hold_arrays_not_tensors(movie: Movie, fast: Settings) -> None:
    events, _ = collect(train(movie, fast))
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews
    for event in previews:
        assert event.raw.shape == event.denoised.shape == (len(event.frames), 64, 64)
        assert event.denoised.dtype == np.float32
        assert 0 <= event.denoised.min() <= event.denoised.max() <= 1
    np.testing.assert_array_equal(previews[0].raw, movie.frames(previews[0].frames))
    for event in events:
        assert not any(isinstance(value, torch.Tensor) for value in vars(event).values())


def test_previews_show_the_frames_that_are_asked_for(movie: Movie, fast: Settings) -> None:
    wanted = [(7,), (), (3, 9, 0, 5)]
    stream = train(movie, fast, shown=lambda: wanted[0] if len(wanted) == 1 else wanted.pop(0))
    previews = [event for event in collect(stream)[0] if isinstance(event, Preview)]
    assert [event.frames for event in previews[:1] + previews[2:3]] == [(7,), (3, 9, 0)]
    assert len(previews[1].frames) == 2, "nothing asked for: probe frames"
    np.testing.assert_array_equal(previews[2].raw, movie.frames((3, 9, 0)))


def test_of_large_frames_the_middle_is_shown(fast: Settings) -> None:
    large = Movie(np.random.default_rng(0).integers(0, 200, (4, 300, 280)).astype(np.uint8))
    stream = train(large, fast, shown=lambda: (2,))
    preview = next(event for event in stream if isinstance(event, Preview))
    stream.close()
    assert (preview.origin_px, preview.raw.shape) == ((22, 12), (1, 256, 256))
    np.testing.assert_array_equal(preview.raw[0], large.frame(2)[22:278, 12:268])


def test_a_pause_keeps_a_checkpoint_and_its_time_does_not_count(
    movie: Movie, fast: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = train(movie, fast, run=tmp_path)
    next(event for event in stream if isinstance(event, Score))
    paused = stream.send(Command.PAUSE)
    assert isinstance(paused, Paused)
    assert "checkpoint.safetensors" in files(tmp_path)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3600)
    events, _ = collect(stream)
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.step) == ("done", 12)
    assert last.seconds < 3600


def test_a_paused_training_can_be_stopped(movie: Movie, fast: Settings) -> None:
    stream = train(movie, fast)
    next(event for event in stream if isinstance(event, Score))
    assert isinstance(stream.send(Command.PAUSE), Paused)
    stream.send(Command.STOP)
    assert [event.reason for event in stream if isinstance(event, Finished)] == ["stopped"]


@pytest.fixture
def every_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast computer may be over with a stage of six steps before the first of ten events a second."""
    monkeypatch.setattr("napari_noise2atom.training.loop.STEP_EVENTS_PER_S", 1e9)


@pytest.mark.usefixtures("every_step_is_told")
def test_each_stage_names_its_losses(movie: Movie, fast: Settings) -> None:
    slow = changed(fast, {"run": {"preview_every_s": 1e6}})
    steps = [event for event in collect(train(movie, slow))[0] if isinstance(event, Step)]
    losses = {event.stage: set(event.losses) for event in steps}
    cycle = {"critic", "adversarial", "cycle", "low-frequency cycle"}
    assert losses["warm start"] == {"pairs", "pairs back"}
    assert losses["cycle"] == cycle | {"masked", "pairs", "pairs back"}
    assert all(event.seconds_left >= 0 for event in steps)


def test_equal_seeds_give_equal_models(movie: Movie, fast: Settings) -> None:
    first, again = (collect(train(movie, fast))[1] for _ in range(2))
    other = collect(train(movie, changed(fast, {"run": {"seed": 1}})))[1]
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_the_callers_random_numbers_and_threads_stay(movie: Movie, fast: Settings) -> None:
    torch.manual_seed(3)
    expected, threads = torch.rand(2), torch.get_num_threads()
    torch.manual_seed(3)
    collect(train(movie, fast))
    torch.testing.assert_close(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("event", [1, 4, 9])
def test_stop_ends_within_a_step_with_the_best_model(movie: Movie, fast: Settings, event: int) -> None:
    events, model = collect(train(movie, fast), stop_at=event)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reason == "stopped"
    before = max((getattr(e, "step", 0) for e in events[:event]), default=0)
    assert last.step <= before + 1
    assert model.weights


def test_the_warm_start_keeps_its_newest_model_and_the_cycle_the_best(
    movie: Movie, fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = itertools.count(0, -1)

    def score(probe: Probe, generator: Generator) -> ProbeScores:
        scores = honest(probe, generator)
        return ProbeScores(scores.values | {"quality": float(next(falling))}, scores.denoised)

    honest = Probe.score
    monkeypatch.setattr(Probe, "score", score)
    monkeypatch.setattr("napari_noise2atom.training.loop.find_failure", lambda scores: None)
    events, _ = collect(train(movie, fast))
    assert isinstance(events[-1], Finished)
    assert events[-1].best_step == fast.warm_start.steps
    assert events[-1].step > fast.warm_start.steps


def test_time_limit(movie: Movie, fast: Settings) -> None:
    endless = changed(
        fast, {"warm_start": {"steps": 10**6}, "training": {"epochs": 10**6}}, {"run": {"max_minutes": 0.05}}
    )
    began = time.monotonic()
    events, _ = collect(train(movie, endless))
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reason == "time is up"
    assert {e.stage for e in events if isinstance(e, Step)} == {"warm start", "cycle"}
    assert time.monotonic() - began < 20


def test_a_run_is_a_folder(movie: Movie, fast: Settings, tmp_path: Path) -> None:
    events, model = collect(train(movie, fast, run=tmp_path / "run"))
    run = tmp_path / "run"
    expected = {"settings.json", "model.safetensors", "checkpoint.safetensors", "history.csv", "previews.tif"}
    assert files(run) == expected | {"environment.json"}
    assert load_run_settings(run) == fast
    assert same_weights(load_model(run), model)
    assert json.loads((run / "environment.json").read_text())["torch"] == torch.__version__
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["stage"] for row in rows} == {"warm start", "cycle"}
    assert any(row["score_quality"] for row in rows)
    assert tifffile.imread(run / "previews.tif").shape[-2:] == (64, 64)
    assert any(isinstance(event, Checkpointed) for event in events)


def test_resumed_is_as_if_never_stopped(movie: Movie, fast: Settings, tmp_path: Path) -> None:
    whole, _ = tmp_path / "whole", tmp_path / "halves"
    collect(train(movie, fast, run=whole))
    expected = load_tensors(whole / "checkpoint.safetensors")[0]
    for stop_at in (8, 30):  # within the warm start, within the cycle
        run = tmp_path / f"stopped after {stop_at}"
        events, _ = collect(train(movie, fast, run=run), stop_at=stop_at)
        last = events[-1]
        assert isinstance(last, Finished)
        assert 0 < last.step < 12
        resumed, _ = collect(train(movie, fast, run=run, resume=True))
        assert isinstance(resumed[0], Started)
        assert resumed[0].first_step == last.step
        found = load_tensors(run / "checkpoint.safetensors")[0]
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            if not name.startswith("best."):
                torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_a_closed_stream_leaves_a_run_that_can_be_resumed(movie: Movie, fast: Settings, tmp_path: Path) -> None:
    rare = changed(fast, {"run": {"checkpoint_every_s": 1e6}})
    stream = train(movie, rare, run=tmp_path)
    while not (isinstance(event := next(stream), Step | Score) and event.step >= 4):
        pass
    stream.close()
    events, _ = collect(train(movie, rare, run=tmp_path, resume=True))
    assert isinstance(events[0], Started)
    assert events[0].first_step >= 4


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_runs import *
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.settings import MovieSettings, preset
from napari_noise2atom.training import train
movie = simulate_movie(MovieSettings(frames=6, size_px=64)).noisy
endless = changed(preset("compact"), FAST, {"warm_start": {"steps": 10**6}})
for event in train(movie, endless, run=Path(sys.argv[1])):
    print(type(event).__name__, getattr(event, "step", 0), flush=True)
"""


def test_killed_at_any_moment_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for kill_after in (2, 5):
        command = [sys.executable, "-c", KILLED, str(run), str(Path(__file__).parent)]
        if kill_after == 5:
            command[2] = KILLED.replace("run=Path(sys.argv[1])", "run=Path(sys.argv[1]), resume=True")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen += line.startswith("Checkpointed")
            if seen == kill_after:
                checkpointed = int(line.split()[1])
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        progress = load_tensors(run / "checkpoint.safetensors")[1]["progress"]
        assert progress["step"] >= checkpointed
        assert load_model(run).weights


def test_a_run_is_never_overwritten(movie: Movie, fast: Settings, tmp_path: Path) -> None:
    collect(train(movie, fast, run=tmp_path), stop_at=6)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ValueError, match="holds a run already"):
        next(train(movie, fast, run=tmp_path))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_what_cannot_be_resumed_is_said(movie: Movie, fast: Settings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="start a new run"):
        next(train(movie, fast, run=tmp_path, resume=True))
    collect(train(movie, fast, run=tmp_path / "run"), stop_at=6)
    with pytest.raises(ValueError, match="another network"):
        next(train(movie, changed(fast, {"network": {"channels": 12}}), run=tmp_path / "run", resume=True))
    with pytest.raises(ValueError, match="no settings"):
        load_run_settings(tmp_path)


def test_a_run_without_minutes_left_is_not_resumed(movie: Movie, fast: Settings, tmp_path: Path) -> None:
    collect(train(movie, fast, run=tmp_path), stop_at=6)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    spent = changed(fast, {"run": {"max_minutes": 1e-5}})
    with pytest.raises(
        ValueError, match=r"s already, and max_minutes counts the whole run: got 1e-05; give at least 0"
    ):
        next(train(movie, spent, run=tmp_path, resume=True))
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + 1], ids=["shorter", "brighter"])
def test_a_run_is_not_resumed_with_another_movie(
    movie: Movie, fast: Settings, tmp_path: Path, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    collect(train(movie, fast, run=tmp_path), stop_at=6)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(ValueError, match=f"{tmp_path} was trained on another movie than other"):
        next(train(movie.with_data(change(np.asarray(movie.data)), "other"), fast, run=tmp_path, resume=True))
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"simulation": {"crop_px": 24}},
            "crop_px 24 is smaller than training.low_pass_px 33; set .*low_pass_px=13, or",
        ),
        (
            {"simulation": {"crop_px": 72, "lattice_px": 80}},
            "frames of 64 × 64 px are smaller than a training crop of 72 px; set simulation.crop_px=64$",
        ),
        (
            {"simulation": {"crop_px": 72, "lattice_px": 80}, "training": {"low_pass_px": 65}},
            "set simulation.crop_px=64 and training.low_pass_px=33$",
        ),
    ],
)
def test_crops_that_do_not_fit_are_refused_before_the_warm_start(
    movie: Movie, fast: Settings, changes: dict[str, dict[str, Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        next(train(movie, changed(fast, changes)))


def test_without_a_share_of_the_minutes_there_is_no_warm_start() -> None:
    settings = changed(preset("compact"), {"warm_start": {"share": 0.0}, "run": {"max_minutes": 10.0}})
    pace = Pace(settings, Progress([], seconds=1.0), 100)
    assert pace.warm_is_over


def test_bad_frames_are_told_and_left_out(movie: Movie, fast: Settings) -> None:
    data = np.asarray(movie.data, np.float32).copy()
    data[2, 5, 5], data[7] = np.nan, 3
    events, model = collect(train(Movie(data), fast))
    alarms = [event for event in events if isinstance(event, Alarm)]
    assert alarms[0].kind == "bad frames"
    assert "2, 7" in alarms[0].message
    assert all(bool(weight.isfinite().all()) for weight in model.weights.values())


def test_one_frame_of_a_movie_is_enough(movie: Movie, fast: Settings) -> None:
    events, model = collect(train(movie, changed(fast, {"training": {"sampled_frames": 1, "batch_size": 1}})))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "done"
    assert model.weights


def test_useless_movies_are_refused(fast: Settings) -> None:
    with pytest.raises(ValueError, match="smaller than a training crop"):
        next(train(Movie(np.random.default_rng(0).random((5, 32, 32))), fast))
    with pytest.raises(ValueError, match="fewer than two usable frames"):
        next(train(Movie(np.full((5, 64, 64), np.nan)), fast))


@pytest.mark.usefixtures("every_step_is_told")
def test_paper_takes_the_papers_steps(movie: Movie) -> None:
    settings = changed(
        preset("paper"),
        {
            "simulation": {"crop_px": 40, "lattice_px": 64},
            "network": {"architecture": "compact", "channels": 4},
            "training": {"epochs": 1, "batch_size": 6, "sampled_frames": 12},
            "run": FAST["run"],
        },
    )
    events, _ = collect(train(movie, settings))
    steps = [event for event in events if isinstance(event, Step)]
    assert {event.stage for event in steps} == {"cycle"}
    assert set(steps[0].losses) == {"critic", "adversarial", "low-frequency cycle", "cycle"}
    assert events[0].total_steps == 2  # type: ignore[union-attr]
