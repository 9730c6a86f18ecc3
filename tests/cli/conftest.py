import os
from functools import partial

import pytest
import torch
from command_runs import ScriptedTraining, run_command

from napari_noise2atom import training
from napari_noise2atom.io import write_tiff
from napari_noise2atom.modelfile import Normalisation, TrainedModel, save_model
from napari_noise2atom.networks import build_s2c
from napari_noise2atom.settings import CleanSettings, MovieSettings, NetworkSettings, RunSettings, Settings
from napari_noise2atom.simulate.noisy import simulate_movie


@pytest.fixture
def noise2atom(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder, without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOISE2ATOM_DEBUG", raising=False)
    return partial(run_command, capsys)


@pytest.fixture(scope="session")
def simulated():
    return simulate_movie(MovieSettings(frames=6, size_px=48, clusters=1, single_atoms=3, seed=3))


@pytest.fixture
def movie_file(simulated, tmp_path):
    path = tmp_path / "movie.tif"
    write_tiff(simulated.noisy, path)
    return path


@pytest.fixture
def truth_file(simulated, tmp_path):
    simulated.save_truth(tmp_path / "truth.npz")
    return tmp_path / "truth.npz"


@pytest.fixture(scope="session")
def model():
    """A model that has learned nothing, of three frames."""
    settings = Settings(
        simulation=CleanSettings(variance_max_px2=7),
        network=NetworkSettings(frames_in=3, channels=4),
        run=RunSettings(threads=1),
    )
    torch.manual_seed(0)
    weights = build_s2c(settings.network).state_dict()
    return TrainedModel(settings, weights, Normalisation(0, 3000), 0.03, {"movie": "sample", "quality": 0.5})


@pytest.fixture
def model_file(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def scripted(model, monkeypatch):
    """Replace training by a script; what it was called with is in its ``calls``."""

    def use(**options):
        script = ScriptedTraining(model, **options)
        monkeypatch.setattr(training, "train", script, raising=False)
        return script

    return use


@pytest.fixture
def quiet_stop(monkeypatch):
    """Keep what is written on Ctrl-C, past Python's own streams, in a list."""
    written = []
    real = os.write
    monkeypatch.setattr(
        os, "write", lambda target, text: written.append(text.decode()) if target == 2 else real(target, text)
    )
    return written
