"""Adam and RMSprop on all weights at once.

They do what those of `torch.optim` do, which load torch's compiler, for as long as torch itself takes to load, before
their first step, and ask for the state of one weight after the other in each.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["Adam", "Optimiser", "RMSprop"]

EPS = 1e-8
"""Added to the root of squared gradients."""


class Optimiser(ABC):
    """Changes weights by their gradients.

    Parameters
    ----------
    weights : iterable of Tensor
        What is changed, in place.
    rate : float
        Learning rate; may be set anew before each step.
    """

    moments: tuple[str, ...]
    """Names of what is remembered of the gradients, in the order in which `_change` takes it."""

    def __init__(self, weights: Iterable[Tensor], rate: float) -> None:
        self.weights = [*weights]
        self.rate = rate
        self.reset()

    def reset(self) -> None:
        """Forget all gradients."""
        self.steps = 0
        self.remembered: dict[str, list[Tensor]] = {}
        """Of each moment, one tensor a weight; nothing before the first step."""

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Change the weights.

        Parameters
        ----------
        gradients : sequence of Tensor or None
            One for each weight; those without one stay as they are.
        """
        self.steps += 1
        if not self.remembered:
            self.remembered = {name: [torch.zeros_like(weight) for weight in self.weights] for name in self.moments}
        changed = {number: gradient for number, gradient in enumerate(gradients) if gradient is not None}
        weights, *moments = ([each[n] for n in changed] for each in (self.weights, *self.remembered.values()))
        self._change(weights, [*changed.values()], *moments)

    @abstractmethod
    def _change(self, weights: list[Tensor], gradients: list[Tensor], *moments: list[Tensor]) -> None:
        """Change weights and moments; all lists have the same order."""

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, by name, not copied; empty before the first step."""
        if not self.remembered:
            return {}
        tensors = {f"{n}.{name}": tensor for name in self.moments for n, tensor in enumerate(self.remembered[name])}
        return tensors | {"steps": torch.tensor(self.steps)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over a copy of what `state` returned.

        Raises
        ------
        ValueError
            If it belongs to other weights.
        """
        self.reset()
        if not tensors:
            return
        shapes = {f"{n}.{name}": weight.shape for name in self.moments for n, weight in enumerate(self.weights)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes | {"steps": torch.Size()}:
            raise ValueError("the optimiser's state belongs to other weights")
        self.steps = int(tensors["steps"])
        self.remembered = {
            name: [torch.empty_like(weight).copy_(tensors[f"{n}.{name}"]) for n, weight in enumerate(self.weights)]
            for name in self.moments
        }


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    weights, rate
        As for `Optimiser`.
    decays : (float, float)
        Of the means of gradients and of their squares, in [0, 1[.
    """

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(self, weights: Iterable[Tensor], rate: float, decays: tuple[float, float]) -> None:
        super().__init__(weights, rate)
        self.decays = decays

    def _change(self, weights: list[Tensor], gradients: list[Tensor], *moments: list[Tensor]) -> None:
        means, squares = moments
        of_means, of_squares = self.decays
        torch._foreach_lerp_(means, gradients, 1 - of_means)
        torch._foreach_mul_(squares, of_squares)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - of_squares)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - of_squares**self.steps) ** 0.5)
        torch._foreach_add_(roots, EPS)
        torch._foreach_addcdiv_(weights, means, roots, -self.rate / (1 - of_means**self.steps))


class RMSprop(Optimiser):
    """RMSprop (Tieleman & Hinton 2012) with momentum.

    Parameters
    ----------
    weights, rate
        As for `Optimiser`.
    decay : float
        Of the mean of squared gradients, in [0, 1[.
    momentum : float
        Share of the last change that the next one goes on with, in [0, 1[.
    """

    moments = ("square_avg", "momentum_buffer")

    def __init__(self, weights: Iterable[Tensor], rate: float, decay: float, momentum: float) -> None:
        super().__init__(weights, rate)
        self.decay, self.momentum = decay, momentum

    def _change(self, weights: list[Tensor], gradients: list[Tensor], *moments: list[Tensor]) -> None:
        squares, changes = moments
        torch._foreach_mul_(squares, self.decay)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.decay)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, EPS)
        torch._foreach_mul_(changes, self.momentum)
        torch._foreach_addcdiv_(changes, gradients, roots)
        torch._foreach_add_(weights, changes, alpha=-self.rate)
