"""The paper's recipe as it reads, without any tuning: what the package's speed is compared with.

Written from the paper (Wang et al. 2020), and from docs/method.md where that is silent: float32, eager, the transposed
convolutions as such, each loss in a pass of its own, the critic's fake batch made anew in each of its five steps, clean
images one by one. It shares no code with the package and does the same mathematics, as speed_check.py makes sure. It is
plain, not clumsy: nothing is differentiated in vain.

The U-Net at the end has the size of Noise2Void's in CAREamics.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.signal import convolve
from torch import Tensor, nn

CRITIC_STEPS = 5
ALPHA, BETA, LAMBDA = 5, 1, 10
LEARNING_RATE, MOMENTUM = 5e-5, 0.9
RMS_DECAY = 0.9
KERNEL_PX, LOW_PASS_VARIANCE_PX2 = 33, 15.0


def activated(conv: nn.Module, norm: bool = True) -> list[nn.Module]:
    return [conv, *([nn.InstanceNorm2d(conv.out_channels, affine=True)] if norm else []), nn.LeakyReLU(0.2)]


def block(before: int, after: int, kernel: int = 3, norm: bool = True, stride: int = 1) -> nn.Sequential:
    """Transposed convolution, then convolution: without padding, the size is kept, or halved by a stride of 2."""
    return nn.Sequential(
        *activated(nn.ConvTranspose2d(before, after, kernel), norm),
        *activated(nn.Conv2d(after, after, kernel, stride=stride), norm),
    )


def down(before: int, after: int, norm: bool = True) -> nn.Sequential:
    return block(before, after, norm=norm, stride=2)


def up(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        *activated(nn.ConvTranspose2d(before, after, 4, stride=2)), *activated(nn.Conv2d(after, after, 3))
    )


class Xception(nn.Module):
    """Blocks of several kernels side by side, each with its share of the channels."""

    def __init__(self, channels: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(block(channels, channels // len(kernels), kernel) for kernel in kernels)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([branch(images) for branch in self.branches], dim=1)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = block(channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.block(images)


class PlainGenerator(nn.Module):
    """U-Net of depth 3; the sides of its images are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        few, many = (3, 5), (1, 3, 5, 7)
        self.encoder_1 = nn.Sequential(block(1, 64, norm=False), Xception(64, many))
        self.encoder_2 = nn.Sequential(down(64, 64), block(64, 64), Xception(64, few))
        self.encoder_3 = nn.Sequential(down(64, 64), block(64, 64), Xception(64, few))
        self.encoder_4 = nn.Sequential(down(64, 128), block(128, 128), Xception(128, few))
        self.transformer = nn.Sequential(block(128, 192), *(Residual(192) for _ in range(16)))
        self.up_3, self.up_2, self.up_1 = up(192, 64), up(64, 64), up(64, 64)
        self.decoder_3 = nn.Sequential(block(64, 64), Xception(64, few))
        self.decoder_2 = nn.Sequential(block(64, 64), Xception(64, few))
        self.decoder_1 = nn.Sequential(block(64, 64), Xception(64, many))
        self.output = nn.Sequential(*activated(nn.ConvTranspose2d(64, 8, 9)), nn.Conv2d(8, 1, 9), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        first = self.encoder_1(images)
        second = self.encoder_2(first)
        third = self.encoder_3(second)
        images = self.transformer(self.encoder_4(third))
        images = self.decoder_3(self.up_3(images) + third)
        images = self.decoder_2(self.up_2(images) + second)
        images = self.decoder_1(self.up_1(images) + first)
        return self.output(images)


class PlainCritic(nn.Module):
    """Four downs with dropout and one fully connected output."""

    def __init__(self, size_px: int) -> None:
        super().__init__()
        sizes = ((1, 64), (64, 64), (64, 128), (128, 128))
        self.downs = nn.ModuleList(down(*size, norm=number > 0) for number, size in enumerate(sizes))
        self.dropout = nn.Dropout(0.25)
        side = -(-size_px // 16)
        self.output = nn.Linear(128 * side * side, 1)

    def forward(self, images: Tensor) -> Tensor:
        for module in self.downs:
            images = self.dropout(module(images))
        return self.output(images.flatten(1))


def low_pass() -> nn.Conv2d:
    """Return the fixed Gaussian as one dense kernel of 33 × 33 px."""
    offsets = torch.arange(KERNEL_PX) - KERNEL_PX // 2
    kernel = torch.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * LOW_PASS_VARIANCE_PX2))
    conv = nn.Conv2d(1, 1, KERNEL_PX, bias=False).requires_grad_(False)
    conv.weight.copy_(kernel / kernel.sum())
    return conv


class PlainRecipe:
    """Two generators, the critic, and one step of training."""

    def __init__(self, size_px: int, device: torch.device | str = "cpu") -> None:
        with torch.device(device):
            self.s2c, self.c2s, self.critic = PlainGenerator(), PlainGenerator(), PlainCritic(size_px)
            self.low_pass = low_pass()
        rms = {"lr": LEARNING_RATE, "alpha": RMS_DECAY, "momentum": MOMENTUM}
        self.generators = torch.optim.RMSprop([*self.s2c.parameters(), *self.c2s.parameters()], **rms)
        self.critics = torch.optim.RMSprop(self.critic.parameters(), **rms)

    def step(self, noisy: Tensor, real: Tensor, shares: list[Tensor] | None = None) -> dict[str, Tensor]:
        """Update by each loss in turn; `shares` of the mixtures (eq. 4) are drawn if they are not given."""
        shares = shares or [torch.rand(len(noisy), 1, 1, 1, device=noisy.device) for _ in range(CRITIC_STEPS)]
        for share in shares:
            critic = self.critic_loss(noisy, real, share)
            descend(self.critics, critic)
        self.critic.requires_grad_(False)
        adversarial = -self.critic(self.s2c(noisy)).mean()
        descend(self.generators, ALPHA * adversarial)
        low_frequency = F.l1_loss(self.low_pass(self.c2s(self.s2c(noisy))), self.low_pass(noisy))
        descend(self.generators, low_frequency)
        cycle = F.l1_loss(self.s2c(self.c2s(real)), real)
        descend(self.generators, BETA * cycle)
        self.critic.requires_grad_(True)
        return {"critic": critic, "adversarial": adversarial, "low-frequency cycle": low_frequency, "cycle": cycle}

    def critic_loss(self, noisy: Tensor, real: Tensor, share: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.s2c(noisy)
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic(mixed).sum(), mixed, create_graph=True)
        penalty = (1 - gradient.flatten(1).norm(dim=1)).square().mean()
        return self.critic(fake).mean() - self.critic(real).mean() + LAMBDA * penalty


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def clean_images(n: int, size_px: int, lattice_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.stack([clean_image(*draw_lattice(lattice_px, rng), size_px) for _ in range(n)])


def draw_lattice(lattice_px: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Draw 75–150 positions of 1–4 atoms, and the variance of their spots."""
    lattice = np.zeros((lattice_px, lattice_px))
    for _ in range(rng.integers(75, 151)):
        lattice[rng.integers(lattice_px), rng.integers(lattice_px)] += rng.integers(1, 5)
    return lattice, rng.uniform(1, 10)


def clean_image(lattice: NDArray[np.float64], variance_px2: float, size_px: int) -> NDArray[np.float32]:
    """Convolve with a kernel of unit peak and crop; -1 is empty, 1 is four atoms."""
    offsets = np.arange(KERNEL_PX) - KERNEL_PX // 2
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * variance_px2))
    image = convolve(lattice, kernel, mode="same")
    start = (len(lattice) - size_px) // 2
    crop = image[start : start + size_px, start : start + size_px]
    return np.minimum(crop / 2 - 1, 1).astype(np.float32)


class PlainUNet(nn.Module):
    """U-Net of the size that CAREamics gives Noise2Void: depth 2, 32 channels and twice as many, batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_1, self.encoder_2 = pair(1, 32, 32), pair(32, 64, 64)
        self.bottom = pair(64, 128, 64)
        self.decoder_2, self.decoder_1 = pair(128, 64, 32), pair(64, 32, 32)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.output = nn.Conv2d(32, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = self.encoder_1(images)
        second = self.encoder_2(self.pool(first))
        images = self.bottom(self.pool(second))
        images = self.decoder_2(torch.cat([self.up(images), second], dim=1))
        images = self.decoder_1(torch.cat([self.up(images), first], dim=1))
        return self.output(images)


def pair(before: int, between: int, after: int) -> nn.Sequential:
    """Two 3×3 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels_in, channels_out in ((before, between), (between, after)):
        layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)
