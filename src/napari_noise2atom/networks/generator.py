"""What every generator has in common, and the padding that lets it take images of any size."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norm import fuses_norms

__all__ = ["STRIDE_PX", "Generator", "OutputConv", "SplitGenerator", "memory_layout", "pad_to_stride", "round_weights"]

STRIDE_PX = 8
"""Images are padded to a multiple of this side; tiles must begin on multiples of it [px]."""


class Generator(nn.Module, ABC):
    """A network that maps images of one domain to the other, of any size, in about [-1, 1].

    Input has the shape (n, ``frames_in + noise_channels``, h, w), output (n, 1, h, w).

    Parameters
    ----------
    frames_in : int
        Neighbouring frames in the first channels; the middle one is meant.
    noise_channels : int
        Channels of standard normal noise that the caller appends.
    overlap_px : int
        Margin around a tile beyond which the image has no influence on the tile [px].
    needs_statistics : bool
        Whether the result depends on the image's statistics, so that `frozen_statistics` is needed for tiles.
    """

    tile_px = 512
    """Side of the tiles in which large images are translated: larger ones would take more memory, but no less time."""

    def __init__(self, frames_in: int, noise_channels: int, overlap_px: int, needs_statistics: bool) -> None:
        super().__init__()
        self.frames_in = frames_in
        self.noise_channels = noise_channels
        self.overlap_px = overlap_px
        self.needs_statistics = needs_statistics

    @property
    def channels_in(self) -> int:
        """Channels of the input."""
        return self.frames_in + self.noise_channels

    def forward(self, images: Tensor) -> Tensor:
        """Translate images of shape (n, channels_in, h, w) to (n, 1, h, w), in about [-1, 1]."""
        if images.ndim != 4 or images.shape[1] != self.channels_in:
            raise ValueError(f"got a tensor of shape {tuple(images.shape)}; expected (n, {self.channels_in}, h, w)")
        height, width = images.shape[-2:]
        return self.translate(pad_to_stride(images))[..., :height, :width]

    @abstractmethod
    def translate(self, images: Tensor) -> Tensor:
        """Translate images whose sides are multiples of `STRIDE_PX`."""


def memory_layout(generator: Generator, device: torch.device, frozen: bool = False) -> torch.memory_format:
    """Return the layout in which a generator's weights and images are fast on a device.

    Convolutions want the channels last. Instance norm then has to take one image after the other, unless it is fused
    with its activation. A CPU does not mind; a GPU would wait for that many more operations.

    Parameters
    ----------
    generator : Generator
        Of either architecture.
    device : torch.device
        Where it will compute.
    frozen : bool
        Whether its statistics will be frozen, which leaves nothing to be done one by one.

    Returns
    -------
    torch.memory_format
    """
    one_by_one = generator.needs_statistics and not frozen and device.type != "cpu" and not fuses_norms(device)
    return torch.contiguous_format if one_by_one else torch.channels_last


class SplitGenerator(Generator):
    """A generator whose wide receptive field lies in a coarse middle part that is cheap for a whole frame.

    ``translate(x)`` equals ``fine(x, context(coarse(x)))``. Coarse and fine part reach no further than
    ``overlap_px``, so they can be applied tile by tile with nothing but the context kept for the whole frame.
    """

    context_stride_px = 4
    """Pixels of the image per pixel of the context."""
    tile_px = 1024
    """Encoding tiles twice, with wide overlaps, costs more than memory."""

    @abstractmethod
    def coarse(self, images: Tensor) -> Tensor:
        """Encode images of shape (n, channels_in, h, w) to (n, c, h / stride, w / stride)."""

    @abstractmethod
    def context(self, coarse: Tensor) -> Tensor:
        """Process the encoded whole frame."""

    @abstractmethod
    def fine(self, images: Tensor, context: Tensor) -> Tensor:
        """Return the translated images, shape (n, 1, h, w), given their context."""


class OutputConv(nn.Conv2d):
    """The last convolution of a generator, in full precision even under autocast: bfloat16 has few grey values."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, h', w') of the weights' type."""
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images.to(self.weight.dtype))


def round_weights(generator: Generator, kind: torch.dtype) -> None:
    """Store weights as `mixed_precision` would round them in every pass; for a generator that learns no more.

    Parameters
    ----------
    generator : Generator
        Of either architecture; its last convolution and its norms stay as they are.
    kind : torch.dtype
        In which it convolves.
    """
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not isinstance(module, OutputConv):
            module.to(kind)


def pad_to_stride(images: Tensor, stride_px: int = STRIDE_PX) -> Tensor:
    """Pad images below and to the right to a multiple of a stride.

    Reflects; repeats the edge where an image is too small to be reflected.

    Parameters
    ----------
    images : Tensor, shape (n, channels, h, w)
        Images of any size.
    stride_px : int
        Both sides of the result are multiples of it [px].

    Returns
    -------
    Tensor, shape (n, channels, h', w')
    """
    height, width = images.shape[-2:]
    bottom, right = -height % stride_px, -width % stride_px
    if not bottom and not right:
        return images
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, bottom), mode=mode)
