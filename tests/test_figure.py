import csv

import numpy as np
import pytest

from napari_noise2atom.figure import Comparison, draw_comparison, draw_methods, read_history
from napari_noise2atom.metrics import score_movie
from napari_noise2atom.movie import Movie

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def history_file(tmp_path):
    """Two stages with losses of their own, and rows of scores between them."""
    path = tmp_path / "history.csv"
    names = ["stage", "step", "seconds", "pairs", "critic", "cycle", "score_css", "score_quality"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for step in range(1, 101):
            losses = {"pairs": 1 / step} if step <= 50 else {"critic": 1 - 0.03 * step, "cycle": 3 / step}
            stage = "warm start" if step <= 50 else "cycle"
            writer.writerow({"stage": stage, "step": step, "seconds": 1.5 * step} | losses)
            if step % 20 == 0:
                scores = {"score_css": 0.8, "score_quality": 0.5}
                writer.writerow({"stage": stage, "step": step, "seconds": 1.5 * step} | scores)
    return path


@pytest.fixture
def comparison():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :96]
    truth = np.stack([np.exp(-((y - 30) ** 2 + (x - 20 - 4 * t) ** 2) / 14) for t in range(8)])
    raw = rng.poisson(2 * truth + 0.5).astype(np.uint16)
    raw[3] = 0  # a bad frame
    movies = {
        "raw": Movie(raw, pixel_size_nm=0.03),
        "denoised": Movie(truth.astype(np.float32) ** 0.8, pixel_size_nm=0.03),
        "truth": Movie(truth),
    }
    return Comparison(movies, {title: score_movie(movie).columns["css"] for title, movie in movies.items()})


def test_history_keeps_losses_and_leaves_out_scores(history_file):
    history = read_history(history_file)
    assert set(history.losses) == {"pairs", "critic", "cycle"}
    assert len(history.seconds) == len(history.stages) == 100
    assert np.isnan(history.losses["pairs"][50:]).all()
    assert history.losses["cycle"][-1] == pytest.approx(0.03)


def test_history_without_rows(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("stage,step,seconds,pairs\n")
    history = read_history(path)
    assert len(history.seconds) == 0


def test_picture_is_drawn(comparison, history_file, tmp_path):
    path = tmp_path / "demo.png"
    draw_comparison(comparison, read_history(history_file), path)
    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size > 50_000


def test_picture_without_losses(comparison, tmp_path):
    (tmp_path / "history.csv").write_text("stage,step,seconds,pairs\n")
    draw_comparison(comparison, read_history(tmp_path / "history.csv"), tmp_path / "demo.png")
    assert (tmp_path / "demo.png").exists()


@pytest.mark.parametrize("count", [1, 12])
def test_methods_are_drawn_whatever_their_number(count, tmp_path):
    rng = np.random.default_rng(0)
    frames = {f"method {i}": rng.random((40, 50), np.float32) for i in range(count)}
    frames["method 0"][:] = 3  # blank
    draw_methods(frames, {title: rng.random(9) for title in frames}, tmp_path / "compare.png", 0.03)
    assert (tmp_path / "compare.png").read_bytes().startswith(PNG)
