import pytest
import torch
import torch.nn.functional as F

from napari_noise2atom.networks import (
    CompactGenerator,
    Generator,
    InstanceNorm,
    PaperGenerator,
    frozen_statistics,
    translate_tiled,
)


@pytest.mark.parametrize(("size", "tiles_px"), [((512, 512), (128, 256, 512)), ((301, 210), (64, 100, 301))])
def test_compact_does_not_depend_on_tiles(size: tuple[int, int], tiles_px: tuple[int, ...]) -> None:
    generator = vivid(CompactGenerator(3, 8))
    images = torch.randn(1, 3, *size)
    whole = generator(images)
    assert float(whole.std()) > 0.05
    for tile_px in tiles_px:
        torch.testing.assert_close(translate_tiled(generator, images, tile_px), whole, atol=1e-5, rtol=0)


def test_paper_does_not_depend_on_tiles_with_frozen_statistics() -> None:
    generator = vivid(PaperGenerator())
    images = torch.randn(1, 1, 136, 200)
    with frozen_statistics(generator, images[..., :64, :64]):
        whole = generator(images)
        assert float(whole.std()) > 0.05
        for tile_px in (72, 128):
            # some processors make 2e-3 of what float32 rounds
            torch.testing.assert_close(translate_tiled(generator, images, tile_px), whole, atol=5e-3, rtol=0)


def test_paper_splits_into_its_parts() -> None:
    generator = PaperGenerator()
    images = torch.randn(1, 1, 32, 40)
    parts = generator.fine(images, generator.context(generator.coarse(images)))
    torch.testing.assert_close(parts, generator(images))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_torchs_own(layout: torch.memory_format) -> None:
    norm = InstanceNorm(4)
    norm.weight.uniform_()
    norm.bias.uniform_()
    images = (torch.randn(3, 4, 16, 16) * 5 + 2).to(memory_format=layout)
    with torch.enable_grad():
        images.requires_grad_()
        expected = F.instance_norm(images, weight=norm.weight, bias=norm.bias)
        torch.testing.assert_close(norm(images), expected)
        assert norm(images).is_contiguous(memory_format=layout)
        sources = [images, norm.weight, norm.bias]
        gradients = (torch.autograd.grad(values.pow(3).sum(), sources) for values in (norm(images), expected))
        for found, known in zip(*gradients, strict=True):
            torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)
    for one in images.detach().split(1):
        with frozen_statistics(norm, one.clone()):
            torch.testing.assert_close(norm(one.clone()), F.instance_norm(one, weight=norm.weight, bias=norm.bias))


def test_frozen_statistics_are_those_of_the_crops_and_end_with_the_context() -> None:
    norm = InstanceNorm(1)
    crops = torch.randn(5, 1, 32, 32) * 3 + 7
    images = torch.randn(1, 1, 8, 8)
    with frozen_statistics(norm, crops.clone()):
        whole = norm(images.clone())
        torch.testing.assert_close(whole, (images - crops.mean()) / crops.std(correction=0))
        torch.testing.assert_close(norm(images[..., :4].clone()), whole[..., :4])
    torch.testing.assert_close(norm(images), F.instance_norm(images))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_frozen_statistics_are_precise_of_rounded_images(kind: torch.dtype) -> None:
    norm = InstanceNorm(4)
    norm.weight.uniform_()
    norm.bias.uniform_()
    crops = (torch.randn(5, 4, 32, 32) + 7).to(kind, memory_format=torch.channels_last)
    with frozen_statistics(norm, crops):
        scale, shift = norm._frozen
        frozen = norm(crops.clone())
    means, deviations = (f(crops.double(), dim=(0, 2, 3)) for f in (torch.mean, torch.std))
    assert scale.dtype == shift.dtype == torch.float32
    torch.testing.assert_close(scale.flatten(), (norm.weight / deviations).float(), rtol=1e-3, atol=0)
    torch.testing.assert_close(-shift.flatten() + norm.bias, means.float() * scale.flatten(), rtol=1e-3, atol=0)
    norm.measure()
    torch.testing.assert_close(norm(crops.clone()), frozen)


def test_statistics_are_released_after_an_error() -> None:
    norm = InstanceNorm(1)
    images = torch.randn(1, 1, 8, 8)
    with pytest.raises(RuntimeError, match="stop"), frozen_statistics(norm, images + 9):
        raise RuntimeError("stop")
    torch.testing.assert_close(norm(images), F.instance_norm(images))
    assert not norm.state_dict().keys() - {"weight", "bias"}


def vivid(generator: Generator) -> Generator:
    """Scale the last layer so that the untrained result varies as much as a trained one."""
    output = [module for module in generator.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    output.weight.mul_(20)
    return generator.eval()
