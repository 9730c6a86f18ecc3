"""Triton's interpreter does on a CPU what a GPU would do."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_noise2atom.networks import frozen_statistics
from napari_noise2atom.networks.blocks import Block, Residual
from napari_noise2atom.networks.norm import InstanceNorm, _has_another_llvm, fuses_norms

MODULE = "napari_noise2atom.networks.fused_norm"
EPS, SLOPE = 1e-5, 0.2
SHAPES = [(2, 8, 13, 17), (3, 16, 40, 33), (1, 192, 18, 18), (2, 24, 3, 1), (2, 128, 9, 70)]
EXACT = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


@pytest.fixture
def fused() -> ModuleType:
    pytest.importorskip("triton", reason="comes with PyTorch's CUDA builds for Linux; .ci/run installs it")
    return import_module(MODULE)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch, fused: ModuleType) -> None:
    """Let the networks take a CPU for a GPU that fuses norms."""
    monkeypatch.setattr("napari_noise2atom.networks.norm.fuses_norms", lambda device: True)


def operands(shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Return images whose mean is far from zero, weight, bias, and a gradient that arrives."""
    images = (2 * torch.randn(shape) + 5).to(dtype).contiguous(memory_format=torch.channels_last)
    return [images.requires_grad_(), *torch.randn(2, shape[1]).requires_grad_(), torch.randn(shape).to(dtype)]


def difference(got: Tensor, expected: Tensor) -> float:
    return float((got.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", EXACT)
@torch.enable_grad()
def test_it_is_instance_norm_and_leaky_relu_there_and_back(fused, shape, dtype) -> None:
    images, weight, bias, arriving = operands(shape, dtype)
    inputs = (images, weight, bias)
    made = fused.fused_norm(images, weight, bias, EPS, SLOPE)
    exact = F.instance_norm(images.double(), weight=weight.double(), bias=bias.double(), eps=EPS)
    expected = F.leaky_relu(exact, SLOPE)
    assert made.dtype == dtype
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert difference(made.detach(), expected.detach()) < EXACT[dtype]
    gradients = torch.autograd.grad(made, inputs, arriving)
    for got, wanted in zip(gradients, torch.autograd.grad(expected, inputs, arriving.double()), strict=True):
        assert difference(got, wanted) < EXACT[dtype]


def test_a_mean_far_from_zero_costs_no_precision(fused) -> None:
    images = (torch.randn(1, 8, 64, 64) + 3000).contiguous(memory_format=torch.channels_last)
    one, zero = torch.ones(8), torch.zeros(8)
    expected = F.instance_norm(images.double(), eps=EPS)
    assert difference(fused.fused_norm(images, one, zero, EPS, 1.0), expected) < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_given_map_overwrites_the_images(fused, shape) -> None:
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    scale, shift = torch.randn(2, 1, shape[1], 1, 1)
    expected = F.leaky_relu(images * scale + shift, SLOPE)
    assert fused.fused_map(images, scale, shift, SLOPE) is images
    torch.testing.assert_close(images, expected)


def test_it_cannot_be_differentiated_twice(fused) -> None:
    images, weight, bias, _ = operands((1, 8, 4, 4), torch.float32)
    with torch.enable_grad():
        total = fused.fused_norm(images, weight, bias, EPS, SLOPE).square().sum()
        (gradient,) = torch.autograd.grad(total, images, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()


def test_large_images_are_divided_among_few_programs(fused, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA takes at most 65 535 programs along an axis."""
    monkeypatch.setattr(fused, "BLOCK", 256)
    monkeypatch.setattr(fused, "ENOUGH_PROGRAMS", 3)
    monkeypatch.setattr(fused, "MOST_CHUNKS", 4)
    (count, chunks, slabs), pixels, chunk, *_ = fused._plan(torch.empty(2, 8, 50, 31))
    assert (count, chunks, slabs, pixels) == (2, 1, 1, 50 * 31)
    assert chunks * chunk >= pixels
    images, weight, bias, _ = operands((1, 8, 50, 31), torch.float32)
    expected = F.leaky_relu(F.instance_norm(images, weight=weight, bias=bias, eps=EPS), SLOPE)
    torch.testing.assert_close(fused.fused_norm(images, weight, bias, EPS, SLOPE), expected)
    expected = F.leaky_relu(images * weight.view(-1, 1, 1) + bias.view(-1, 1, 1), SLOPE)
    torch.testing.assert_close(fused.fused_map(images.clone(), weight, bias, SLOPE), expected)


def test_networks_use_it_where_it_works(everywhere, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(Block(2, 8), Residual(8)).to(memory_format=torch.channels_last)
    images = torch.randn(2, 2, 32, 32).contiguous(memory_format=torch.channels_last)
    made = network(images)
    with frozen_statistics(network, images):
        frozen = network(images)
    monkeypatch.undo()
    torch.testing.assert_close(made, network(images))
    with frozen_statistics(network, images):
        torch.testing.assert_close(frozen, network(images))


def test_images_whose_channels_lie_together_are_left_to_torch(everywhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """The critic's are such: it is differentiated twice."""
    monkeypatch.setitem(sys.modules, MODULE, None)
    norm, images = InstanceNorm(3, SLOPE), torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(norm(images), F.leaky_relu(F.instance_norm(images), SLOPE))


def test_triton_is_not_loaded_beside_another_llvm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would end the process, as it did a window on a screen in memory."""
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/libstdc++.so.6\n")
    assert not _has_another_llvm(maps)
    assert not _has_another_llvm(tmp_path / "none"), "only Linux has such a file"
    maps.write_text("7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n")
    assert _has_another_llvm(maps)
    monkeypatch.setattr("napari_noise2atom.networks.norm._has_another_llvm", lambda: True)
    fuses_norms.cache_clear()
    with pytest.warns(RuntimeWarning, match="more slowly: this process paints by LLVM"):
        assert not fuses_norms(torch.device("cuda"))
    fuses_norms.cache_clear()


def test_without_triton_all_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    fuses_norms.cache_clear()
    assert not fuses_norms(torch.device("cpu"))
    with pytest.warns(RuntimeWarning, match="goes on without fused norms, more slowly"):
        assert not fuses_norms(torch.device("cuda"))
    assert not fuses_norms(torch.device("cuda")), "it is said once"
    fuses_norms.cache_clear()
