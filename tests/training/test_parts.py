from unittest import mock

import pytest
import torch
from small_runs import FAST, changed, collect, same_weights
from torch import Tensor

from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import mixed_precision
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import NetworkSettings, Settings
from napari_noise2atom.training import train
from napari_noise2atom.training.learner import Learner, Losses
from napari_noise2atom.training.parts import Part, Team
from napari_noise2atom.training.patches import Patches

CPU = torch.device("cpu")


@pytest.mark.parametrize("images", [1, 2, 5, 6])
def test_parts_make_up_the_batch(images: int) -> None:
    parts = Team(CPU, 1).split(images, 0, 1)
    assert [row for part in parts for row in range(images)[part.rows]] == list(range(images))
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert len(parts) == min(2, images)


def test_each_part_has_random_numbers_of_its_own() -> None:
    def draw(part: Part) -> float:
        return part.rng.random() + torch.rand((), generator=part.noise).item()

    team = Team(CPU, 2)
    first, again = (team.map(draw, team.split(4, 0, 1)) for _ in range(2))
    other = team.map(draw, team.split(4, 0, 2))
    assert first == again
    assert len({*first, *other}) == 4


def test_results_do_not_depend_on_the_threads(movie: Movie, proposed: Settings) -> None:
    fast = changed(proposed, FAST)
    one, two = (collect(train(movie, changed(fast, {"run": {"threads": n}})))[1] for n in (1, 2))
    assert same_weights(one, two)


@pytest.fixture
def learner(movie: Movie, proposed: Settings) -> Learner:
    settings = changed(proposed, FAST, {"run": {"mixed_precision": False}})
    normalisation = measure_normalisation(movie)
    return Learner(
        settings, Patches.of(movie, (2, 3), NetworkSettings(frames_in=3), normalisation), normalisation, Team(CPU, 2)
    )


def test_the_parts_gradients_add_up_to_that_of_the_batch(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(5, 3, 16, 16)
    weights = list(learner.s2c.parameters())
    loss = learner.s2c(images).square().mean()
    expected = torch.autograd.grad(loss, weights)

    def losses_of(part: Part) -> Losses:
        of_part = learner.s2c(images[part.rows]).square().mean()
        return of_part, {"square": of_part}

    steps: list[list[Tensor | None]] = []
    monkeypatch.setattr(learner.optimisers["warm"], "step", steps.append)
    means = learner._descend("warm", losses_of, learner.team.split(5, 0))
    assert means["square"] == pytest.approx(loss.item(), rel=1e-5)
    (gradients,) = steps
    of_s2c, of_c2s = gradients[: len(weights)], gradients[len(weights) :]
    for made, gradient in zip(of_s2c, expected, strict=True):
        torch.testing.assert_close(made, gradient, rtol=1e-3, atol=1e-6)
    assert of_c2s == [None] * len(list(learner.c2s.parameters()))


@pytest.mark.skipif(not mixed_precision(CPU)._enabled, reason="this processor has no bfloat16")
@pytest.mark.parametrize(
    ("architecture", "tolerance", "cosine"),
    # Before it has learned anything, the paper's network amplifies rounding by its instance norms.
    [("compact", 0.03, 0.97), ("paper", 0.4, 0.3)],
)
def test_bfloat16_points_where_float32_does(
    movie: Movie, proposed: Settings, architecture: str, tolerance: float, cosine: float
) -> None:
    normalisation = measure_normalisation(movie)

    def step(mixed: bool) -> tuple[dict[str, float], torch.Tensor]:
        changes = {"network": {"architecture": architecture}, "run": {"mixed_precision": mixed}}
        settings = changed(proposed, FAST, changes)
        patches = Patches.of(movie, (2, 3), settings.network, normalisation)
        learner = Learner(settings, patches, normalisation, Team(CPU, 1))
        optimiser = learner.optimisers["critic"]
        with mock.patch.object(optimiser, "step", wraps=optimiser.step) as spy:
            losses = learner.cycle_step(0)
        return losses, torch.cat([gradient.flatten() for gradient in spy.call_args.args[0]])

    (exact, expected), (rounded, gradient) = step(False), step(True)
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=tolerance, abs=tolerance)
    assert torch.cosine_similarity(gradient, expected, dim=0) > cosine
