from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from napari_noise2atom.networks import (
    CompactGenerator,
    Generator,
    InstanceNorm,
    PaperGenerator,
    build_c2s,
    build_s2c,
    memory_layout,
    pad_to_stride,
    round_weights,
)
from napari_noise2atom.networks.blocks import TransposedConv
from napari_noise2atom.networks.generator import OutputConv
from napari_noise2atom.settings import NetworkSettings


def multiplications(network: nn.Module, images: Tensor) -> int:
    """Count one multiplication per kernel element and pair of channels, per input pixel where it is transposed."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        pixels = inputs[0] if isinstance(module, TransposedConv | nn.ConvTranspose2d) else output
        total += module.weight.numel() * pixels.shape[-2] * pixels.shape[-1]

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    network(images)
    return total


def test_paper_has_the_published_size() -> None:
    network = PaperGenerator()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    without_effect = sum(module.out_channels for module in convolutions if module.bias is None)
    parameters = sum(weights.numel() for weights in network.parameters()) + without_effect
    assert parameters / 1e6 == pytest.approx(13.80, abs=0.005)
    assert multiplications(network, torch.zeros(1, 1, 128, 128)) / 1e9 == pytest.approx(13.14, abs=0.005)


def test_transposed_convolution_is_torchs_own() -> None:
    ours = TransposedConv(2, 3, 5)
    theirs = nn.ConvTranspose2d(2, 3, 5)
    theirs.weight.copy_(ours.weight.flip(2, 3).transpose(0, 1))
    theirs.bias.copy_(ours.bias)
    images = torch.randn(1, 2, 9, 11)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(ours(images), theirs(images))


@torch.enable_grad()
@pytest.mark.parametrize("kernel_px", [3, 5])
def test_transposed_convolution_is_differentiable_twice(kernel_px: int) -> None:
    ours = TransposedConv(2, 3, kernel_px).double()
    images = torch.randn(2, 2, 4, 5).double().requires_grad_()

    def results(images: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(ours, dict(zip(("weight", "bias"), weights, strict=True)), images)

    arguments = images, *(weights.detach().requires_grad_() for weights in ours.parameters())
    torch.autograd.gradcheck(results, arguments)
    torch.autograd.gradgradcheck(results, arguments)


@torch.enable_grad()
def test_transposed_convolution_in_mixed_precision() -> None:
    ours = TransposedConv(8, 8, 5)
    images = torch.randn(1, 8, 16, 16)
    exact = torch.autograd.grad(ours(images).square().sum(), [*ours.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        result = ours(images)
        rounded = torch.autograd.grad(result.float().square().sum(), [*ours.parameters()])
    assert result.dtype == torch.bfloat16
    for found, known in zip(rounded, exact, strict=True):
        assert float((found - known).norm() / known.norm()) < 0.02


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (17, 8), (5, 100), (8, 7)])
@pytest.mark.parametrize(
    ("make", "largest"), [(lambda: CompactGenerator(3, 8, noise_channels=1), 1.5), (PaperGenerator, 1.0)]
)
def test_any_size(make: type[Generator], largest: float, size: tuple[int, int]) -> None:
    generator = make()
    result = generator(torch.randn(2, generator.channels_in, *size))
    assert result.shape == (2, 1, *size)
    assert float(result.abs().max()) <= largest


@pytest.mark.parametrize("make", [lambda: CompactGenerator(3, 8), PaperGenerator])
def test_rounded_weights_are_those_of_autocast(make: Callable[[], Generator]) -> None:
    generator = make()
    images = torch.randn(1, generator.channels_in, 24, 32)
    exact = generator(images)
    with torch.autocast("cpu", torch.bfloat16):
        expected = generator(images)
        round_weights(generator, torch.bfloat16)
        torch.testing.assert_close(generator(images), expected, rtol=0, atol=0)
    assert not torch.equal(expected, exact)
    kinds = {name: weights.dtype for name, weights in generator.named_parameters()}
    assert set(kinds.values()) == {torch.bfloat16, torch.float32}
    rest = [name for name, kind in kinds.items() if kind == torch.float32]
    norms = [name for name, module in generator.named_modules() if isinstance(module, InstanceNorm | OutputConv)]
    assert {name.rpartition(".")[0] for name in rest} == set(norms)


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 5, h, w\)"):
        CompactGenerator(5)(torch.zeros(1, 1, 32, 32))


def test_padding_reflects_and_repeats_what_is_too_small() -> None:
    row = torch.arange(6.0).view(1, 1, 1, 6)
    padded = pad_to_stride(row)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    tall = row.expand(1, 1, 8, 6)
    assert pad_to_stride(tall)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]
    whole = torch.zeros(1, 1, 16, 8)
    assert pad_to_stride(whole) is whole


def test_compact_has_no_norm_and_starts_dark() -> None:
    network = CompactGenerator(5, 24)
    assert not [m for m in network.modules() if "Norm" in type(m).__name__]
    assert float(network(torch.randn(1, 5, 64, 64)).mean()) == pytest.approx(-0.8, abs=0.2)


def test_compact_sees_no_further_than_its_overlap() -> None:
    network = CompactGenerator(1, 8)
    image = torch.randn(1, 1, 128, 128, requires_grad=True)
    reach = 0
    for pixel in range(60, 68):
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(network(image)[0, 0, 64, pixel], image)
        columns = gradient[0, 0].abs().amax(0).nonzero().flatten()
        reach = max(reach, pixel - int(columns.min()), int(columns.max()) - pixel)
    assert 20 <= reach <= network.overlap_px


def test_output_stays_float32_under_autocast() -> None:
    for generator in (CompactGenerator(1, 8), PaperGenerator()):
        images = torch.randn(1, 1, 32, 32)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = generator(images)
        assert mixed.dtype == torch.float32
        assert len(mixed.unique()) > 512


@pytest.mark.parametrize("architecture", ["paper", "compact"])
def test_built_from_settings(architecture: str) -> None:
    settings = NetworkSettings.model_validate({"architecture": architecture, "frames_in": 3, "channels": 8})
    s2c, c2s = build_s2c(settings), build_c2s(settings)
    assert (s2c.frames_in, s2c.noise_channels) == (3, 0)
    assert (c2s.frames_in, c2s.noise_channels) == (1, 0 if architecture == "paper" else 1)
    assert type(s2c) is type(c2s)


def test_the_memory_layout_changes_no_result() -> None:
    generator = PaperGenerator().double()
    images = torch.randn(2, 1, 32, 40, dtype=torch.float64)
    expected = generator(images)
    generator.to(memory_format=torch.channels_last)
    torch.testing.assert_close(generator(images), expected)


@pytest.mark.parametrize("fuses", [True, False])
def test_only_a_gpu_that_does_not_fuse_norms_keeps_their_channels_together(
    monkeypatch: pytest.MonkeyPatch, fuses: bool
) -> None:
    monkeypatch.setattr("napari_noise2atom.networks.generator.fuses_norms", lambda device: fuses)
    paper, compact = PaperGenerator(), CompactGenerator(1, 8)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    layouts = [memory_layout(*case) for case in ((paper, cpu), (compact, cpu), (compact, gpu), (paper, gpu, True))]
    assert layouts == 4 * [torch.channels_last]
    assert memory_layout(paper, gpu) == (torch.channels_last if fuses else torch.contiguous_format)


def test_a_saturated_compact_network_still_learns() -> None:
    network = CompactGenerator(1, 8)
    last = network.head[-1]
    with torch.no_grad():
        last.bias.fill_(-20)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(network(torch.zeros(1, 1, 16, 16)).mean(), last.bias)
    assert slope.item() == pytest.approx(0.05, rel=1e-3)
