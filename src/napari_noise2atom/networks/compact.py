"""A small generator for computers without a GPU; nothing in it depends on image statistics."""

import math

from torch import Tensor, nn

from .generator import STRIDE_PX, Generator, OutputConv

__all__ = ["CompactGenerator"]

SLOPE = 0.2
BACKGROUND = -0.8
OVERSHOOT = 1.25
"""Of the last tanh: at -1, where nearly all pixels of a clean image are, it must still have a slope to learn from."""
LEAK = 0.05
"""Least slope of the output: a network that a few large steps have driven into saturation finds its way back."""
RECEPTIVE_RADIUS_PX = 30
OVERLAP_PX = math.ceil(RECEPTIVE_RADIUS_PX / STRIDE_PX) * STRIDE_PX


class CompactGenerator(Generator):
    """U-Net with three levels of C, 2C and 3C channels, most of whose work is done at half resolution and below.

    Convolutions at full resolution dominate the time, so there are only three of them. Without normalisation the
    result at a pixel depends on nothing outside the receptive field: tiles are exact.

    Parameters
    ----------
    frames_in : int
        Neighbouring frames that it sees.
    channels : int
        Channels C at full resolution.
    noise_channels : int
        Channels of noise that the caller appends.
    """

    def __init__(self, frames_in: int, channels: int = 24, noise_channels: int = 0) -> None:
        super().__init__(frames_in, noise_channels, overlap_px=OVERLAP_PX, needs_statistics=False)
        full, half, quarter = channels, 2 * channels, 3 * channels
        self.stem = nn.Sequential(_conv(self.channels_in, full), _act())
        self.down_half = nn.Conv2d(full, half, 2, stride=2)
        self.encode_half = _Residual(half)
        self.down_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.bottom = nn.Sequential(_Residual(quarter), _Residual(quarter))
        self.up_half = _up(quarter, half)
        self.decode_half = _Residual(half)
        self.up_full = _up(half, full)
        self.head = nn.Sequential(_act(), _conv(full, full), _act(), OutputConv(full, 1, 3, padding=1))
        self._initialise()

    def translate(self, images: Tensor) -> Tensor:
        """Translate images whose sides are multiples of 8."""
        full = self.stem(images)
        half = self.encode_half(self.down_half(full))
        images = self.bottom(self.down_quarter(half))
        images = self.decode_half(self.up_half(images) + half)
        images = self.head(self.up_full(images) + full)
        return OVERSHOOT * images.tanh() + LEAK * images

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for module in self.modules():
            if isinstance(module, _Residual):
                module.shrink()
        # The first output is the background almost everywhere: atoms are rare, and tanh stays out of saturation.
        last = self.head[-1]
        nn.init.normal_(last.weight, std=1e-2)  # type: ignore[arg-type]
        nn.init.constant_(last.bias, math.atanh(BACKGROUND / OVERSHOOT))  # type: ignore[arg-type]


class _Residual(nn.Module):
    """Two 3×3 convolutions, each after a leaky ReLU, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.second(self.act(self.first(self.act(images))))  # type: ignore[no-any-return]

    def shrink(self) -> None:
        """Begin near the identity, as depth without normalisation demands."""
        nn.init.normal_(self.second.weight, std=1e-2)


def _act() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE, inplace=True)


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return a sub-pixel up-sampling by 2; the 3×3 convolutions after it remove its grid."""
    return nn.Sequential(nn.Conv2d(channels_in, 4 * channels_out, 1), nn.PixelShuffle(2))
