"""What makes CUDA graphs is replaced here: how a training begins with them, and goes on where they fail."""

from unittest import mock

import pytest
import torch

from napari_noise2atom.networks import CompactGenerator, Generator, mixed_precision
from napari_noise2atom.training.graphs import graph_passes, graph_work

MAKE = "torch.cuda.make_graphed_callables"
RECORD = "napari_noise2atom.training.graphs._record"
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


SAMPLES = torch.linspace(-1, 1, 10), torch.linspace(0, 3, 10)


class Work:
    """Depends on everything that the critic's loss depends on."""

    def __init__(self) -> None:
        self.weight = torch.tensor([2.0, -1.0])

    def __call__(self, clean: torch.Tensor, made: torch.Tensor, noise: torch.Generator) -> list[torch.Tensor]:
        pixels = self.weight[0] * clean + self.weight[1] * made + 5 * torch.rand(10, generator=noise)
        return [pixels, clean.mean()[None]]


def record(work, noise):
    """Do what a graph does, but on a CPU: leave new results where the first ones were."""
    results = work()

    def replay() -> None:
        for place, result in zip(results, work(), strict=True):
            place.copy_(result)

    return results, replay


def test_a_graph_is_given_images_and_random_numbers_anew_and_goes_on_with_both() -> None:
    work = Work()
    with mock.patch(RECORD, record):
        graphed = graph_work(work, *SAMPLES)
    assert graphed is not work
    here, there = (torch.Generator().manual_seed(7) for _ in range(2))
    for scale in (1.0, -3.0):
        images = [scale * sample for sample in SAMPLES]
        work.weight.mul_(scale)  # in place, as optimisers do
        torch.testing.assert_close(graphed(*images, here), work(*images, there))
        assert torch.equal(here.get_state(), there.get_state())


def record_fails(work, noise):
    raise RuntimeError("operation not permitted when stream is capturing")


def record_once(work, noise):
    """Leave out that images and random numbers change."""
    return work(), lambda: None


@pytest.mark.parametrize(("record", "why"), [(record_fails, "not permitted"), (record_once, r"differs by .* variance")])
def test_work_that_cannot_be_recorded_is_done_as_before(record, why: str) -> None:
    work = Work()
    with mock.patch(RECORD, record), pytest.warns(RuntimeWarning, match=why):
        assert graph_work(work, *SAMPLES) is work
