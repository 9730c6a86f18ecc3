"""Makes sure that the plain port does the same mathematics as the preset `paper`, on small images.

Weights are copied from the package's networks into the port's. Then the networks must agree, and so must all losses of
some steps of training: those of the package's `Learner` as it is, and those of the port, which is given the same crops,
clean images and shares of the mixtures. The critic's dropout is off on both sides, as each draws it in its own way.

All of it is done in double precision: an untrained critic under RMSProp magnifies the rounding of float32, from 1e-4 to
tenths within one step, which would hide a mistake. For the same reason every step begins with equal weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from plain_port import CRITIC_STEPS, PlainRecipe, clean_image
from torch import Tensor, nn

from napari_noise2atom.networks import limited_threads
from napari_noise2atom.networks.blocks import TransposedConv
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import CleanSettings, Settings, preset
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.training.draws import Draws
from napari_noise2atom.training.learner import Learner
from napari_noise2atom.training.parts import Part, Team
from napari_noise2atom.training.patches import Patches

SIZE_PX, BATCH = 40, 2
TOLERANCE = 1e-5
"""Largest relative difference of losses, and largest difference of images in [-1, 1]."""


def check_port(steps: int, threads: int = 1) -> str:
    """Compare port and package; return what was found, or raise an AssertionError."""
    with limited_threads(threads), torch.random.fork_rng(), in_double_precision():
        check_clean_images()
        learner, port = small_learner(), PlainRecipe(SIZE_PX)
        for network in (port.s2c, port.c2s, port.critic, port.low_pass):
            network.double().eval()
        learner.critic.eval()
        copy_state(learner, port)
        images = check_images(learner, port)
        losses = [check_step(learner, port, number) for number in range(steps)]
    return f"images agree within {images:.0e}, the losses of {steps} steps within {max(losses, default=0):.0e}"


@contextmanager
def in_double_precision() -> Iterator[None]:
    with (
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
        mock.patch.object(Draws, "_tensor", lambda draws, images: torch.as_tensor(images).double()),
    ):
        yield


def small_learner() -> Learner:
    rng = np.random.default_rng(0)
    paper = preset("paper")
    changes = {
        "simulation": paper.simulation.model_copy(update={"crop_px": SIZE_PX, "lattice_px": 2 * SIZE_PX}),
        "training": paper.training.model_copy(update={"batch_size": BATCH}),
    }
    settings: Settings = paper.model_copy(update=changes)
    patches = Patches(rng.standard_normal((4, 1, SIZE_PX + 8, SIZE_PX + 8), np.float32), (0, 1, 2, 3))
    learner = Learner(settings, patches, Normalisation(-1, 1), Team(torch.device("cpu"), 1))
    for network in (learner.s2c, learner.c2s, learner.critic, learner.average, learner.low_pass):
        network.double()
    return learner


@torch.no_grad()
def copy_state(learner: Learner, port: PlainRecipe) -> None:
    """Copy the weights and what the optimisers remember, layer by layer; both sides define them in the same order."""
    kernel = torch.outer(learner.low_pass.kernel, learner.low_pass.kernel)
    torch.testing.assert_close(kernel, port.low_pass.weight[0, 0], rtol=TOLERANCE, atol=TOLERANCE**2)
    port.low_pass.weight[0, 0] = kernel
    networks = (
        (learner.s2c, port.s2c, learner.optimisers["generators"], port.generators),
        (learner.c2s, port.c2s, learner.optimisers["generators"], port.generators),
        (learner.critic, port.critic, learner.optimisers["critic"], port.critics),
    )
    for ours, theirs, our_optimiser, their_optimiser in networks:
        numbers = {id(weight): number for number, weight in enumerate(our_optimiser.weights)}
        for source, target, transposed in weights(ours, theirs):
            target.copy_(as_transposed(source) if transposed else source)
            remembered = {key: moments[numbers[id(source)]] for key, moments in our_optimiser.remembered.items()}
            their_optimiser.state[target] = {
                key: as_transposed(value) if transposed else value.clone() for key, value in remembered.items()
            }
            if remembered:
                their_optimiser.state[target]["step"] = torch.tensor(float(our_optimiser.steps))


def weights(ours: nn.Module, theirs: nn.Module) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Yield all weights of a network, the port's, and whether they are a transposed convolution written as another.

    The port's biases before an instance norm, which has no use for them, stay as they are.
    """
    layers = (filter(has_weights, network.modules()) for network in (ours, theirs))
    for layer, plain in zip(*layers, strict=True):
        for name, weight in layer.named_parameters(recurse=False):
            yield weight, getattr(plain, name), isinstance(layer, TransposedConv) and name == "weight"


def has_weights(module: nn.Module) -> bool:
    return bool(module._parameters)


def as_transposed(kernel: Tensor) -> Tensor:
    return kernel.flip(2, 3).transpose(0, 1).clone()


@torch.no_grad()
def check_images(learner: Learner, port: PlainRecipe) -> float:
    """Return the largest difference of what the networks make of the same images."""
    images = torch.from_numpy(np.random.default_rng(1).standard_normal((BATCH, 1, SIZE_PX, SIZE_PX)))
    pairs = [
        (learner.s2c(images), port.s2c(images)),
        (learner.c2s(images), port.c2s(images)),
        (learner.critic(images), port.critic(images)[:, 0]),
        (learner.low_pass(images), port.low_pass(images)),
    ]
    difference = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
    assert difference < TOLERANCE, f"the networks differ by {difference}"
    return difference


def check_step(learner: Learner, port: PlainRecipe, number: int) -> float:
    """Do one step on both sides; return the largest relative difference of the losses."""
    copy_state(learner, port)
    noisy, real, shares = draws(learner, number)
    ours = learner.cycle_step(number)
    theirs = {name: float(loss.detach()) for name, loss in port.step(noisy, real, shares).items()}
    assert ours.keys() == theirs.keys()
    difference = max(abs(theirs[name] - loss) / max(abs(loss), 0.1) for name, loss in ours.items())
    assert difference < TOLERANCE, f"step {number}: the losses are {ours}, those of the port {theirs}"
    return difference


def draws(learner: Learner, number: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the crops, clean images and shares that the learner will draw in a step, from the same seeds."""
    parts, seen = learner._draws.cycle_step(number, learner.attempt)
    noisy, clean = torch.cat([each.noisy for each in seen]), torch.cat([each.clean for each in seen])
    return noisy, clean, [torch.cat([*map(share, parts)]) for _ in range(CRITIC_STEPS)]


def share(part: Part) -> Tensor:
    return torch.rand((len(part), 1, 1, 1), generator=part.noise)


def check_clean_images() -> None:
    """Draw the same atoms on both sides; on a lattice that is all crop, none of them is unknown."""
    settings = CleanSettings(crop_px=64, lattice_px=64, positions_min=10, positions_max=20)
    clean = simulate_clean(3, settings, np.random.default_rng(0))
    for image, positions, atoms, variance in zip(
        clean.images, clean.positions, clean.atoms, clean.variance_px2, strict=True
    ):
        lattice = np.zeros((64, 64))
        there = positions[atoms > 0].astype(int)
        np.add.at(lattice, (there[:, 0], there[:, 1]), atoms[atoms > 0])
        difference = np.abs(image - clean_image(lattice, float(variance), 64)).max()
        assert difference < TOLERANCE, f"clean images differ by {difference}"
