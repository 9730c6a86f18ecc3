"""What steps see, drawn in time or ahead of it, and nothing that a step would have to fetch from another device."""

from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from small_runs import FAST, changed
from torch.utils._python_dispatch import TorchDispatchMode

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import limited_threads
from napari_noise2atom.normalisation import Normalisation, measure_normalisation
from napari_noise2atom.settings import PresetName, Settings, preset
from napari_noise2atom.training.learner import Learner
from napari_noise2atom.training.parts import Ahead, Team
from napari_noise2atom.training.patches import Patches

CPU, META = torch.device("cpu"), torch.device("meta")


def test_each_step_gets_its_own() -> None:
    made: list[tuple[int, int]] = []

    def make(step: int, attempt: int) -> tuple[int, int]:
        made.append((step, attempt))
        return step, attempt

    ahead = Ahead(make, 3)
    asked = [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (7, 2)]
    assert [ahead(*which) for which in asked] == asked
    assert len(made) == len(set(made)), "nothing is made twice while it is waited for"
    assert (4, 0) in made


def test_nothing_is_made_ahead_on_a_cpu() -> None:
    made: list[int] = []
    ahead = Team(CPU, 4).ahead(lambda step, attempt: made.append(step))
    ahead(5, 0)
    assert made == [5]


def test_a_mistake_in_the_background_is_told() -> None:
    def fail(step: int, attempt: int) -> None:
        raise ValueError(f"step {step}")

    with pytest.raises(ValueError, match="step 2"):
        Ahead(fail, 2)(2, 0)


def test_drawing_ahead_changes_nothing(movie: Movie, proposed: Settings) -> None:
    settings = changed(proposed, FAST)
    normalisation = measure_normalisation(movie)
    patches = Patches.of(movie, (2, 3), settings.network, normalisation)

    def losses(steps_ahead: int) -> list[dict[str, float]]:
        team = Team(CPU, 1)
        team._steps_ahead = steps_ahead
        learner = Learner(settings, patches, normalisation, team)
        first = [learner.warm_step(step, 0.1) for step in range(3)] + [learner.cycle_step(step) for step in range(2)]
        learner.attempt = 1  # as after a repair
        return [*first, learner.cycle_step(2)]

    with limited_threads(1):
        assert losses(0) == losses(2)


class Launches(TorchDispatchMode):
    """Counts operations, but for views, memory, and those of optimisers, which do all weights at once on a GPU."""

    OF_OPTIMISERS = ("add_", "mul_", "sqrt", "addcmul_", "addcdiv_", "lerp_", "_local_scalar_dense")
    OF_MEMORY = ("zeros", "zeros_like", "empty", "empty_like", "_unsafe_view")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        name = operation.overloadpacket.__name__
        self.count += not operation.is_view and name not in self.OF_OPTIMISERS + self.OF_MEMORY
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "most"), [("compact", 2600), ("paper", 7400)])
def test_a_step_stays_on_its_device_and_asks_little_of_it(name: PresetName, most: int) -> None:
    """Tensors on `meta` have no values: who mixes devices, or waits for a value to know a shape, fails there.

    A GPU does most operations in less time than it takes to launch them.
    """
    small = {"simulation": {"crop_px": 40, "lattice_px": 64}, "training": {"critic_steps": 2, "batch_size": 2}}
    settings = changed(preset(name), small)
    side = settings.simulation.crop_px + 8
    windows = np.zeros((4, settings.network.frames_in, side, side), np.float32)
    fetched: list[int] = []

    def fetch(tensor: torch.Tensor) -> list[float]:
        fetched.append(len(tensor))
        return [0.0] * len(tensor)

    with (
        mock.patch("napari_noise2atom.training.parts.torch.Generator"),
        mock.patch.object(torch.Tensor, "bernoulli_", lambda tensor, p, generator: tensor.fill_(p)),
        mock.patch("napari_noise2atom.training.learner.torch.randn", lambda *a, generator, **k: torch.ones(*a, **k)),
        mock.patch("napari_noise2atom.training.learner.torch.rand", lambda *a, generator, **k: torch.ones(*a, **k)),
        mock.patch("torch.autocast", return_value=nullcontext()),
        mock.patch.object(torch.Tensor, "tolist", fetch),
    ):
        learner = Learner(settings, Patches(windows, (0, 1, 2, 3)), Normalisation(-1, 1), Team(META, 1))
        learner.warm_step(0, 0.1)
        with Launches() as launches:
            learner.cycle_step(0)
    assert launches.count < most
    assert all(weight.device == META for weight in learner.s2c.parameters())
    assert len(fetched) == 2, "each step waits for its losses once"
