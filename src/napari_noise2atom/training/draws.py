"""What each step sees: crops of the movie and simulated images, drawn from the step's own random numbers."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import Settings
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.simulate.pairs import simulate_pairs

from .parts import Part, Team
from .patches import Patches

__all__ = ["Draws", "Examples", "Seen"]


class Examples(NamedTuple):
    """Simulated pairs: noisy frames, and the clean images that they show."""

    noisy: Tensor
    """Shape (n, frames_in, h, w)."""
    clean: Tensor
    """Shape (n, 1, h, w)."""


class Seen(NamedTuple):
    """What a step of the cycle sees of the two domains."""

    noisy: Tensor
    """Crops of the movie, shape (n, frames_in, h, w)."""
    clean: Tensor
    """Simulated images, shape (n, 1, h, w)."""
    examples: Examples | None
    """Where simulated pairs stay in the cycle."""


class Draws:
    """Draws the images of a step's parts, normalised and on the device.

    They depend on nothing but the seed, the attempt and the step's number, so that a GPU need not wait for them.

    Parameters
    ----------
    settings, patches, normalisation, team
        As for `napari_noise2atom.training.learner.Learner`.
    layout : memory format
        Of images.
    """

    def __init__(
        self,
        settings: Settings,
        patches: Patches,
        normalisation: Normalisation,
        team: Team,
        layout: torch.memory_format,
    ) -> None:
        self._settings, self._patches, self._normalisation = settings, patches, normalisation
        self._team, self._layout = team, layout
        self.warm_step = team.ahead(self._warm_step)
        """Returns the parts of a step of the warm start, given its number and the attempt, and what each sees."""
        self.cycle_step = team.ahead(self._cycle_step)
        """The same of the cycle."""

    def _warm_step(self, step: int, attempt: int) -> tuple[list[Part], list[Examples]]:
        batch_size = self._settings.warm_start.batch_size
        parts = self._team.split(batch_size, self._settings.run.seed, attempt, 1, step)
        return parts, self._team.map(self._examples, parts)

    def _cycle_step(self, step: int, attempt: int) -> tuple[list[Part], list[Seen]]:
        batch_size = self._settings.training.batch_size
        parts = self._team.split(batch_size, self._settings.run.seed, attempt, 2, step)
        return parts, self._team.map(self._seen, parts)

    def _examples(self, part: Part) -> Examples:
        warm = self._settings.warm_start
        n = max(1, round(part.share * warm.batch_size * self._team.processes.count))
        pairs = simulate_pairs(n, warm.crop_px, self._settings, part.rng)
        return Examples(self._tensor(self._normalisation.apply(pairs.noisy)), self._tensor(pairs.clean[:, None]))

    def _seen(self, part: Part) -> Seen:
        training, simulation = self._settings.training, self._settings.simulation
        noisy = self._patches.draw(len(part), simulation.crop_px, training.augment, part.rng)
        # on a CPU, NumPy is several times as fast as PyTorch
        renderer: dict[str, Any] = {} if self._team.device.type == "cpu" else {"xp": torch, "device": self._team.device}
        clean = simulate_clean(len(part), simulation, part.rng, **renderer).images[:, None]
        examples = self._examples(part) if training.joint and training.pairs_weight else None
        return Seen(self._tensor(noisy), self._tensor(clean), examples)

    def _tensor(self, images: NDArray[np.float32] | Tensor) -> Tensor:
        tensor = torch.as_tensor(images).to(self._team.device, torch.float32)
        return tensor.contiguous(memory_format=self._layout)
