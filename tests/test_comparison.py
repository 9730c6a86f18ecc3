import csv
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from napari_noise2atom.baselines import METHODS, UnavailableError
from napari_noise2atom.comparison import MethodBegun, MethodFailed, MethodFinished, MethodProgress, compare
from napari_noise2atom.comparisonfolder import SCORE_COLUMNS, ComparisonFolder
from napari_noise2atom.events import Command
from napari_noise2atom.inference import denoise_frames
from napari_noise2atom.io import read_movie
from napari_noise2atom.metrics import Truth, score_movie
from napari_noise2atom.modelfile import Normalisation, TrainedModel
from napari_noise2atom.networks import build_s2c
from napari_noise2atom.settings import CompareSettings, MovieSettings, NetworkSettings, Settings
from napari_noise2atom.simulate.noisy import simulate_movie

SETTINGS = CompareSettings(device="cpu", threads=1)
SIMULATED = simulate_movie(MovieSettings(frames=6, size_px=40, clusters=1, single_atoms=3))
MOVIE = SIMULATED.noisy
TRUTH = Truth(SIMULATED.clean, SIMULATED.positions, 0.03)


@dataclass
class Scripted:
    """A method that does what a test wants."""

    denoise: Any
    title: str = "Scripted"


@pytest.fixture
def method(monkeypatch):
    """Add a method of the name scripted."""
    return lambda denoise: monkeypatch.setitem(METHODS, "scripted", Scripted(denoise))


def raiser(error):
    def denoise(movie, settings, progress):
        raise error

    return denoise


def ends(events):
    return [event for event in events if isinstance(event, MethodFinished | MethodFailed)]


def test_each_method_begins_tells_and_ends_once():
    events = list(compare(MOVIE, ["raw", "gaussian-2d", "raw"], SETTINGS))
    begun = [event for event in events if isinstance(event, MethodBegun)]
    assert [(event.name, event.number, event.total) for event in begun] == [("raw", 1, 2), ("gaussian-2d", 2, 2)]
    assert [event.name for event in ends(events)] == ["raw", "gaussian-2d"]
    assert all(0 <= event.share <= 1 for event in events if isinstance(event, MethodProgress))
    for event in ends(events):
        assert event.movie.pixel_size_nm == MOVIE.pixel_size_nm
        assert event.movie.data.dtype == np.float32
        assert event.seconds >= 0


def test_the_time_left_is_told_as_soon_as_it_can_be_estimated():
    assert MethodProgress("raw", 1e-6, 5.0).seconds_left is None
    assert MethodProgress("raw", 0.25, 5.0).seconds_left == 15
    assert MethodProgress("raw", 1.0, 5.0).seconds_left == 0


def test_scores_are_those_of_the_result():
    (end,) = ends(compare(MOVIE, ["gaussian-3d"], SETTINGS, truth=TRUTH))
    assert end.scores.summary == score_movie(end.movie, raw=MOVIE, truth=TRUTH).summary
    assert end.scores.summary["f1"] > 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("install it"), "install it"),
        (ValueError("too\nsmall"), "too small"),
        (MemoryError(), "MemoryError"),
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_failure_says_why_and_the_rest_goes_on(method, error, reason):
    method(raiser(error))
    failed, finished = ends(compare(MOVIE, ["scripted", "raw"], SETTINGS))
    assert (failed.name, failed.reason) == ("scripted", reason)
    assert finished.name == "raw"


@pytest.mark.parametrize("result", [np.zeros((6, 40, 39), np.float32), np.full(MOVIE.shape, np.nan, np.float32)])
def test_wrong_result_is_a_failure(method, result):
    method(lambda movie, settings, progress: result)
    (failed,) = ends(compare(MOVIE, ["scripted"], SETTINGS))
    assert "expected the shape (6, 40, 40)" in failed.reason


def endless(began):
    def denoise(movie, settings, progress):
        while True:
            began.set()
            progress(0.5)

    return denoise


def test_stop_ends_the_method_and_those_after_it(method):
    began = threading.Event()
    method(endless(began))
    events = compare(MOVIE, ["raw", "scripted", "gaussian-2d"], SETTINGS)
    seen, command = [], None
    with suppress(StopIteration):
        while True:
            seen.append(events.send(command))
            command = Command.STOP if began.is_set() else None
    assert [event.name for event in ends(seen)] == ["raw", "scripted"]
    assert seen[-1].reason == "it was stopped"


def test_closing_ends_the_thread(method):
    began = threading.Event()
    method(endless(began))
    with closing(compare(MOVIE, ["scripted"], SETTINGS)) as events:
        while not began.is_set():
            next(events)
        assert any(thread.name == "compare scripted" for thread in threading.enumerate())
    assert not any(thread.name == "compare scripted" for thread in threading.enumerate())


def test_bad_frames_are_hidden_from_methods_and_left_as_they_are(method):
    data = np.asarray(MOVIE.data, np.float32).copy()
    data[2], data[5, 0, 0] = 7, np.nan
    seen = []
    method(lambda movie, settings, progress: seen.append(movie.frames(range(6))) or seen[0] + 1)
    (end,) = ends(compare(MOVIE.with_data(data), ["scripted"], SETTINGS, truth=TRUTH))
    np.testing.assert_array_equal(seen[0][2], data[1])
    np.testing.assert_array_equal(seen[0][5], data[4])
    np.testing.assert_array_equal(end.movie.frame(2), data[2])
    np.testing.assert_array_equal(end.movie.frame(5), data[5])
    np.testing.assert_array_equal(end.movie.frame(1), data[1] + 1)
    assert end.scores.summary["bad_frames"] == 2


def test_trained_models_join_in():
    settings = Settings(network=NetworkSettings(frames_in=3, channels=4))
    torch.manual_seed(0)
    model = TrainedModel(settings, build_s2c(settings.network).state_dict(), Normalisation(0, 3000), 0.03, {})
    (end,) = ends(compare(MOVIE, [], SETTINGS, models={"mine": model}))
    assert (end.name, end.title) == ("noise2atom (mine)", "Noise2Atom (mine)")
    np.testing.assert_allclose(
        end.movie.frames([0, 4]), denoise_frames(MOVIE, model, [0, 4], device="cpu", threads=1), atol=1e-6
    )


@pytest.mark.parametrize(
    ("movie", "methods", "truth", "words"),
    [
        (MOVIE, ["best"], None, "'best'; expected some of raw, gaussian-2d"),
        (MOVIE.with_data(np.zeros((4, 8, 8))), ["raw"], None, "expected at least"),
        (MOVIE.with_data(MOVIE.data[1:]), ["raw"], TRUTH, "expected the same"),
    ],
)
def test_what_cannot_be_compared_is_refused(movie, methods, truth, words):
    with pytest.raises(ValueError, match=words):
        next(compare(movie, methods, SETTINGS, truth=truth))


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_folder_holds_movies_and_tables(tmp_path):
    folder = ComparisonFolder(tmp_path / "new" / "folder", MOVIE, TRUTH)
    finished = ends(compare(MOVIE, ["raw", "gaussian-2d"], SETTINGS, truth=TRUTH))
    for event in finished:
        path = folder.add(event)
        np.testing.assert_array_equal(read_movie(path).data, event.movie.data)
    scores = table(folder.folder / "scores.csv")
    assert [row["method"] for row in scores] == ["raw", "gaussian-2d"]
    assert list(scores[0]) == ["method", *SCORE_COLUMNS, "seconds"]
    for row, event in zip(scores, finished, strict=True):
        assert float(row["f1"]) == pytest.approx(event.scores.summary["f1"], rel=1e-5)
    css = table(folder.folder / "css.csv")
    assert list(css[0]) == ["frame", "truth", "raw", "gaussian-2d"]
    assert len(css) == len(MOVIE)
    assert float(css[3]["raw"]) == pytest.approx(finished[0].scores.columns["css"][3], rel=1e-5)
    assert list(folder.panels) == list(folder.css) == ["Truth", "Raw", "Gaussian 2-D"]
    np.testing.assert_array_equal(folder.panels["Raw"], MOVIE.frame(3))


def test_folder_without_truth_leaves_its_scores_empty(tmp_path):
    folder = ComparisonFolder(tmp_path, MOVIE)
    for event in ends(compare(MOVIE, ["raw"], SETTINGS)):
        folder.add(event)
    (row,) = table(tmp_path / "scores.csv")
    assert row["f1"] == ""
    assert float(row["css"]) > 0


def test_shown_frame_is_a_good_one(tmp_path):
    data = np.asarray(MOVIE.data).copy()
    data[3] = 0
    assert ComparisonFolder(tmp_path, MOVIE.with_data(data)).frame in (2, 4)
