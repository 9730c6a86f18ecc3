"""The parametric noise model of PPN2V (Prakash et al. 2020): a Gaussian mixture that depends on the clean value."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["NoiseModel"]

SPREAD = (0.3, 1.0, 3.0)
"""Variances of the components before the fit, relative to that of all residuals."""
COEFFICIENTS = 2
"""Of each polynomial of the clean value: a constant and a slope."""
MIN_VARIANCE = 1e-4


class NoiseModel(nn.Module):
    """Density of a noisy pixel, given its clean value: a mixture of three Gaussians.

    Weights (before the softmax), means and variances of the components are polynomials of the clean value. The mean of
    the whole mixture is the clean value itself, as in the publication.

    Parameters
    ----------
    variance : float
        Variance of the residuals, from which the fit starts; values are normalised to about [-1, 1].
    """

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(len(SPREAD), COEFFICIENTS))
        self.shifts = nn.Parameter(torch.zeros(len(SPREAD), COEFFICIENTS))
        self.variances = nn.Parameter(torch.zeros(len(SPREAD), COEFFICIENTS))
        with torch.no_grad():
            self.variances[:, 0] = variance * torch.tensor(SPREAD)

    def components(self, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logarithms of the weights, means and variances, each of shape (3, ...), for clean values (...)."""
        powers = torch.stack([clean**power for power in range(COEFFICIENTS)])
        weights = F.log_softmax(torch.einsum("kc,c...->k...", self.weights, powers), dim=0)
        shifts = torch.einsum("kc,c...->k...", self.shifts, powers)
        means = clean + shifts - (weights.exp() * shifts).sum(0)
        variances = torch.einsum("kc,c...->k...", self.variances, powers).clamp(min=MIN_VARIANCE)
        return weights, means, variances

    def log_likelihood(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return log p(noisy | clean), of the shape to which both broadcast."""
        weights, means, variances = self.components(clean)
        exponents = -((noisy - means) ** 2) / (2 * variances) - 0.5 * torch.log(2 * math.pi * variances)
        return torch.logsumexp(weights + exponents, dim=0)
