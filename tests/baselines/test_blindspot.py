"""Masked training: what is judged is never seen."""

import numpy as np
import pytest
import torch

from napari_noise2atom.baselines import blindspot
from napari_noise2atom.baselines.blindspot import Batch, BlindSpots, masked_loss
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import CompactGenerator
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.training.patches import hidden_places, hide


@pytest.fixture
def spots(bright_movie):
    return BlindSpots(bright_movie, 5, measure_normalisation(bright_movie), torch.device("cpu"), seed=1)


def test_a_prediction_does_not_depend_on_the_pixel_that_judges_it_nor_on_its_neighbours_along_x():
    torch.manual_seed(0)
    network = CompactGenerator(5)
    windows = torch.randn(1, 5, 32, 32, requires_grad=True)
    judged, hidden = hidden_places((32, 32), 1, 2, blindspot.REACH_PX, spacing=blindspot.SPACING)
    network(hide(windows, hidden))[0, 0][judged].sum().backward()
    gradient = windows.grad[0]
    for shift in range(-blindspot.REACH_PX, blindspot.REACH_PX + 1):
        rows, columns = torch.nonzero(judged, as_tuple=True)
        inside = (columns + shift >= 0) & (columns + shift < 32)
        assert not gradient[2, rows[inside], columns[inside] + shift].any()
    assert gradient[2][~hidden].any()
    assert gradient[1][judged].any(), "the frame before is seen whole"


def test_a_batch_hides_what_it_judges(spots):
    batch = spots.batch(0)
    assert batch.blind.shape == (8, 5, 64, 64)
    assert batch.target.shape == (8, 1, 64, 64)
    differs = (batch.blind[:, 2:3] != batch.target).any(dim=0)[0]
    assert differs[batch.judged].all()
    assert differs.float().mean() < 0.4


def test_batches_depend_on_their_number_and_the_seed_alone(spots):
    one, again, other = spots.batch(5), spots.batch(5), spots.batch(6)
    assert torch.equal(one.blind, again.blind)
    assert not torch.equal(one.blind, other.blind)


def test_every_pixel_is_judged_some_time(spots):
    often = torch.stack([spots.batch(step).judged for step in range(150)]).any(dim=0)
    assert often[1:-1].all()
    assert not often[[0, -1]].any(), "its neighbours above and below are needed"


def test_the_loss_is_the_mean_square_at_judged_pixels():
    class Zero(torch.nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 1, *images.shape[-2:])

    judged = torch.tensor([[True, False], [False, True]])
    target = torch.tensor([[[[1.0, 9.0], [9.0, 3.0]]]])
    loss = masked_loss(Zero(), Batch(torch.zeros(1, 1, 2, 2), target, judged))
    assert float(loss) == pytest.approx((1 + 9) / 2)


def test_small_frames_are_taken_whole():
    movie = Movie(np.random.default_rng(0).normal(size=(4, 24, 40)).astype(np.float32))
    batch = BlindSpots(movie, 1, measure_normalisation(movie), torch.device("cpu"), 0).batch(0)
    assert batch.blind.shape == (8, 1, 24, 24)
