"""Instance norm and leaky ReLU of images in the channels_last layout, in two kernels there and two back.

Written in Triton, which comes with PyTorch's CUDA builds for Linux. What torch offers would take one image after the
other, or copy the images to the other layout, and passes over them five times instead of three.
"""
# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls, allow-incomplete-defs
# ruff: noqa: N803 (constants of a kernel)

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["fused_map", "fused_norm"]

BLOCK = 4096
"""Values that a program holds at a time."""
WIDEST = 64
"""Channels that a program takes."""
MOST_CHUNKS = 32
"""Into which the pixels of an image are divided: each program adds up the statistics of all of them."""
ENOUGH_PROGRAMS = 2048
"""To keep a GPU busy."""
SIZES = ("pixels", "chunk")
"""Numbers for which kernels are not compiled anew."""


def fused_norm(images: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
    """Return the activated, normalised images; may be differentiated once.

    Parameters
    ----------
    images : Tensor, shape (n, channels, h, w)
        In the channels_last layout, on a CUDA GPU; at least one pixel each.
    weight, bias : Tensor, shape (channels,)
        Of the affine map after the normalisation.
    eps : float
        Added to the variance.
    slope : float
        Of the leaky ReLU below zero.

    Returns
    -------
    Tensor, shape (n, channels, h, w)
        Of the images' type and layout; statistics are float32.
    """
    return _FusedNorm.apply(images, weight, bias, eps, slope)  # type: ignore[no-any-return]


def fused_map(images: Tensor, scale: Tensor, shift: Tensor, slope: float) -> Tensor:
    """Overwrite images by those scaled, shifted and activated, channel by channel; without gradients.

    Parameters
    ----------
    images : Tensor, shape (n, channels, h, w)
        As for `fused_norm`.
    scale, shift : Tensor, float32
        One value a channel.
    slope : float
        Of the leaky ReLU below zero.

    Returns
    -------
    Tensor
        The images.
    """
    count, channels, height, width = images.shape
    pixels, tall, wide, slabs = count * height * width, *_block_of(channels)
    chunk = -(-pixels // min(ENOUGH_PROGRAMS, -(-pixels // tall)))
    _map[1, -(-pixels // chunk), slabs](images, scale, shift, slope, pixels, chunk, channels, tall, wide)
    return images


class _FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
        grid, *sizes = _plan(images)
        count, channels = images.shape[:2]
        partial = weight.new_empty((count, grid[1], 2, channels))
        statistics = weight.new_empty((count, 2, channels))
        result = torch.empty_like(images)
        _measure[grid](images, partial, *sizes)
        _normalise[grid](images, partial, statistics, weight, bias, result, eps, slope, *sizes, MOST_CHUNKS)
        ctx.save_for_backward(images, statistics, weight, bias)
        ctx.slope = slope
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, statistics, weight, bias = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        grid, *sizes = _plan(images)
        partial = weight.new_empty((len(images), grid[1], 2, len(weight)))
        affine, result = torch.empty_like(statistics[0]), torch.empty_like(images)
        inputs = (images, gradient, statistics, weight, bias, partial)
        _measure_back[grid](*inputs, ctx.slope, *sizes)
        _normalise_back[grid](*inputs, affine, result, ctx.slope, *sizes, MOST_CHUNKS)
        return result, affine[1], affine[0], None, None


def _plan(images: Tensor) -> tuple[tuple[int, int, int], int, int, int, int, int]:
    """Return the programs by image, chunk and slab of channels, and their sizes.

    These are the pixels of an image and of a chunk, the channels, and the pixels and channels of a program's block.
    """
    count, channels, height, width = images.shape
    pixels, tall, wide, slabs = height * width, *_block_of(channels)
    chunks = max(1, min(MOST_CHUNKS, ENOUGH_PROGRAMS // (count * slabs), -(-pixels // tall)))
    chunk = -(-pixels // chunks)
    return (count, -(-pixels // chunk), slabs), pixels, chunk, channels, tall, wide


def _block_of(channels: int) -> tuple[int, int, int]:
    """Return the pixels and channels of a program's block, and the slabs into which the channels are divided."""
    wide = min(WIDEST, triton.next_power_of_2(channels))
    return BLOCK // wide, wide, -(-channels // wide)


@triton.jit
def _block(start, stop, pixels, CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr):
    """Return where a program's values are, and which of them there are."""
    pixel = start + tl.arange(0, TALL)
    channel = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    there = (pixel < stop)[:, None] & (channel < CHANNELS)[None, :]
    row = tl.program_id(0).to(tl.int64) * pixels + pixel
    return row[:, None] * CHANNELS + channel[None, :], there


@triton.jit
def _per_channel(pointer, row, CHANNELS: tl.constexpr, WIDE: tl.constexpr):
    """Return the program's channels of a row."""
    channel = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    return tl.load(pointer + row * CHANNELS + channel, channel < CHANNELS, 0.0)


@triton.jit
def _keep(pointer, row, values, CHANNELS: tl.constexpr, WIDE: tl.constexpr):
    """Write the program's channels of a row."""
    channel = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    tl.store(pointer + row * CHANNELS + channel, values, channel < CHANNELS)


@triton.jit(do_not_specialize=SIZES)
def _measure(images, partial, pixels, chunk, CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr):
    """Leave the mean of each channel in a chunk of an image, and the sum of squared differences from it."""
    number, chunks = tl.program_id(1), tl.num_programs(1)
    first = number * chunk
    stop = tl.minimum(first + chunk, pixels)
    count = 0.0
    mean = tl.zeros((WIDE,), tl.float32)
    squares = tl.zeros((WIDE,), tl.float32)
    start = first
    while start < stop:
        places, there = _block(start, stop, pixels, CHANNELS, TALL, WIDE)
        values = tl.load(images + places, there, 0.0).to(tl.float32)
        more = tl.minimum(stop - start, TALL).to(tl.float32)
        mean_here = tl.sum(values, 0) / more
        difference = tl.where(there, values - mean_here[None, :], 0.0)
        apart = mean_here - mean
        total = count + more
        squares += tl.sum(difference * difference, 0) + apart * apart * count * more / total
        mean += apart * more / total
        count = total
        start += TALL
    row = 2 * (tl.program_id(0) * chunks + number)
    _keep(partial, row, mean, CHANNELS, WIDE)
    _keep(partial, row + 1, squares, CHANNELS, WIDE)


@triton.jit
def _gather(partial, image, CHANNELS: tl.constexpr, WIDE: tl.constexpr, CHUNKS: tl.constexpr):
    """Return both things that all chunks of an image have left, shape (CHUNKS, WIDE) each."""
    chunks = tl.num_programs(1)
    number = tl.arange(0, CHUNKS)
    channel = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    there = (number < chunks)[:, None] & (channel < CHANNELS)[None, :]
    places = partial + (image * chunks + number)[:, None] * 2 * CHANNELS + channel[None, :]
    return tl.load(places, there, 0.0), tl.load(places + CHANNELS, there, 0.0)


@triton.jit
def _map_chunk(
    images, result, scale, shift, slope, pixels, chunk,
    CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Scale, shift and activate a chunk, given the maps of the program's channels."""
    first = tl.program_id(1) * chunk
    stop = tl.minimum(first + chunk, pixels)
    start = first
    while start < stop:
        places, there = _block(start, stop, pixels, CHANNELS, TALL, WIDE)
        values = tl.load(images + places, there, 0.0).to(tl.float32) * scale[None, :] + shift[None, :]
        values = tl.where(values > 0, values, values * slope)
        tl.store(result + places, values.to(result.dtype.element_ty), there)
        start += TALL


@triton.jit(do_not_specialize=SIZES)
def _normalise(
    images, partial, statistics, weight, bias, result, eps, slope, pixels, chunk,
    CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Normalise and activate a chunk by the statistics of the whole image, which are kept."""
    means, squares = _gather(partial, tl.program_id(0), CHANNELS, WIDE, CHUNKS)
    counts = tl.maximum(tl.minimum(chunk, pixels - tl.arange(0, CHUNKS) * chunk), 0).to(tl.float32)[:, None]
    mean = tl.sum(means * counts, 0) / pixels
    apart = means - mean[None, :]
    variance = (tl.sum(squares, 0) + tl.sum(apart * apart * counts, 0)) / pixels
    inverse = 1 / tl.sqrt(variance + eps)
    if tl.program_id(1) == 0:
        _keep(statistics, 2 * tl.program_id(0), mean, CHANNELS, WIDE)
        _keep(statistics, 2 * tl.program_id(0) + 1, inverse, CHANNELS, WIDE)
    scale = _per_channel(weight, 0, CHANNELS, WIDE) * inverse
    shift = _per_channel(bias, 0, CHANNELS, WIDE) - mean * scale
    _map_chunk(images, result, scale, shift, slope, pixels, chunk, CHANNELS, TALL, WIDE)


@triton.jit
def _differentiate(
    images, gradient, statistics, weight, bias, slope, places, there, CHANNELS: tl.constexpr, WIDE: tl.constexpr
):
    """Return normalised values, and the gradient by what the activation is given."""
    mean = _per_channel(statistics, 2 * tl.program_id(0), CHANNELS, WIDE)
    inverse = _per_channel(statistics, 2 * tl.program_id(0) + 1, CHANNELS, WIDE)
    scale = _per_channel(weight, 0, CHANNELS, WIDE)
    shift = _per_channel(bias, 0, CHANNELS, WIDE)
    normal = (tl.load(images + places, there, 0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
    arriving = tl.load(gradient + places, there, 0.0).to(tl.float32)
    positive = normal * scale[None, :] + shift[None, :] > 0
    return tl.where(there, normal, 0.0), tl.where(positive, arriving, arriving * slope), scale * inverse


@triton.jit(do_not_specialize=SIZES)
def _measure_back(
    images, gradient, statistics, weight, bias, partial, slope, pixels, chunk,
    CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Leave the gradients by bias and weight that a chunk of an image contributes."""
    number, chunks = tl.program_id(1), tl.num_programs(1)
    first = number * chunk
    stop = tl.minimum(first + chunk, pixels)
    of_bias = tl.zeros((WIDE,), tl.float32)
    of_weight = tl.zeros((WIDE,), tl.float32)
    start = first
    while start < stop:
        places, there = _block(start, stop, pixels, CHANNELS, TALL, WIDE)
        normal, inner, _ = _differentiate(
            images, gradient, statistics, weight, bias, slope, places, there, CHANNELS, WIDE
        )
        of_bias += tl.sum(inner, 0)
        of_weight += tl.sum(inner * normal, 0)
        start += TALL
    row = 2 * (tl.program_id(0) * chunks + number)
    _keep(partial, row, of_bias, CHANNELS, WIDE)
    _keep(partial, row + 1, of_weight, CHANNELS, WIDE)


@triton.jit(do_not_specialize=SIZES)
def _normalise_back(
    images, gradient, statistics, weight, bias, partial, affine, result, slope, pixels, chunk,
    CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Leave the gradient by the images of a chunk; the first program also those by bias and weight."""
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        bias_sum = tl.zeros((WIDE,), tl.float32)
        weight_sum = tl.zeros((WIDE,), tl.float32)
        image = 0
        while image < tl.num_programs(0):
            of_biases, of_weights = _gather(partial, image, CHANNELS, WIDE, CHUNKS)
            bias_sum += tl.sum(of_biases, 0)
            weight_sum += tl.sum(of_weights, 0)
            image += 1
        _keep(affine, 0, bias_sum, CHANNELS, WIDE)
        _keep(affine, 1, weight_sum, CHANNELS, WIDE)
    of_biases, of_weights = _gather(partial, tl.program_id(0), CHANNELS, WIDE, CHUNKS)
    of_bias, of_weight = tl.sum(of_biases, 0) / pixels, tl.sum(of_weights, 0) / pixels
    first = tl.program_id(1) * chunk
    stop = tl.minimum(first + chunk, pixels)
    start = first
    while start < stop:
        places, there = _block(start, stop, pixels, CHANNELS, TALL, WIDE)
        normal, inner, scale = _differentiate(
            images, gradient, statistics, weight, bias, slope, places, there, CHANNELS, WIDE
        )
        values = scale[None, :] * (inner - of_bias[None, :] - normal * of_weight[None, :])
        tl.store(result + places, values.to(result.dtype.element_ty), there)
        start += TALL


@triton.jit(do_not_specialize=SIZES)
def _map(images, scale, shift, slope, pixels, chunk, CHANNELS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr):
    """Scale, shift and activate a chunk of all pixels."""
    scales, shifts = _per_channel(scale, 0, CHANNELS, WIDE), _per_channel(shift, 0, CHANNELS, WIDE)
    _map_chunk(images, images, scales, shifts, slope, pixels, chunk, CHANNELS, TALL, WIDE)
