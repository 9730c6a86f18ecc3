import numpy as np
import pytest
import torch
from torch import nn

from napari_noise2atom.networks import LowPass
from napari_noise2atom.training.losses import (
    adversarial_loss,
    critic_loss,
    cycle_loss,
    gradient_penalty,
    low_frequency_cycle_loss,
    mixture,
    total_loss,
    wasserstein,
)


class Linear(nn.Module):
    """A critic D(x) = Σ w x, whose gradient is w everywhere."""

    def __init__(self, weight: float, pixels: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((pixels,), weight))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight


REAL = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 2.0]]]])
FAKE = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])


def test_wasserstein_is_the_mean_product() -> None:
    assert wasserstein(-1, torch.tensor([1.0, 2.0, 6.0])) == -3


def test_mixture_weighs_image_by_image() -> None:
    share = torch.tensor([0.25, 1.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(mixture(REAL, FAKE, share)[0], 0.25 * REAL[0] + 0.75 * FAKE[0])
    torch.testing.assert_close(mixture(REAL, FAKE, share)[1], REAL[1])


@pytest.mark.parametrize(("weight", "expected"), [(0.5, 0.0), (1.0, 1.0), (2.0, 9.0), (0.0, 1.0)])
def test_gradient_penalty_of_a_known_gradient(weight: float, expected: float) -> None:
    # four pixels: the gradient's norm is 2 |w|
    penalty = gradient_penalty(Linear(weight), mixture(REAL, FAKE, torch.tensor(0.5)))
    assert penalty.item() == pytest.approx(expected, abs=1e-5)


def test_gradient_penalty_teaches_the_critic() -> None:
    critic = Linear(2.0)
    gradient_penalty(critic, REAL).backward()
    # the norm n = 4 of four equal weights changes by w/n = 1/2 with each of them: d(1 - n)²/dw = 2 (n - 1) / 2
    assert critic.weight.grad is not None
    np.testing.assert_allclose(critic.weight.grad, 2 * (4 - 1) / 2, rtol=1e-5)


def test_critic_loss_is_the_sum_of_eq_1() -> None:
    critic = Linear(1.0)
    # D(real) = 10 and 2, D(fake) = 2 and 4, penalty (1 - 2)² = 1
    loss = critic_loss(critic, REAL, FAKE, torch.full((2, 1, 1, 1), 0.3), weight=10)
    assert loss.item() == pytest.approx(-(10 + 2) / 2 + (2 + 4) / 2 + 10 * 1, abs=1e-4)


def test_adversarial_loss_wants_a_high_score() -> None:
    assert adversarial_loss(Linear(1.0), FAKE).item() == -3


def test_cycle_loss_is_the_mean_absolute_difference() -> None:
    assert float(cycle_loss(REAL, FAKE)) == pytest.approx((1 + 1 + 3 + 3 + 1 + 1 + 1 + 1) / 8)


def test_low_frequency_loss_sees_only_low_frequencies() -> None:
    low_pass = LowPass()
    noisy = torch.zeros(1, 1, 48, 48)
    checkered = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(24, 24)[None, None]
    assert float(low_frequency_cycle_loss(low_pass, noisy, noisy + 0.25)) == pytest.approx(0.25, abs=1e-6)
    assert float(low_frequency_cycle_loss(low_pass, noisy, checkered)) < 1e-3


def test_total_loss_is_eq_8() -> None:
    losses = map(torch.tensor, (2.0, 3.0, 0.5))
    assert float(total_loss(*losses, alpha=5, beta=1)) == 5 * 2 + 3 + 0.5
