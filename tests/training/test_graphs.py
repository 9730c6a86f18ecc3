"""What makes CUDA graphs is replaced here: how a training begins with them, and goes on where they fail."""

from unittest import mock

import pytest
import torch

from napari_noise2atom.networks import CompactGenerator, Generator, mixed_precision
from napari_noise2atom.training.graphs import graph_passes

MAKE = "torch.cuda.make_graphed_callables"
CPU = torch.device("cpu")


@pytest.fixture
def generator() -> Generator:
    return CompactGenerator(3, 8)


def test_what_is_captured_is_a_pass_there_and_back(generator: Generator) -> None:
    def make(module: Generator, samples: tuple[torch.Tensor]) -> None:
        assert samples[0].shape == (2, 3, 32, 32)
        assert samples[0].requires_grad
        assert not torch.is_autocast_cache_enabled(), "weights that were rounded before would be those for ever"
        plain = module.forward
        module.forward = lambda images: plain(images) + 1e-4

    with mock.patch(MAKE, make):
        graph_passes(generator, 2, 32, mixed_precision(CPU))
    assert "forward" in vars(generator)


def fails(module: Generator, samples: tuple[torch.Tensor]) -> None:
    raise RuntimeError("operation not permitted when stream is capturing")


def goes_wrong(module: Generator, samples: tuple[torch.Tensor]) -> None:
    module.forward = lambda images: torch.zeros_like(images[:, :1])


@pytest.mark.parametrize(("make", "why"), [(fails, "not permitted"), (goes_wrong, r"differs by .* of its variance")])
def test_without_graphs_nothing_is_lost(generator: Generator, make, why: str) -> None:
    images = torch.randn(1, 3, 32, 32)
    expected = generator(images)
    with mock.patch(MAKE, make), pytest.warns(RuntimeWarning, match=why):
        graph_passes(generator, 2, 32, mixed_precision(CPU))
    torch.testing.assert_close(generator(images), expected)
