"""What all methods that train a network here have in common, with few steps."""

import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from napari_noise2atom.baselines import METHODS, fitting, mcnn, noise2self, ppn2v
from napari_noise2atom.baselines.mcnn import MultiResolution
from napari_noise2atom.networks import Generator, translate_tiled
from napari_noise2atom.normalisation import Normalisation

OWN = ["noise2self", "ppn2v", "mcnn"]


@pytest.fixture
def few_steps(monkeypatch):
    for module in (noise2self, ppn2v, mcnn):
        monkeypatch.setattr(module, "STEPS", 3)
    monkeypatch.setattr(ppn2v, "BOOTSTRAP_STEPS", 3)
    monkeypatch.setattr(ppn2v, "MODEL_STEPS", 10)


@pytest.mark.parametrize("name", ["noise2void", "struct-n2v", *OWN])
def test_a_trained_method_says_so_and_whose_it_is(name):
    method = METHODS[name]
    assert method.trained
    assert "20" in method.source


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", OWN)
def test_the_result_is_a_movie_that_the_seed_decides(name, bright_movie, one_core):
    told = []
    before = torch.random.get_rng_state()
    first = METHODS[name].denoise(bright_movie, one_core, told.append)
    again = METHODS[name].denoise(bright_movie, one_core, lambda share: None)
    other = METHODS[name].denoise(bright_movie, one_core.model_copy(update={"seed": 4}), lambda share: None)
    assert first.shape == bright_movie.shape
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert told == sorted(told)
    assert told[-1] == 1
    assert 0 <= told[0] < 0.01
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("when", [0.0, 0.5, 0.97])
def test_the_listener_may_end_it_at_any_time(name, when, bright_movie, one_core):
    def stop(share):
        if share >= when:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        METHODS[name].denoise(bright_movie, one_core, stop)


def test_frames_of_any_size(few_steps, bright_movie, one_core):
    odd = bright_movie.with_data(bright_movie.data[:3, :37, :51])
    assert METHODS["noise2self"].denoise(odd, one_core, lambda share: None).shape == (3, 37, 51)


def parabola():
    place = nn.Linear(1, 1, bias=False)
    return place, lambda step: (place.weight - 3).square().sum()


def descend(network, loss, steps=400, minutes=math.inf):
    told = []
    fitting.fit(network, loss, steps=steps, minutes=minutes, progress=told.append, learning_rate=0.1)
    return told


def test_the_descent_finds_a_minimum():
    network, loss = parabola()
    told = descend(network, loss)
    assert network.weight.item() == pytest.approx(3, abs=1e-3)
    assert told == pytest.approx([*np.arange(400) / 400, 1.0])


def test_the_minutes_end_the_descent(monkeypatch):
    """Six seconds a step: after ten steps a minute is over."""
    clock = iter(np.arange(0, 1e4, 6.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    told = descend(*parabola(), minutes=1)
    assert told == pytest.approx([*np.arange(1, 10) / 10, 1.0])


def test_however_short_the_time_there_is_one_step():
    network, loss = parabola()
    before = network.weight.item()
    assert descend(network, loss, minutes=1e-9) == [1.0, 1.0]
    assert network.weight.item() != before


def test_a_loss_that_is_no_number_is_told():
    network, _ = parabola()
    with pytest.raises(ArithmeticError, match="nan in step 0"):
        descend(network, lambda step: network.weight.sum() * math.nan)


def test_grey_values_come_back():
    normalisation = Normalisation(100, 4000)
    grey = np.linspace(0, 5000, 7)
    np.testing.assert_allclose(fitting.to_grey(normalisation.apply(grey), normalisation), grey, rtol=1e-5, atol=1e-2)


def test_a_portion_of_the_progress():
    told = []
    part = fitting.portion(told.append, 0.2, 0.6)
    part(0.0), part(0.5), part(1.0)
    assert told == pytest.approx([0.2, 0.4, 0.6])


@pytest.mark.parametrize("height", [1, 5, 40])
def test_a_network_that_does_nothing_returns_the_movie(height, bright_movie):
    """Margins are taken away again, also where frames are lower than they."""
    movie = bright_movie.with_data(bright_movie.data[:, :height])
    normalisation = Normalisation(100, 4000)
    told = []
    result = fitting.translate_movie(movie, Middle(), normalisation, torch.device("cpu"), told.append)
    np.testing.assert_array_equal(result, normalisation.apply(movie.data))
    assert told == pytest.approx(np.arange(1, 9) / 8)


class Middle(Generator):
    def __init__(self):
        super().__init__(frames_in=3, noise_channels=0, overlap_px=0, needs_statistics=False)

    def translate(self, images):
        return images[:, 1:2]


@pytest.mark.parametrize("size", [(64, 64), (41, 30)])
def test_the_multi_resolution_network_keeps_the_size(size):
    assert MultiResolution()(torch.zeros(2, 1, *size)).shape == (2, 1, *size)


def test_tiles_do_not_change_the_multi_resolution_network():
    network = MultiResolution()
    images = torch.randn(1, 1, 160, 176, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(translate_tiled(network, images, 64), network(images), rtol=1e-4, atol=1e-5)


def test_every_resolution_reaches_the_result():
    network = MultiResolution()
    for branch in network.branches:
        network.zero_grad()
        network(torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        assert float(branch[0].weight.grad.abs().sum()) > 0
