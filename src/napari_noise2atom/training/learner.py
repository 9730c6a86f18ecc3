"""The networks in training, their optimisers, and one step of each stage."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2atom.modelfile import Normalisation
from napari_noise2atom.networks import LowPass, build_c2s, build_critic, build_s2c
from napari_noise2atom.settings import Settings
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.simulate.pairs import simulate_pairs

from .losses import adversarial_loss, critic_loss, cycle_loss, low_frequency_cycle_loss, total_loss
from .patches import SPACING, Patches, hidden_places, hide

__all__ = ["Learner", "NonFiniteLossError"]

RAMP_STEPS = 50
"""Steps over which the warm start's learning rate rises."""
BACK_SHARE = 4
"""One in so many simulated pairs teaches c2s."""
RMS_DECAY = 0.9
"""Of the squared gradients; the value of the paper's time, PyTorch's own is 0.99."""


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; no weight was changed."""


class Learner:
    """Two generators and a critic with their optimisers.

    Every step draws its random numbers from the seed, the attempt and its own number alone, so that a resumed run
    goes on as if it had never stopped.

    Parameters
    ----------
    settings : Settings
        The run's.
    patches : Patches
        The movie's.
    normalisation : Normalisation
        The movie's.
    device : torch.device
        Where to compute.
    attempt : int
        Number of the fresh start, so that another one begins elsewhere.
    """

    def __init__(
        self,
        settings: Settings,
        patches: Patches,
        normalisation: Normalisation,
        device: torch.device,
        attempt: int = 0,
    ) -> None:
        self.settings, self.patches, self.normalisation, self.device = settings, patches, normalisation, device
        self.attempt = attempt
        training = settings.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self._rng(0, 0).integers(2**31)))
            self.s2c = build_s2c(settings.network)
            self.c2s = build_c2s(settings.network)
            self.critic = build_critic(settings.network, self._crop_px)
        self.low_pass = LowPass(training.low_pass_px, training.low_pass_variance_px2)
        for network in (self.s2c, self.c2s, self.critic, self.low_pass):
            network.to(device)
        self._layout = torch.contiguous_format if self.s2c.needs_statistics else torch.channels_last
        for network in (self.s2c, self.c2s):
            network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.s2c).requires_grad_(False)
        generators = [*self.s2c.parameters(), *self.c2s.parameters()]
        rms = partial(torch.optim.RMSprop, lr=training.learning_rate, alpha=RMS_DECAY, momentum=training.momentum)
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "warm": torch.optim.Adam(generators, settings.warm_start.learning_rate),
            "generators": rms(generators),
            "critic": rms(self.critic.parameters()),
        }

    @property
    def _crop_px(self) -> int:
        return self.settings.simulation.crop_px

    def _rng(self, stage: int, step: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.run.seed, self.attempt, stage, step))

    def _tensor(self, array: NDArray[np.float32] | Tensor) -> Tensor:
        tensor = torch.as_tensor(array).to(self.device, torch.float32)
        return tensor.contiguous(memory_format=self._layout) if tensor.ndim == 4 else tensor

    def warm_step(self, step: int, progress: float) -> dict[str, float]:
        """Learn from simulated pairs; both generators, so that the cycle begins with two useful ones.

        Parameters
        ----------
        step : int
            Number of the step within the stage, from 0.
        progress : float
            Share of the stage that is over, in [0, 1]; sets the learning rate.

        Returns
        -------
        dict of str to float
            Losses by name.
        """
        warm = self.settings.warm_start
        rate = warm.learning_rate * min(1.0, (step + 1) / RAMP_STEPS) * (0.5 + 0.5 * float(np.cos(np.pi * progress)))
        for group in self.optimisers["warm"].param_groups:
            group["lr"] = max(rate, 1e-3 * warm.learning_rate)
        rng = self._rng(1, step)
        with self._random(rng), self._autocast():
            losses = self._pairs_losses(warm.batch_size, warm.crop_px, rng)
        self._descend("warm", losses["pairs"] + losses["pairs back"])
        self._follow(min(self.settings.training.average_decay, (step + 1) / (step + 10)))
        return _numbers(losses)

    def _pairs_losses(self, n: int, size_px: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Mean square difference of s2c's result, and of c2s's expected frame, on simulated pairs."""
        pairs = simulate_pairs(n, size_px, self.settings, rng)
        noisy = self._tensor(self.normalisation.apply(pairs.noisy))
        clean = self._tensor(pairs.clean[:, None])
        middle = noisy.shape[1] // 2
        there = F.mse_loss(self.s2c(noisy), clean)
        few = max(1, n // BACK_SHARE)  # the way back is easy to learn
        back = F.mse_loss(self._to_noisy(clean[:few]), noisy[:few, middle : middle + 1])
        return {"pairs": there, "pairs back": back}

    def cycle_step(self, step: int) -> dict[str, float]:
        """Learn from the movie itself: critic, adversarial, low-frequency cycle and cycle loss.

        Parameters
        ----------
        step : int
            Number of the step within the stage, from 0.

        Returns
        -------
        dict of str to float
            Losses by name.
        """
        rng, training = self._rng(2, step), self.settings.training
        noisy = self._tensor(self.patches.draw(training.batch_size, self._crop_px, training.augment, rng))
        real = self._tensor(simulate_clean(training.batch_size, self.settings.simulation, rng).images[:, None])
        with self._random(rng), self._autocast():
            losses = self._joint(noisy, real, rng) if training.joint else self._in_turn(noisy, real)
        self._follow(training.average_decay)
        return losses

    def _in_turn(self, noisy: Tensor, real: Tensor) -> dict[str, float]:
        """Update as the paper does: the critic, then one generator loss after the other."""
        training = self.settings.training
        critic = self._critic_steps(noisy, real)
        with self._frozen_critic():
            adversarial = adversarial_loss(self.critic, self.s2c(noisy))
            self._descend("generators", training.adversarial_weight * adversarial)
        low_frequency = low_frequency_cycle_loss(self.low_pass, self._middle(noisy), self._to_noisy(self.s2c(noisy)))
        self._descend("generators", low_frequency)
        cycle = cycle_loss(real, self.s2c(self._frames_of(real)))
        self._descend("generators", training.cycle_weight * cycle)
        losses = {"adversarial": adversarial, "low-frequency cycle": low_frequency, "cycle": cycle}
        return {"critic": critic} | _numbers(losses)

    def _joint(self, noisy: Tensor, real: Tensor, rng: np.random.Generator) -> dict[str, float]:
        """Update once by the sum of all losses; the movie's frames pass s2c once."""
        training = self.settings.training
        critic = self._critic_steps(noisy, real)
        judged, hidden = self._hidden(noisy, rng)
        fake = self.s2c(hide(noisy, hidden) if training.masked_weight else noisy)
        returned = self._to_noisy(fake)
        with self._frozen_critic():
            adversarial = adversarial_loss(self.critic, fake)
        low_frequency = low_frequency_cycle_loss(self.low_pass, self._middle(noisy), returned)
        cycle = cycle_loss(real, self.s2c(self._frames_of(real)))
        losses = {"adversarial": adversarial, "low-frequency cycle": low_frequency, "cycle": cycle}
        total = total_loss(adversarial, cycle, low_frequency, training.adversarial_weight, training.cycle_weight)
        if training.masked_weight:
            masked = (returned - self._middle(noisy)).square()[..., judged].mean()
            total = total + training.masked_weight * masked
            losses["masked"] = masked
        if training.pairs_weight:
            warm = self.settings.warm_start
            pairs = self._pairs_losses(warm.batch_size, warm.crop_px, rng)
            total = total + training.pairs_weight * (pairs["pairs"] + pairs["pairs back"])
            losses |= pairs
        self._descend("generators", total)
        return {"critic": critic} | _numbers(losses)

    def _critic_steps(self, noisy: Tensor, real: Tensor) -> float:
        """Teach the critic; the generated images do not change meanwhile and are made once."""
        training = self.settings.training
        with torch.no_grad():
            fake = self.s2c(noisy).float()
        loss = torch.zeros(())
        for _ in range(training.critic_steps):
            share = torch.rand((len(real), 1, 1, 1), device=self.device)
            with torch.autocast(self.device.type, enabled=False):
                loss = critic_loss(self.critic, real, fake, share, training.gradient_penalty)
            self._descend("critic", loss)
        return float(loss.detach())

    def _hidden(self, noisy: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        height, width = noisy.shape[-2:]
        judged, hidden = hidden_places((height, width), *(int(rng.integers(0, n)) for n in SPACING))
        return judged.to(self.device), hidden.to(self.device)

    def _frames_of(self, clean: Tensor) -> Tensor:
        """Return the noisy frame that c2s makes of a clean image, repeated as if it were at rest."""
        return self._to_noisy(clean).expand(-1, self.s2c.frames_in, -1, -1)

    def _to_noisy(self, clean: Tensor) -> Tensor:
        if not self.c2s.noise_channels:
            return self.c2s(clean)  # type: ignore[no-any-return]
        shape = (len(clean), self.c2s.noise_channels, *clean.shape[-2:])
        return self.c2s(torch.cat([clean, torch.randn(shape, device=clean.device)], dim=1))  # type: ignore[no-any-return]

    @staticmethod
    def _middle(noisy: Tensor) -> Tensor:
        middle = noisy.shape[1] // 2
        return noisy[:, middle : middle + 1]

    @contextmanager
    def _random(self, rng: np.random.Generator) -> Iterator[None]:
        """Seed torch for one step, dropout included, and leave the caller's random numbers as they were."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(rng.integers(2**31)))
            yield

    def _autocast(self) -> torch.autocast:
        """Compute in bfloat16 where it is safe: on CUDA, in a network without instance norm."""
        safe = self.device.type == "cuda" and not self.s2c.needs_statistics
        return torch.autocast(self.device.type, torch.bfloat16, enabled=safe and self.settings.run.mixed_precision)

    @contextmanager
    def _frozen_critic(self) -> Iterator[None]:
        self.critic.requires_grad_(False)
        try:
            yield
        finally:
            self.critic.requires_grad_(True)

    def _descend(self, name: str, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise NonFiniteLossError(f"the {name} loss is {loss.item()}")
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _follow(self, decay: float) -> None:
        """Move the averaged weights towards the present ones."""
        with torch.no_grad():
            for averaged, present in zip(self.average.parameters(), self.s2c.parameters(), strict=True):
                averaged.lerp_(present, 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights of s2c, float32 on the CPU."""
        return {
            name: weight.detach().to("cpu", torch.float32, copy=True).contiguous()
            for name, weight in self.average.state_dict().items()
        }

    def adopt(self, weights: dict[str, Tensor]) -> None:
        """Go on from given weights of s2c."""
        self.s2c.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, by name."""
        tensors = {
            f"{role}.{name}": tensor
            for role, network in self._networks().items()
            for name, tensor in network.state_dict().items()
        }
        for role, optimiser in self.optimisers.items():
            for number, values in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{role}.{number}.{key}": torch.as_tensor(v) for key, v in values.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for role, network in self._networks().items():
            prefix = f"{role}."
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        for role, optimiser in self.optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                kind, *rest = name.split(".")
                if kind == "optimiser" and rest[0] == role:
                    moments.setdefault(int(rest[1]), {})[rest[2]] = tensor
            optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})

    def _networks(self) -> "dict[str, torch.nn.Module]":
        return {"s2c": self.s2c, "c2s": self.c2s, "critic": self.critic, "average": self.average}


def _numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}
