"""The networks in training, their optimisers, and one step of each stage."""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_noise2atom.networks import LowPass, build_c2s, build_critic, build_s2c, memory_layout, mixed_precision
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import Settings

from .draws import Draws, Examples, Seen
from .graphs import Work, graph_passes, graph_work
from .losses import adversarial_loss, critic_loss, cycle_loss, low_frequency_cycle_loss, total_loss
from .optimisers import Adam, Optimiser, RMSprop
from .parts import Part, Team
from .patches import SPACING, Patches, hidden_places, hide
from .pretrained import load_pretrained
from .state import collect_state, restore_state

__all__ = ["Learner", "NonFiniteLossError"]

RAMP_STEPS = 50
"""Steps over which the warm start's learning rate rises."""
BACK_SHARE = 4
"""One in so many simulated pairs teaches c2s, by a quarter of its pixels: the way back is easy to learn."""
ADAM_DECAYS = 0.9, 0.99
"""Of gradients and squared gradients. With the usual 0.999, the first atoms that a network learns after a while of
blank images make steps of many times the learning rate, which may end in saturation for good."""
RMS_DECAY = 0.9
"""Of the squared gradients; the value of the paper's time, PyTorch's own is 0.99."""

Losses = tuple[Tensor, dict[str, Tensor]]
"""The loss that is to fall, and those it is made of, by name."""
Differentiated = tuple[dict[str, Tensor], list[Tensor | None]]
"""A part's share of the losses, and of the gradient by each weight."""


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; no weight was changed, and the optimisers begin anew."""


class Learner:
    """Two generators and a critic with their optimisers.

    Every step draws its random numbers from the seed, the attempt and its own number alone, so that a resumed run
    goes on as if it had never stopped. It waits for the device once, at its end: optimisers take as long to launch
    what they do as a GPU takes for a pass.

    Parameters
    ----------
    settings : Settings
        The run's.
    patches : Patches
        The movie's.
    normalisation : Normalisation
        The movie's.
    team : Team
        Who computes, and on which device.
    attempt : int
        Number of the fresh start, so that another one begins elsewhere.
    """

    def __init__(
        self,
        settings: Settings,
        patches: Patches,
        normalisation: Normalisation,
        team: Team,
        attempt: int = 0,
    ) -> None:
        self.settings = settings
        self.team, self.device, self.attempt = team, team.device, attempt
        training = settings.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self._rng(0, 0).integers(2**31)))
            self.s2c = build_s2c(settings.network)
            self.c2s = build_c2s(settings.network)
            self.critic = build_critic(settings.network, self._crop_px)
        warm = settings.warm_start
        if warm.steps and warm.pretrained and (weights := load_pretrained(settings.network)):
            self.s2c.load_state_dict(weights)
        self.low_pass = LowPass(training.low_pass_px, training.low_pass_variance_px2)
        layout = memory_layout(self.s2c, self.device)
        for generator in (self.s2c, self.c2s):
            generator.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        for network in (self.critic, self.low_pass):
            network.to(self.device)
        self._draws = Draws(settings, patches, normalisation, team, layout)
        self.average = copy.deepcopy(self.s2c).requires_grad_(False)
        generators = [*self.s2c.parameters(), *self.c2s.parameters()]
        rms = partial(RMSprop, rate=training.learning_rate, decay=RMS_DECAY, momentum=training.momentum)
        self._critic_work: Work = self._differentiate_critic
        # Only where all passes are alike, and each goes back before the next one comes: as published.
        if self.device.type == "cuda" and not training.joint and not warm.steps:
            sample = torch.randn((training.batch_size, 1, self._crop_px, self._crop_px), device=self.device)
            self._critic_work = graph_work(self._critic_work, sample, sample.tanh())
            for generator in (self.s2c, self.c2s):
                graph_passes(generator, training.batch_size, self._crop_px, self._mixed_precision())
        self.optimisers: dict[str, Optimiser] = {
            "warm": Adam(generators, warm.learning_rate, ADAM_DECAYS),
            "generators": rms(generators),
            "critic": rms(self.critic.parameters()),
        }
        self._weights: list[Tensor] = [weight for network in self._networks.values() for weight in network.parameters()]
        self._weights_before = [weight.detach().clone() for weight in self._weights]

    @property
    def _crop_px(self) -> int:
        return self.settings.simulation.crop_px

    def _rng(self, stage: int, step: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.run.seed, self.attempt, stage, step))

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
        self._begin()
        warm = self.settings.warm_start
        rate = warm.learning_rate * 0.5**self.attempt  # what went wrong once is done more slowly
        rate *= min(1.0, (step + 1) / RAMP_STEPS) * (0.5 + 0.5 * float(np.cos(np.pi * progress)))
        self.optimisers["warm"].rate = max(rate, 1e-3 * warm.learning_rate)
        parts, examples = self._draws.warm_step(step, self.attempt)

        def losses_of(part: Part) -> Losses:
            losses = self._pairs_losses(examples[part.number], part)
            return losses["pairs"] + losses["pairs back"], losses

        losses = self._descend("warm", losses_of, parts)
        self._follow(min(self.settings.training.average_decay, (step + 1) / (step + 10)))
        return self._finish(losses)

    def _pairs_losses(self, examples: Examples, part: Part) -> dict[str, Tensor]:
        """Mean square difference of s2c's result, and of c2s's expected frame, on simulated pairs."""
        noisy, clean = examples
        there = F.mse_loss(self.s2c(noisy), clean)
        few, side = max(1, len(clean) // BACK_SHARE), clean.shape[-1] // 2
        back = (slice(0, few), slice(None), slice(0, side), slice(0, side))
        returned = F.mse_loss(self._to_noisy(clean[back], part), self._middle(noisy)[back])
        return {"pairs": there, "pairs back": returned}

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
        self._begin()
        training = self.settings.training
        parts, seen = self._draws.cycle_step(step, self.attempt)
        fake = self._fake(seen, parts)
        critic = self._critic_steps(seen, fake, parts)
        losses = self._joint(seen, self._rng(2, step), parts) if training.joint else self._in_turn(seen, fake, parts)
        self._follow(training.average_decay)
        return self._finish({"critic": critic} | losses)

    @torch.no_grad()
    def _begin(self) -> None:
        """Keep the weights as they are, so that a step need not ask the device before each change."""
        torch._foreach_copy_(self._weights_before, self._weights)

    @torch.no_grad()
    def _finish(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Fetch a step's losses; undo the step if one is not finite."""
        figures: dict[str, float] = dict(zip(losses, torch.stack([*losses.values()]).tolist(), strict=True))
        if not np.isfinite([*figures.values()]).all():
            torch._foreach_copy_(self._weights, self._weights_before)
            for optimiser in self.optimisers.values():
                optimiser.reset()
            raise NonFiniteLossError(f"a loss is not finite: {figures}")
        return figures

    def _fake(self, seen: list[Seen], parts: list[Part]) -> list[Tensor]:
        """Denoise the frames for the critic; the paper's adversarial step goes back through the same pass.

        The joint step has a pass of its own, as it hides pixels.
        """
        through = not self.settings.training.joint

        def fake_of(part: Part) -> Tensor:
            with torch.set_grad_enabled(through), self._mixed_precision():
                return self.s2c(seen[part.number].noisy).float()  # type: ignore[no-any-return]

        return self.team.map(fake_of, parts)

    def _in_turn(self, seen: list[Seen], fake: list[Tensor], parts: list[Part]) -> dict[str, Tensor]:
        """Update by one generator loss after the other, as the paper does."""
        training = self.settings.training

        def adversarial(part: Part) -> Losses:
            loss = adversarial_loss(self._critic(part), fake[part.number])
            return training.adversarial_weight * loss, {"adversarial": loss}

        def low_frequency(part: Part) -> Losses:
            noisy = seen[part.number].noisy
            returned = self._to_noisy(self.s2c(noisy), part)
            loss = low_frequency_cycle_loss(self.low_pass, self._middle(noisy), returned)
            return loss, {"low-frequency cycle": loss}

        def cycle(part: Part) -> Losses:
            loss = self._cycle_loss(seen[part.number].clean, part)
            return training.cycle_weight * loss, {"cycle": loss}

        losses: dict[str, Tensor] = {}
        for losses_of in (adversarial, low_frequency, cycle):
            losses |= self._descend("generators", losses_of, parts)
        return losses

    def _joint(self, seen: list[Seen], rng: np.random.Generator, parts: list[Part]) -> dict[str, Tensor]:
        """Update once by the sum of all losses; the movie's frames pass s2c once."""
        training, blur_px = self.settings.training, self.settings.detector.blur_px
        judged, hidden = self._hidden(rng)

        def losses_of(part: Part) -> Losses:
            noisy, clean, examples = seen[part.number]
            middle = self._middle(noisy)
            fake = self.s2c(hide(noisy, hidden, blur_px) if training.masked_weight else noisy)
            returned = self._to_noisy(fake, part)
            adversarial = adversarial_loss(self._critic(part), fake)
            low_frequency = low_frequency_cycle_loss(self.low_pass, middle, returned)
            cycle = self._cycle_loss(clean, part)
            losses = {"adversarial": adversarial, "low-frequency cycle": low_frequency, "cycle": cycle}
            total = total_loss(adversarial, cycle, low_frequency, training.adversarial_weight, training.cycle_weight)
            if training.masked_weight:
                losses["masked"] = ((returned - middle).square() * judged).mean()
                total = total + training.masked_weight * losses["masked"]
            if examples is not None:
                pairs = self._pairs_losses(examples, part)
                total = total + training.pairs_weight * (pairs["pairs"] + pairs["pairs back"])
                losses |= pairs
            return total, losses

        return self._descend("generators", losses_of, parts)

    def _critic_steps(self, seen: list[Seen], fake: list[Tensor], parts: list[Part]) -> Tensor:
        """Teach the critic; the generated images do not change meanwhile and are made once."""
        training = self.settings.training

        def differentiated(part: Part) -> Differentiated:
            loss, *gradients = self._critic_work(seen[part.number].clean, fake[part.number].detach(), part.noise)
            return {"critic": part.share * loss}, [part.share * each for each in gradients]

        losses = {"critic": torch.zeros((), device=self.device)}
        for _ in range(training.critic_steps):
            losses = self._update("critic", self.team.map(differentiated, parts))
        return losses["critic"]

    def _differentiate_critic(self, clean: Tensor, made: Tensor, noise: torch.Generator) -> list[Tensor]:
        """Return the critic's loss, and its gradient by each weight."""
        with self._mixed_precision():
            share = torch.rand((len(clean), 1, 1, 1), generator=noise, device=self.device)
            critic = partial(self.critic, noise=noise)
            loss = critic_loss(critic, clean, made, share, self.settings.training.gradient_penalty)
        return [loss.detach(), *torch.autograd.grad(loss, [*self.critic.parameters()])]

    def _critic(self, part: Part) -> "partial[Tensor]":
        """Return the critic with its dropout for a part."""
        return partial(self.critic, noise=part.noise)

    def _cycle_loss(self, clean: Tensor, part: Part) -> Tensor:
        """Translate clean images there and back; the noisy frame is repeated as if it were at rest."""
        made = self._to_noisy(clean, part).expand(-1, self.s2c.frames_in, -1, -1)
        return cycle_loss(clean, self.s2c(made))

    def _hidden(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the weight of each pixel in the masked loss, 1 in the mean, and which pixels s2c does not see."""
        size = self._crop_px, self._crop_px
        row, column = (int(rng.integers(0, n)) for n in SPACING)
        judged, hidden = hidden_places(size, row, column, blur_px=self.settings.detector.blur_px)
        # Weights, as the number of chosen pixels would have to be asked of a GPU.
        return (judged / judged.float().mean()).to(self.device), hidden.to(self.device)

    def _to_noisy(self, clean: Tensor, part: Part) -> Tensor:
        if not self.c2s.noise_channels:
            return self.c2s(clean)  # type: ignore[no-any-return]
        shape = (len(clean), self.c2s.noise_channels, *clean.shape[-2:])
        noise = torch.randn(shape, generator=part.noise, device=self.device)
        return self.c2s(torch.cat([clean, noise], dim=1))  # type: ignore[no-any-return]

    @staticmethod
    def _middle(noisy: Tensor) -> Tensor:
        middle = noisy.shape[1] // 2
        return noisy[:, middle : middle + 1]

    def _mixed_precision(self) -> torch.autocast:
        return mixed_precision(self.device, self.settings.run.mixed_precision)

    def _descend(self, name: str, losses_of: "Callable[[Part], Losses]", parts: list[Part]) -> dict[str, Tensor]:
        """Do one step of an optimiser; return the means of the losses over the batch."""
        weights = self.optimisers[name].weights

        def differentiated(part: Part) -> Differentiated:
            with self._mixed_precision():
                total, losses = losses_of(part)
            gradients = torch.autograd.grad(part.share * total, weights, allow_unused=True)
            return {n: part.share * loss.detach() for n, loss in losses.items()}, list(gradients)

        return self._update(name, self.team.map(differentiated, parts))

    def _update(self, name: str, parts: "Sequence[Differentiated]") -> dict[str, Tensor]:
        """Do one step of an optimiser by what the parts contribute; return the sums of their losses."""
        losses, gradients = zip(*parts, strict=True)
        sums = [_sum(of_parts) for of_parts in zip(*gradients, strict=True)]
        means: dict[str, Tensor] = {key: sum(of_part[key] for of_part in losses) for key in losses[0]}
        self.team.processes.add([*means.values(), *(gradient for gradient in sums if gradient is not None)])
        self.optimisers[name].step(sums)
        return means

    def _follow(self, decay: float) -> None:
        """Move the averaged weights towards the present ones."""
        follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        follow([*self.average.parameters()], [*self.s2c.parameters()], None)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights of s2c, float32 on the CPU."""
        return {
            name: weight.detach().to("cpu", torch.float32, copy=True).contiguous()
            for name, weight in self.average.state_dict().items()
        }

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, by name."""
        return collect_state(self._networks, self.optimisers)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        restore_state(self._networks, self.optimisers, tensors)

    @property
    def _networks(self) -> "dict[str, torch.nn.Module]":
        return {"s2c": self.s2c, "c2s": self.c2s, "critic": self.critic, "average": self.average}


def _sum(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Add what there is; a weight that no loss depends on has no gradient in any part."""
    there = [gradient for gradient in gradients if gradient is not None]
    return sum(there[1:], start=there[0]) if there else None
