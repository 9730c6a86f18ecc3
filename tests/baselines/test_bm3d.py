"""The package bm3d is not needed here: others of that name stand in for it in the process of its own."""

import os

import numpy as np
import pytest

from napari_noise2atom.baselines import METHODS, UnavailableError
from napari_noise2atom.baselines import bm3d as module
from napari_noise2atom.settings import CompareSettings, MovieSettings
from napari_noise2atom.simulate.noisy import simulate_movie

SETTINGS = CompareSettings(threads=1)
HEAD = "import os, sys\nclass BM3DProfile:\n    num_threads = 0\n"


@pytest.fixture(scope="module")
def movie():
    return simulate_movie(MovieSettings(frames=8, size_px=48, clusters=1, single_atoms=4)).noisy


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make a package bm3d whose function has the given body."""

    def make(body):
        (tmp_path / "bm3d.py").write_text(f"{HEAD}def bm3d(z, sigma_psd, profile):\n    {body}\n")
        monkeypatch.syspath_prepend(tmp_path)
        paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    return make


def test_missing_package_is_named(movie, monkeypatch):
    monkeypatch.setattr("napari_noise2atom.baselines.method.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"package bm3d, .* pip install 'napari-noise2atom\[compare\]'"):
        METHODS["bm3d"].denoise(movie, SETTINGS, lambda share: None)


def test_frames_come_back_in_their_grey_values(movie, stand_in):
    stand_in("assert sigma_psd == 1 and profile.num_threads == 1; return 0 * z + z.mean()")
    shares = []
    denoised = module.bm3d(movie, SETTINGS, shares.append)
    assert denoised.dtype == np.float32
    assert denoised.shape == movie.shape
    assert shares == [(index + 1) / 8 for index in range(8)]
    # frames of one value: the inverse takes no bias but that of unequal pixels
    means = movie.frames(range(8)).mean(axis=(1, 2))
    np.testing.assert_allclose(denoised[:, 0, 0], means, rtol=0.2)


@pytest.mark.parametrize(
    ("body", "words"),
    [("os.abort()", "ended with code"), ("raise MemoryError('no room')", "MemoryError: no room")],
)
def test_crash_becomes_a_sentence(movie, stand_in, body, words):
    stand_in(body)
    with pytest.raises(UnavailableError, match=words):
        module.bm3d(movie, SETTINGS, lambda share: None)


def test_process_ends_with_the_method(movie, stand_in, tmp_path):
    stand_in(f"open({str(tmp_path)!r} + f'/{{os.getpid()}}.pid', 'a').close(); return z")

    def stop(share):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        module.bm3d(movie, SETTINGS, stop)
    (process,) = (int(path.stem) for path in tmp_path.glob("*.pid"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.slow
def test_the_real_package_denoises(movie):
    pytest.importorskip("bm3d", reason="the extra compare is not installed")
    denoised = module.bm3d(movie, SETTINGS, lambda share: None)
    assert np.std(denoised) < 0.5 * np.std(movie.data)
