"""What the optimisers are compared with are those of torch."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from napari_noise2atom.training.optimisers import Adam, Optimiser, RMSprop

SHAPES = [(3, 2, 3, 3), (5,), (4, 4)]
PAIRS = {
    "Adam": (partial(Adam, decays=(0.9, 0.99)), partial(torch.optim.Adam, betas=(0.9, 0.99))),
    "RMSprop": (partial(RMSprop, decay=0.9, momentum=0.8), partial(torch.optim.RMSprop, alpha=0.9, momentum=0.8)),
}
Make = Callable[..., Optimiser]


def weights() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def gradients(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * 10.0 ** (number - 1) for number, shape in enumerate(SHAPES)]


@pytest.mark.parametrize("name", PAIRS)
def test_steps_are_those_of_torch(name: str) -> None:
    ours, theirs = weights(), weights()
    make, make_reference = PAIRS[name]
    optimiser, reference = make(ours, 1e-2), make_reference(theirs, 1e-2)
    for number in range(20):
        optimiser.rate = reference.param_groups[0]["lr"] = 1e-2 / (number + 1)
        optimiser.step(gradients(number))
        for weight, gradient in zip(theirs, gradients(number), strict=True):
            weight.grad = gradient
        reference.step()
    for weight, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PAIRS)
def test_a_weight_without_a_gradient_stays(name: str) -> None:
    changed, alone = weights(), weights()
    optimiser, reference = (PAIRS[name][0](each, 1e-2) for each in (changed, [alone[0], alone[2]]))
    for number in range(3):
        first, _, last = gradients(number)
        optimiser.step([first, None, last])
        reference.step([first, last])
    assert torch.equal(changed[1], weights()[1])
    assert torch.equal(changed[0], alone[0])
    assert torch.equal(changed[2], alone[2])


@pytest.mark.parametrize("name", PAIRS)
def test_a_restored_one_goes_on_as_if_nothing_had_been(name: str) -> None:
    make: Make = PAIRS[name][0]
    whole, first = weights(), weights()
    optimiser, begun = make(whole, 1e-2), make(first, 1e-2)
    for number in range(2):
        optimiser.step(gradients(number))
        begun.step(gradients(number))
    again = [weight.detach().clone().requires_grad_() for weight in first]
    resumed = make(again, 1e-2)
    resumed.restore(begun.state())
    begun.step(gradients(7))  # changes what was taken over, if that was no copy
    for number in range(2, 4):
        optimiser.step(gradients(number))
        resumed.step(gradients(number))
    for weight, expected in zip(again, whole, strict=True):
        assert torch.equal(weight, expected)


def test_before_the_first_step_and_after_a_reset_there_is_no_state() -> None:
    optimiser = RMSprop(weights(), 1e-2, 0.9, 0.9)
    assert optimiser.state() == {}
    optimiser.step(gradients(0))
    assert set(optimiser.state()) == {
        *(f"{n}.{name}" for n in range(3) for name in ("square_avg", "momentum_buffer")),
        "steps",
    }
    optimiser.reset()
    assert optimiser.state() == {}
    optimiser.restore({})
    assert (optimiser.state(), optimiser.steps) == ({}, 0)


def test_the_state_of_other_weights_is_refused() -> None:
    optimiser, other = RMSprop(weights(), 1e-2, 0.9, 0.9), RMSprop(weights()[:2], 1e-2, 0.9, 0.9)
    other.step(gradients(0)[:2])
    adam = Adam(weights(), 1e-2, (0.9, 0.99))
    adam.step(gradients(0))
    for state in (other.state(), adam.state()):
        with pytest.raises(ValueError, match="belongs to other weights"):
            optimiser.restore(state)


def test_neither_training_nor_denoising_loads_the_compiler() -> None:
    """It takes as long to load as the rest of torch, and was a third of the time to the first preview.

    It also loads Triton where that is, whose LLVM crashed windows that Mesa paints by another LLVM.
    """
    script = """
import sys
import numpy as np
import torch
from napari_noise2atom.baselines.fitting import fit
from napari_noise2atom.inference import denoise_frames
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import preset
from napari_noise2atom.training import train
settings = preset("compact")
for group, changes in {
    "warm_start": {"steps": 1, "batch_size": 2},
    "training": {"epochs": 1, "batch_size": 2, "sampled_frames": 2},
    "run": {"device": "cpu", "threads": 1, "probe_frames": 2},
}.items():
    settings = settings.model_copy(update={group: getattr(settings, group).model_copy(update=changes)})
frames = np.random.default_rng(0).poisson(2.0, (20, 64, 64)).astype(np.uint16)
movie, models = Movie(frames), []
def training():
    models.append((yield from train(movie, settings)))
*_, last = training()
assert last.step == 2, last
assert denoise_frames(movie, models[0], [0], threads=1).shape == (1, 64, 64)
network = torch.nn.Linear(1, 1)
fit(network, lambda step: network(torch.ones(1)).square().sum(), steps=2, minutes=1, progress=lambda share: None)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
