"""Every command on a real, tiny training: nothing is scripted."""

import csv

import numpy as np
import pytest

from napari_noise2atom.io import read_movie

TINY = (
    "simulation.crop_px=32",
    "network.channels=4",
    "network.frames_in=3",
    "warm_start.steps=6",
    "warm_start.batch_size=2",
    "warm_start.crop_px=32",
    "training.epochs=1",
    "training.sampled_frames=4",
    "training.batch_size=2",
    "training.low_pass_px=9",
    "run.threads=1",
    "run.probe_frames=2",
    "run.device=cpu",
)


@pytest.mark.slow
def test_simulate_train_denoise_score_info(noise2atom, tmp_path):
    assert noise2atom("simulate", "sim", "--frames", 12, "--size", 48).code == 0
    words = [word for setting in TINY for word in ("--set", setting)]
    trained = noise2atom("train", "sim/noisy.tif", "-o", "run", "--preset", "compact", *words, "--json")
    assert trained.code == 0, trained.err
    names = [event["event"] for event in trained.lines]
    assert (names[0], names[-1]) == ("started", "finished")
    finished = trained.lines[-1]
    assert (finished["reason"], finished["step"]) == ("done", 8)

    again = noise2atom("train", "sim/noisy.tif", "-o", "run")
    assert again.code == 2
    assert noise2atom("train", "sim/noisy.tif", "-o", "run", "--resume").code == 0

    assert noise2atom("denoise", "sim/noisy.tif", "-m", "run", "-o", "denoised.tif").code == 0
    denoised = read_movie(tmp_path / "denoised.tif")
    assert denoised.shape == (12, 48, 48)
    assert np.ptp(denoised.frame(5)) > 0

    scored = noise2atom("score", "denoised.tif", "--raw", "sim/noisy.tif", "--truth", "sim/truth.npz", "--json")
    assert scored.lines[0]["frames"] == 12
    told = noise2atom("info", "run")
    assert told.code == 0
    assert "can be resumed" in told.out
    with (tmp_path / "run/history.csv").open() as file:
        assert "score_quality" in next(csv.reader(file))
