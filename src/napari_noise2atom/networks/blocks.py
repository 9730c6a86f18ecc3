"""Building blocks of the paper's networks ("Network Architectures")."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norm import InstanceNorm

__all__ = ["Block", "Branches", "Down", "Residual", "TransposedConv", "Up", "activated"]

SLOPE = 0.2


class TransposedConv(nn.Conv2d):
    """Transposed convolution of stride 1 without padding, written as the convolution that it is.

    It is a convolution with ``kernel - 1`` zeros around the image and the kernel flipped, which is faster. Every side
    grows by ``kernel - 1``.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_px: int) -> None:
        super().__init__(channels_in, channels_out, kernel_px)
        self.margin_px = kernel_px - 1

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, h + kernel - 1, w + kernel - 1)."""
        if not torch.is_grad_enabled():
            return F.conv2d(images, self.weight, self.bias, padding=self.margin_px)
        if images.device.type != "cpu":
            return _differentiable_twice(self, images, self.margin_px)
        if self.margin_px <= 2:
            # The zeros are few. And the critic, which has no other kernels, is often differentiated by its images
            # alone: a function of our own cannot know that nobody asks for the weights' gradient.
            return F.conv2d(F.pad(images, 4 * [self.margin_px]), self.weight, self.bias)
        return _WideConvolution.apply(*_operands(self, images))  # type: ignore[no-any-return, no-untyped-call]


class StridedConv(nn.Conv2d):
    """Convolution of stride 2 without padding."""

    def __init__(self, channels_in: int, channels_out: int, kernel_px: int) -> None:
        super().__init__(channels_in, channels_out, kernel_px, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, (h - kernel) // 2 + 1, (w - kernel) // 2 + 1)."""
        if images.device.type == "cpu" or not torch.is_grad_enabled():
            return super().forward(images)
        return _differentiable_twice(self, images)


def _operands(conv: nn.Conv2d, images: Tensor) -> list[Tensor | None]:
    """Return images, weight and bias in the precision in which autocast would convolve them."""
    kind = images.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    mixed &= images.dtype != torch.float64  # which autocast leaves alone
    dtype = torch.get_autocast_dtype(kind) if mixed else images.dtype
    return [None if tensor is None else tensor.to(dtype) for tensor in (images, conv.weight, conv.bias)]


class _WideConvolution(torch.autograd.Function):
    """Convolution with ``kernel - 1`` zeros around, whose gradients are made without such zeros.

    A CPU takes ten times as long for the weights' gradient of a convolution with so much padding. But they are those
    of the way back as well: a convolution without padding, of the larger side, whose weights are the same ones flipped.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(images, weight)
        return F.conv2d(images, weight, bias, padding=weight.shape[-1] - 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        images, weight = ctx.saved_tensors
        of_images, _, of_bias = ctx.needs_input_grad
        weight_back = _way_back(weight)
        _, gradient_back, _ = torch.ops.aten.convolution_backward(
            images, gradient, weight_back, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
        )
        return (
            F.conv2d(gradient, weight_back) if of_images else None,
            _way_back(gradient_back),
            gradient.sum(dim=(0, 2, 3)) if of_bias else None,
        )


def _differentiable_twice(conv: nn.Conv2d, images: Tensor, padding_px: int = 0) -> Tensor:
    """Convolve; the gradient of a gradient takes no longer than the gradient itself."""
    stride = conv.stride[0]
    return _Convolution.apply(*_operands(conv, images), stride, padding_px)  # type: ignore[no-any-return, no-untyped-call]


class _Convolution(torch.autograd.Function):
    """Convolution, for GPUs, whose gradient by the images is a transposed convolution in autograd's eyes too.

    What torch itself does where that gradient is differentiated by the weights, as in the critic's penalty, is to
    convolve with a kernel as large as an image; cuDNN takes more time for that than for the rest of the critic's step.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding_px: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding_px = stride, padding_px
        return F.conv2d(images, weight, bias, stride, padding_px)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        stride, padding_px = ctx.stride, ctx.padding_px
        of_images, of_weight, of_bias = ctx.needs_input_grad[:3]
        left_over = [(images.shape[axis] + 2 * padding_px - weight.shape[axis]) % stride for axis in (2, 3)]
        weights = 2 * [stride], 2 * [padding_px], [1, 1], False, [0, 0], 1, [False, True, False]
        return (
            F.conv_transpose2d(gradient, weight, None, stride, padding_px, left_over) if of_images else None,
            torch.ops.aten.convolution_backward(gradient, images, weight, None, *weights)[1] if of_weight else None,
            gradient.sum(dim=(0, 2, 3)) if of_bias else None,
            None,
            None,
        )


def _way_back(weight: Tensor) -> Tensor:
    """Flip a kernel and exchange what it reads and writes."""
    return weight.flip(2, 3).transpose(0, 1)


def activated(conv: nn.Conv2d | nn.ConvTranspose2d, norm: bool = True) -> list[nn.Module]:
    """Return a convolution, its instance norm, and a leaky ReLU."""
    if not norm:
        return [conv, nn.LeakyReLU(SLOPE, inplace=True)]
    conv.bias = None  # the norm would take it away
    return [conv, InstanceNorm(conv.out_channels, SLOPE)]


class Block(nn.Sequential):
    """Transposed convolution, then convolution of the same kernel; the size is kept without padding."""

    def __init__(self, channels_in: int, channels_out: int, kernel_px: int = 3, norm: bool = True) -> None:
        super().__init__(
            *activated(TransposedConv(channels_in, channels_out, kernel_px), norm),
            *activated(nn.Conv2d(channels_out, channels_out, kernel_px), norm),
        )


class Down(nn.Sequential):
    """Transposed 3×3 convolution, then 3×3 convolution of stride 2; halves the sides, rounding up."""

    def __init__(self, channels_in: int, channels_out: int, norm: bool = True) -> None:
        super().__init__(
            *activated(TransposedConv(channels_in, channels_out, 3), norm),
            *activated(StridedConv(channels_out, channels_out, 3), norm),
        )


class Up(nn.Sequential):
    """Transposed 4×4 convolution of stride 2, then 3×3 convolution; doubles the sides."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            *activated(nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2)),
            *activated(nn.Conv2d(channels_out, channels_out, 3)),
        )


class Branches(nn.Module):
    """The paper's Xception module: blocks of several kernels side by side, concatenated.

    Parameters
    ----------
    channels : int
        Channels in and out; each branch makes an equal share.
    kernels_px : tuple of int
        Kernel side of each branch [px].
    """

    def __init__(self, channels: int, kernels_px: tuple[int, ...]) -> None:
        super().__init__()
        share = channels // len(kernels_px)
        self.branches = nn.ModuleList(Block(channels, share, kernel) for kernel in kernels_px)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        return torch.cat([branch(images) for branch in self.branches], dim=1)


class Residual(nn.Module):
    """A block whose result is added to its input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = Block(channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        return images + self.block(images)  # type: ignore[no-any-return]
