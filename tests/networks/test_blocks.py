import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_noise2atom.networks.blocks import StridedConv, TransposedConv, _differentiable_twice


def derivatives(result: Tensor, images: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """Return a result, its slope by the images, and what a penalty on that slope has for a gradient (eq. 3)."""
    (slope,) = torch.autograd.grad(result.tanh().square().sum(), images, create_graph=True)
    penalty = (slope.square().sum() - 1) ** 2 + result.sum()
    return [result, slope, *torch.autograd.grad(penalty, [images, weight, bias])]


@pytest.mark.parametrize("size", [(9, 12), (8, 7)])
@pytest.mark.parametrize(
    ("conv", "padding_px"), [(TransposedConv(3, 5, 3), 2), (StridedConv(3, 5, 3), 0), (TransposedConv(2, 4, 5), 4)]
)
@torch.enable_grad()
def test_what_a_gpu_convolves_is_differentiated_as_torch_does(conv, padding_px: int, size: tuple[int, int]) -> None:
    conv.double()
    images = torch.randn(2, conv.in_channels, *size, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(images, conv.weight, conv.bias, conv.stride, padding_px)
    made = _differentiable_twice(conv, images, padding_px)
    inputs = (images, conv.weight, conv.bias)
    for got, wanted in zip(derivatives(made, *inputs), derivatives(expected, *inputs), strict=True):
        torch.testing.assert_close(got, wanted)


@torch.enable_grad()
def test_it_convolves_in_the_precision_of_autocast() -> None:
    conv, images = StridedConv(2, 4, 3), torch.randn(1, 2, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        made, expected = _differentiable_twice(conv, images), F.conv2d(images, conv.weight, conv.bias, 2)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made, expected)
    gradients = (torch.autograd.grad(each.float().sum(), conv.weight)[0] for each in (made, expected))
    torch.testing.assert_close(*gradients)
