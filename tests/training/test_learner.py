"""What a step does when a loss is not finite."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_runs import FAST, changed
from torch import Tensor

from napari_noise2atom.movie import Movie
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import Settings
from napari_noise2atom.training import learner as module
from napari_noise2atom.training.learner import Learner, NonFiniteLossError
from napari_noise2atom.training.parts import Team
from napari_noise2atom.training.patches import Patches

IN_TURN = {"training": {"joint": False}}
"""One update after the other, as the paper does them."""


@pytest.fixture(params=[{}, IN_TURN], ids=["joint", "in turn"])
def learner(request: pytest.FixtureRequest, movie: Movie, proposed: Settings) -> Learner:
    settings = changed(proposed, FAST, request.param)
    normalisation = measure_normalisation(movie)
    patches = Patches.of(movie, (2, 3), settings.network, normalisation)
    return Learner(settings, patches, normalisation, Team(torch.device("cpu"), 2))


@pytest.mark.parametrize("name", ["critic_loss", "adversarial_loss", "cycle_loss", "low_frequency_cycle_loss"])
@pytest.mark.parametrize("call", [0, 1])
def test_a_step_of_a_loss_that_is_not_finite_is_undone(
    monkeypatch: pytest.MonkeyPatch, learner: Learner, name: str, call: int
) -> None:
    learner.cycle_step(0)
    before = {role: {n: w.clone() for n, w in net.state_dict().items()} for role, net in learner._networks.items()}
    intact: Callable[..., Tensor] = getattr(module, name)
    calls = iter(range(100))  # the first two are those of the two parts of a batch
    monkeypatch.setattr(module, name, lambda *args: intact(*args) * (np.nan if next(calls) == call else 1))
    with pytest.raises(NonFiniteLossError, match=r"not finite.*nan"):
        learner.cycle_step(1)
    for role, network in learner._networks.items():
        for weight_name, weight in network.state_dict().items():
            assert torch.equal(weight, before[role][weight_name]), f"{role}.{weight_name}"
    assert np.isfinite([*learner.cycle_step(2).values()]).all()
    assert all(bool(tensor.isfinite().all()) for tensor in learner.state().values())
