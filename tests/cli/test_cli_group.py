"""Trainings by several processes, as on several GPUs or computers."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_noise2atom.io import write_tiff
from napari_noise2atom.modelfile import load_model, load_tensors
from napari_noise2atom.settings import MovieSettings
from napari_noise2atom.simulate.noisy import simulate_movie

SMALL = {
    "simulation": {"crop_px": 40, "lattice_px": 64, "positions_min": 4, "positions_max": 8},
    "network": {"channels": 8, "frames_in": 3},
    "warm_start": {"steps": 12, "crop_px": 40},
    "training": {"epochs": 2, "sampled_frames": 12, "critic_steps": 2},
    "run": {"device": "cpu", "threads": 1, "probe_frames": 2},
}
"""Twelve steps of the warm start, six of the cycle if four crops are seen at once."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    settings = MovieSettings(frames=12, size_px=64, clusters=1, single_atoms=8)
    write_tiff(simulate_movie(settings).noisy, folder / "movie.tif")
    return folder


def start(folder, name, images, *words, **more):
    """Begin a training of so many images per process and step."""
    groups = {group: fields | more.get(group, {}) for group, fields in SMALL.items()}
    for group in ("warm_start", "training"):
        groups[group] = groups[group] | {"batch_size": images}
    sets = [f"--set={group}.{field}={value}" for group, fields in groups.items() for field, value in fields.items()]
    command = [sys.executable, "-m", "napari_noise2atom.cli", "train", "movie.tif", "-o", name, "--preset", "compact"]
    return subprocess.Popen(
        [*command, *sets, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def alone(folder):
    """One process that sees four images in a step."""
    code, _, err = finish(start(folder, "alone", 4))
    assert code == 0, err
    return load_tensors(folder / "alone" / "checkpoint.safetensors")[0]


def assert_same(state, other):
    assert state.keys() == other.keys()
    for name, tensor in state.items():
        np.testing.assert_allclose(tensor, other[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_two_processes_learn_what_one_does_with_twice_the_batch(folder, alone):
    code, out, err = finish(start(folder, "devices", 2, "--devices", "2"))
    assert code == 0, err
    assert "18 steps (done)" in out
    assert err.count("Training on cpu") == 1, "a process that assists says nothing"
    assert_same(load_tensors(folder / "devices" / "checkpoint.safetensors")[0], alone)
    assert load_model(folder / "devices").provenance["processes"] == 2


def test_two_computers_learn_what_one_does_with_twice_the_batch(folder, alone):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        place = f"localhost:{probe.getsockname()[1]}"
    nodes = [start(folder, "nodes", 2, "--nodes", "2", "--rendezvous", place) for _ in range(2)]
    assert [finish(node)[0] for node in nodes] == [0, 0]
    assert_same(load_tensors(folder / "nodes" / "checkpoint.safetensors")[0], alone)


def wait_for(path):
    end = time.monotonic() + 100
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.1)


def test_a_stopped_group_keeps_its_model_and_can_be_resumed_by_another(folder):
    long = {"warm_start": {"steps": 10**6}, "run": {"checkpoint_every_s": 0.2}}
    process = start(folder, "stopped", 2, "--devices", "2", **long)
    wait_for(folder / "stopped" / "checkpoint.safetensors")
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = finish(process)
    assert code == 0, err
    assert "(stopped)" in out
    assert "Traceback" not in err
    trained_s = load_tensors(folder / "stopped" / "checkpoint.safetensors")[1]["progress"]["seconds"]
    resumed = subprocess.run(
        [
            sys.executable,
            "-m",
            "napari_noise2atom.cli",
            "train",
            "movie.tif",
            "-o",
            "stopped",
            "--resume",
            "-t",
            str(trained_s / 60 + 0.02),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after step" in resumed.stderr


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_process_ends_the_group_and_is_named(folder):
    process = start(folder, "killed", 2, "--devices", "2", warm_start={"steps": 10**6}, run={"checkpoint_every_s": 0.2})
    wait_for(folder / "killed" / "model.safetensors")
    os.kill(children(process.pid)[1], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1
    assert "process 1 was killed; --resume goes on" in err
    assert "Traceback" not in err
    assert load_model(folder / "killed").settings.network.frames_in == 3


def test_what_a_group_needs_is_said_at_once(noise2atom, movie_file):
    ended = noise2atom("train", movie_file, "-o", "run", "--nodes", 2)
    assert ended.code == 2
    assert "add --rendezvous HOST:PORT" in ended.err
    for place in ("node1", "node1:port", "node1:70000"):
        ended = noise2atom("train", movie_file, "-o", "run", "--nodes", 2, "--rendezvous", place)
        assert ended.code == 2
        assert "expected HOST:PORT, such as node1:29500" in ended.err
    ended = noise2atom("train", movie_file, "-o", "run", "--rendezvous", "node1:29500")
    assert ended.code == 2
    assert "add --nodes M" in ended.err


def test_a_movie_that_cannot_be_read_is_said_once(noise2atom):
    ended = noise2atom("train", "none.tif", "-o", "run", "--devices", 2)
    assert ended.code == 1
    assert ended.err.count("none.tif: there is no such file") == 1


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (2, 2), ("a message", 1)])
def test_a_process_of_a_group_ends_at_once_and_has_said_all(code, expected):
    # the printed words wait in a buffer; what is left for the end of Python is a thread that would abort it
    program = (
        "import atexit, os; from napari_noise2atom.cli.group import leave\n"
        f"atexit.register(os.abort); print('said'); leave({code!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (expected, "said\n")
