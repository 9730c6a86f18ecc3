"""Makes sure that the plain port does the same mathematics as the preset `paper`, on small images.

Weights are copied from the package's networks into the port's. Then the networks must agree, and so must the losses of
some steps of training: those of the package's `Learner` as it is, and those of the port, which is given the same crops,
clean images and shares of the mixtures. The critic's dropout is off on both sides, as each draws it in its own way.
"""

import numpy as np
import torch
from plain_port import CRITIC_STEPS, PlainRecipe, clean_image
from torch import Tensor, nn

from napari_noise2atom.modelfile import Normalisation
from napari_noise2atom.networks import LowPass, limited_threads
from napari_noise2atom.networks.blocks import TransposedConv
from napari_noise2atom.settings import CleanSettings, Settings, preset
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.training.learner import Learner
from napari_noise2atom.training.parts import Part, Team
from napari_noise2atom.training.patches import Patches

SIZE_PX, BATCH = 48, 2
ROUNDING = 1e-4
"""Largest difference of two results that are the same but for the order of float32 sums."""
GROWTH = 1e-3
"""Largest relative difference of losses, per step: RMSProp's first steps depend on the signs of gradients alone."""


def check_port(steps: int) -> str:
    """Compare port and package; return what was found, or raise an AssertionError."""
    with limited_threads(1), torch.random.fork_rng():
        check_clean_images()
        learner = small_learner()
        port = PlainRecipe(SIZE_PX)
        for ours, theirs in ((learner.s2c, port.s2c), (learner.c2s, port.c2s), (learner.critic, port.critic)):
            copy_weights(ours, theirs)
            theirs.eval()
        learner.critic.eval()
        results = check_results(learner, port)
        losses = [check_step(learner, port, number) for number in range(steps)]
    return f"the networks agree within {results:.0e}, the losses of {steps} steps within {max(losses):.0e} of each"


def small_learner() -> Learner:
    rng = np.random.default_rng(0)
    paper = preset("paper")
    changes = {
        "simulation": paper.simulation.model_copy(update={"crop_px": SIZE_PX, "lattice_px": 2 * SIZE_PX}),
        "training": paper.training.model_copy(update={"batch_size": BATCH}),
    }
    settings: Settings = paper.model_copy(update=changes)
    patches = Patches(rng.standard_normal((4, 1, SIZE_PX + 8, SIZE_PX + 8), np.float32), (0, 1, 2, 3))
    return Learner(settings, patches, Normalisation(-1, 1), Team(torch.device("cpu"), 1))


@torch.no_grad()
def copy_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy layer by layer; both networks define their layers in the order of the paper."""
    for source, target in zip(layers(ours), layers(theirs), strict=True):
        weight = source.weight
        if isinstance(source, TransposedConv):
            weight = weight.flip(2, 3).transpose(0, 1)
        target.weight.copy_(weight)
        target.bias.copy_(source.bias)


def layers(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if "weight" in dict(module.named_parameters(recurse=False))]


@torch.no_grad()
def check_results(learner: Learner, port: PlainRecipe) -> float:
    """Return the largest difference of what the networks make of the same images."""
    images = torch.randn((BATCH, 1, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(1))
    pairs = [
        (learner.s2c(images), port.s2c(images)),
        (learner.c2s(images), port.c2s(images)),
        (learner.critic(images), port.critic(images)[:, 0]),
        (LowPass()(images), port.low_pass(images)),
    ]
    difference = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
    assert difference < ROUNDING, f"the networks differ by {difference}"
    return difference


def check_step(learner: Learner, port: PlainRecipe, number: int) -> float:
    """Do one step on both sides; return the largest relative difference of the losses."""
    noisy, real, shares = draws(learner, number)
    ours, theirs = learner.cycle_step(number), port.step(noisy, real, shares)
    assert ours.keys() == theirs.keys()
    differences = {name: abs(float(theirs[name]) - loss) / max(abs(loss), 0.1) for name, loss in ours.items()}
    limit = GROWTH * (number + 1)
    assert max(differences.values()) < limit, f"step {number}: losses differ by {differences}, {ours}"
    return max(differences.values())


def draws(learner: Learner, number: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the crops, clean images and shares that the learner will draw in a step, from the same seeds."""
    settings, rng = learner.settings, learner._rng(2, number)
    noisy = learner.patches.draw(BATCH, SIZE_PX, settings.training.augment, rng)
    real = torch.from_numpy(simulate_clean(BATCH, settings.simulation, rng).images[:, None])
    parts = learner._split(BATCH, 2, number)
    return noisy, real, [torch.cat([share(part) for part in parts]) for _ in range(CRITIC_STEPS)]


def share(part: Part) -> Tensor:
    return torch.rand((part.rows.stop - part.rows.start, 1, 1, 1), generator=part.noise)


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
        assert difference < ROUNDING, f"clean images differ by {difference}"
