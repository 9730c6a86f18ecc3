"""The weights with which a warm start begins."""

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_noise2atom.networks import build_s2c
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import NetworkSettings, PresetName, SceneSettings, Settings, preset
from napari_noise2atom.simulate.pairs import simulate_pairs
from napari_noise2atom.spikes import QUANTILES
from napari_noise2atom.training.learner import Learner
from napari_noise2atom.training.parts import Team
from napari_noise2atom.training.patches import Patches
from napari_noise2atom.training.pretrained import load_pretrained

SIZE_PX = 64


def changed(settings: Settings, group: str, **fields: object) -> Settings:
    return settings.model_copy(update={group: getattr(settings, group).model_copy(update=fields)})


def first_weights(settings: Settings) -> dict[str, Tensor]:
    windows = np.zeros((1, settings.network.frames_in, 128, 128), np.float32)
    return Learner(settings, Patches(windows, (0,)), Normalisation(0, 1), Team(torch.device("cpu"), 1)).weights()


@pytest.mark.parametrize("name", ["compact", "default"])
def test_the_warm_start_of_a_preset_begins_with_them(name: PresetName) -> None:
    weights = load_pretrained(preset(name).network)
    assert weights is not None
    begun = first_weights(preset(name))
    assert begun.keys() == weights.keys()
    for key, weight in weights.items():
        assert weight.dtype == torch.float32
        assert bool(weight.isfinite().all())
        torch.testing.assert_close(begun[key], weight, rtol=0, atol=0)


@pytest.mark.parametrize("fields", [{"pretrained": False}, {"steps": 0}])
def test_without_them_weights_are_random(fields: dict[str, object]) -> None:
    weights = load_pretrained(preset("compact").network)
    assert weights is not None
    begun = first_weights(changed(preset("compact"), "warm_start", **fields))
    assert not any(torch.equal(begun[key], weight) for key, weight in weights.items())


@pytest.mark.parametrize("fields", [{"channels": 8}, {"frames_in": 15}, {"architecture": "paper"}])
def test_other_networks_have_none(fields: dict[str, object]) -> None:
    settings = changed(preset("compact"), "network", **fields)
    assert load_pretrained(settings.network) is None
    if settings.network.architecture == "compact":
        first_weights(settings)


@pytest.mark.parametrize(("variance", "frames_in"), [(1.5, 13), (6.0, 13), (15.0, 13), (6.0, 5)])
def test_they_know_an_atom_of_any_width(variance: float, frames_in: int) -> None:
    """Of what varies in clean images of a movie that they have not seen, they explain more than half."""
    network = NetworkSettings(frames_in=frames_in)
    weights = load_pretrained(network)
    assert weights is not None
    s2c = build_s2c(network)
    s2c.load_state_dict(weights)
    settings = changed(preset("compact"), "network", frames_in=frames_in)
    settings = changed(settings, "simulation", variance_min_px2=variance, variance_max_px2=variance)
    scene = SceneSettings(atom_peak_e=4 / variance**0.5, background_e=0.5 / variance**0.5, walk_px=0.3 * variance**0.5)
    settings = changed(settings.model_copy(update={"scene": scene}), "detector", saturation_counts=65535.0)
    pairs = simulate_pairs(16, SIZE_PX, settings, np.random.default_rng(5))
    low, high = np.quantile(pairs.noisy, QUANTILES)
    with torch.no_grad():
        made = s2c(torch.from_numpy(Normalisation(float(low), float(high)).apply(pairs.noisy)))[:, 0].numpy()
    assert np.square(made - pairs.clean).mean() < 0.5 * pairs.clean.var()
