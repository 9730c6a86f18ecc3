"""The process in which CAREamics works, with an interpreter that only pretends to have it."""

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_noise2atom.baselines import METHODS, UnavailableError
from napari_noise2atom.baselines.noise2void import CHILD, INTERPRETER
from napari_noise2atom.movie import Movie

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the pretended interpreter is a script with #!")

FINE = """
say(progress=0.25)
say(progress=0.5)
np.save(folder / "denoised.npy", np.load(folder / "movie.npy") / 2)
"""


@pytest.fixture
def movie():
    return Movie(np.random.default_rng(0).integers(0, 99, (3, 64, 80)).astype(np.uint16))


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Return a function that makes a program the interpreter; it keeps its arguments and its request."""

    def with_program(program):
        script = tmp_path / "python"
        script.write_text(
            f"#!{sys.executable}\n"
            "import json, os, shutil, sys, time\nfrom pathlib import Path\nimport numpy as np\n"
            "folder = Path(sys.argv[-1])\n"
            "def say(**words):\n    print(json.dumps(words), flush=True)\n"
            f"kept = Path({str(tmp_path)!r})\n"
            "(kept / 'arguments.json').write_text(json.dumps(sys.argv[1:]))\n"
            "shutil.copy(folder / 'request.json', kept)\n"
            f"{program}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv(INTERPRETER, str(script))
        return tmp_path

    return with_program


def test_movie_and_result_travel_as_files_and_progress_as_lines(pretend, movie, one_core):
    pretend(FINE)
    told = []
    denoised = METHODS["noise2void"].denoise(movie, one_core, told.append)
    assert denoised.dtype == np.float32
    np.testing.assert_array_equal(denoised, movie.data.astype(np.float32) / 2)
    assert told == sorted(told)
    assert {0.25, 0.5} < set(told)
    assert told[-1] == 1


@pytest.mark.parametrize(("name", "mask_px"), [("noise2void", 1), ("struct-n2v", 5)])
def test_the_child_is_asked_for_what_the_user_chose(name, mask_px, pretend, movie, one_core):
    kept = pretend(FINE)
    METHODS[name].denoise(movie, one_core, lambda share: None)
    request = json.loads((kept / "request.json").read_text())
    assert request == {"minutes": 60, "seed": 3, "device": "cpu", "threads": 1, "mask_px": mask_px}
    option, program, folder = json.loads((kept / "arguments.json").read_text())
    assert (option, program) == ("-P", str(CHILD))
    assert not os.path.exists(folder)


def test_a_missing_package_is_told_with_what_to_install(pretend, movie, one_core):
    pretend("say(unavailable=\"No module named 'careamics'\")")
    with pytest.raises(UnavailableError, match=rf"No module named 'careamics'.*pip install.*{INTERPRETER}"):
        METHODS["noise2void"].denoise(movie, one_core, lambda share: None)


def test_a_missing_interpreter_is_told(monkeypatch, movie, one_core):
    monkeypatch.setenv(INTERPRETER, "/nowhere/python")
    with pytest.raises(UnavailableError, match="/nowhere/python cannot load"):
        METHODS["noise2void"].denoise(movie, one_core, lambda share: None)


def test_a_crash_is_told_with_its_last_words(pretend, movie, one_core):
    pretend("say(progress=0.5)\nraise RuntimeError('out of paper')")
    with pytest.raises(ChildProcessError, match=r"status 1:[\s\S]*RuntimeError: out of paper"):
        METHODS["noise2void"].denoise(movie, one_core, lambda share: None)


def lives(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("silent", [False, True])
def test_who_ends_it_ends_the_process(silent, pretend, movie, one_core):
    """Also while the process says nothing."""
    kept = pretend(
        "(kept / 'started').write_text(str(os.getpid()))\n"
        + ("time.sleep(600)" if silent else "while True:\n    say(progress=0.1)\n    time.sleep(0.01)")
    )

    def stop(share):
        if (kept / "started").exists() and (kept / "started").read_text():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        METHODS["noise2void"].denoise(movie, one_core, stop)
    assert not lives(int((kept / "started").read_text()))


def test_frames_that_are_too_small_are_refused(movie, one_core):
    small = movie.with_data(movie.data[:, :40])
    with pytest.raises(ValueError, match="40 × 80 px; Noise2Void needs at least 64 px"):
        METHODS["noise2void"].denoise(small, one_core, lambda share: None)


def test_the_child_says_when_the_package_is_missing(tmp_path):
    """The real program, whose package cannot be imported."""
    (tmp_path / "request.json").write_text("{}")
    (tmp_path / "careamics.py").write_text("raise ImportError('broken on purpose')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", str(CHILD), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == {"unavailable": "broken on purpose"}


def test_the_child_needs_nothing_of_this_package():
    imported = {
        name
        for node in ast.walk(ast.parse(CHILD.read_text(encoding="utf-8")))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [])
        + ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }
    assert not [name for name in imported if name is None or name.startswith("napari_noise2atom")]


@pytest.mark.slow
def test_careamics_itself(one_core):
    """Where it is installed; how well it denoises depends on the time that it gets."""
    movie = Movie(np.random.default_rng(0).normal(20, 3, (8, 66, 70)).astype(np.float32))
    hurried = one_core.model_copy(update={"minutes": 0.1})
    try:
        denoised = METHODS["struct-n2v"].denoise(movie, hurried, lambda share: None)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert denoised.shape == movie.shape
    assert denoised.min() > 0
    assert denoised.max() < 40
