import numpy as np
import pytest

from napari_noise2atom.baselines import METHODS, UnavailableError
from napari_noise2atom.baselines.noise2atom import _limited
from napari_noise2atom.settings import CompareSettings, MovieSettings, preset
from napari_noise2atom.simulate.noisy import simulate_movie

UNTRAINED = [name for name, method in METHODS.items() if not method.trained]


@pytest.fixture(scope="module")
def movie():
    return simulate_movie(MovieSettings(frames=6, size_px=40, clusters=1, single_atoms=3)).noisy


@pytest.mark.parametrize("name", UNTRAINED)
def test_every_method_denoises_or_says_why_not(name, movie):
    shares = []
    try:
        denoised = METHODS[name].denoise(movie, CompareSettings(threads=1), shares.append)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert denoised.shape == movie.shape
    assert denoised.dtype == np.float32
    assert np.isfinite(denoised).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("name", UNTRAINED)
def test_every_method_can_be_ended(name, movie):
    def stop(share):
        raise InterruptedError

    with pytest.raises((InterruptedError, UnavailableError)):
        METHODS[name].denoise(movie, CompareSettings(threads=1), stop)


def test_names_are_those_of_files_and_options():
    for name, method in METHODS.items():
        assert method.name == name
        assert name == "".join(c for c in name.lower() if c.isalnum() or c == "-")


def test_trainings_have_what_the_comparison_gives_them():
    settings = CompareSettings(minutes=3, seed=7, device="cpu", threads=2)
    run = _limited(preset("paper"), settings).run
    assert (run.max_minutes, run.seed, run.device, run.threads) == (3, 7, "cpu", 2)
    assert _limited(preset("paper"), settings).training == preset("paper").training


@pytest.mark.slow
def test_noise2atom_is_trained_and_applied(movie):
    shares = []
    settings = CompareSettings(minutes=0.05, device="cpu", threads=1)
    bigger = simulate_movie(MovieSettings(frames=6, size_px=64)).noisy
    denoised = METHODS["noise2atom-compact"].denoise(bigger, settings, shares.append)
    assert denoised.shape == bigger.shape
    assert 0 <= denoised.min() < denoised.max() <= 1
    assert shares[-1] == 1
