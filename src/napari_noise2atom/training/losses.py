"""The losses of the paper, eq. 1–8, as pure functions of tensors."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "adversarial_loss",
    "critic_loss",
    "cycle_loss",
    "gradient_penalty",
    "low_frequency_cycle_loss",
    "mixture",
    "total_loss",
    "wasserstein",
]


def wasserstein(label: float, scores: Tensor) -> Tensor:
    """Return W(label, scores), the mean of their product (eq. 2).

    Parameters
    ----------
    label : float
        -1 for clean images, 1 for generated ones.
    scores : Tensor, shape (n,)
        What the critic says of each image.

    Returns
    -------
    Tensor, scalar
    """
    return (label * scores).mean()


def mixture(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Return R(x, y) = u x + (1 - u) y (eq. 4).

    Parameters
    ----------
    real, fake : Tensor, shape (n, 1, h, w)
        Images.
    share : Tensor, broadcastable to the images
        u, in [0, 1].

    Returns
    -------
    Tensor, shape (n, 1, h, w)
    """
    return share * real + (1 - share) * fake


def gradient_penalty(critic: Callable[[Tensor], Tensor], mixed: Tensor) -> Tensor:
    """Return the mean of (1 - ‖∂D/∂y‖)² over images y between real and generated ones (eq. 3 and 5).

    Eq. 3 as printed differentiates the generated image; the gradient is the critic's, as in WGAN-GP (Gulrajani 2017).

    Parameters
    ----------
    critic : callable
        Maps images (n, 1, h, w) to scores (n,).
    mixed : Tensor, shape (n, 1, h, w)
        Mixtures of real and generated images.

    Returns
    -------
    Tensor, scalar
    """
    mixed = mixed.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    # the small number keeps the derivative of the root finite where the gradient is zero
    norm = torch.sqrt(gradient.square().sum(dim=(1, 2, 3)) + 1e-12)
    return (1 - norm).square().mean()


def critic_loss(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor, weight: float) -> Tensor:
    """Return what the critic minimises: W(-1, D(real)) + W(1, D(fake)) + λ G (eq. 1).

    Parameters
    ----------
    critic : callable
        Maps images (n, 1, h, w) to scores (n,).
    real, fake : Tensor, shape (n, 1, h, w)
        Simulated clean images, and denoised ones without gradient.
    share : Tensor, shape (n, 1, 1, 1)
        u of eq. 4, in [0, 1].
    weight : float
        λ.

    Returns
    -------
    Tensor, scalar
    """
    penalty = gradient_penalty(critic, mixture(real, fake, share))
    scores = critic(torch.cat([real, fake]))
    return wasserstein(-1, scores[: len(real)]) + wasserstein(1, scores[len(real) :]) + weight * penalty


def adversarial_loss(critic: Callable[[Tensor], Tensor], fake: Tensor) -> Tensor:
    """Return what the generator minimises of eq. 1: W(-1, D(M_s2c(s))).

    Parameters
    ----------
    critic : callable
        Maps images (n, 1, h, w) to scores (n,).
    fake : Tensor, shape (n, 1, h, w)
        Denoised images.

    Returns
    -------
    Tensor, scalar
    """
    return wasserstein(-1, critic(fake))


def cycle_loss(clean: Tensor, returned: Tensor) -> Tensor:
    """Return E‖c - M_s2c(M_c2s(c))‖, the mean absolute difference (eq. 6).

    Parameters
    ----------
    clean, returned : Tensor, same shape
        A clean image before and after the cycle.

    Returns
    -------
    Tensor, scalar
    """
    return F.l1_loss(returned, clean)


def low_frequency_cycle_loss(low_pass: nn.Module, noisy: Tensor, returned: Tensor) -> Tensor:
    """Return E‖M_s2b(s) - M_s2b(M_c2s(M_s2c(s)))‖, the mean absolute difference (eq. 7).

    Parameters
    ----------
    low_pass : Module
        M_s2b.
    noisy, returned : Tensor, shape (n, 1, h, w)
        A noisy image before and after the cycle.

    Returns
    -------
    Tensor, scalar
    """
    return F.l1_loss(low_pass(returned), low_pass(noisy))


def total_loss(adversarial: Tensor, cycle: Tensor, low_frequency: Tensor, alpha: float, beta: float) -> Tensor:
    """Return α L_gan + β L_cycle + L_lfc (eq. 8), which the generators minimise (eq. 9).

    Parameters
    ----------
    adversarial, cycle, low_frequency : Tensor, scalar
        The three losses.
    alpha, beta : float
        Their weights.

    Returns
    -------
    Tensor, scalar
    """
    return alpha * adversarial + beta * cycle + low_frequency
