"""The known failures: told, and repaired."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import FAST, changed, collect

from napari_noise2atom.events import Alarm, Score
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import NetworkSettings, Settings
from napari_noise2atom.training import loop, train
from napari_noise2atom.training.draws import Examples
from napari_noise2atom.training.guards import find_failure, find_gradient
from napari_noise2atom.training.learner import Learner
from napari_noise2atom.training.parts import Part, Team
from napari_noise2atom.training.patches import Patches
from napari_noise2atom.training.probe import Probe


class Simple(Generator):
    """The mean of the frames, scaled."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__(3, 0, 0, False)
        self.scale, self.offset = scale, offset

    def translate(self, images: torch.Tensor) -> torch.Tensor:
        return (self.scale * images.mean(dim=1, keepdim=True) + self.offset).clamp(-1, 1)


@pytest.fixture(scope="module")
def probe(movie: Movie) -> Probe:
    return Probe(
        Patches.of(movie, (2, 3, 6, 7), NetworkSettings(frames_in=3), measure_normalisation(movie)), torch.device("cpu")
    )


def test_an_upright_mapping_is_no_failure(probe: Probe) -> None:
    scores = probe.score(Simple(0.5))
    assert scores.values["quality"] > 0
    assert scores.values["low-pass correlation"] > 0.5
    assert find_failure(scores) is None


def test_an_inverted_mapping_is_told(probe: Probe) -> None:
    scores = probe.score(Simple(-0.5))
    failure = find_failure(scores)
    assert failure is not None
    assert failure.kind == "inverted"
    assert scores.values["quality"] == pytest.approx(-probe.score(Simple(0.5)).values["quality"], abs=1e-4)


def test_a_collapse_is_told_although_its_css_is_perfect(probe: Probe) -> None:
    scores = probe.score(Simple(0.0, -0.9))
    assert scores.values["css"] == pytest.approx(1)
    failure = find_failure(scores)
    assert failure is not None
    assert failure.kind == "collapse"


def test_quality_prefers_the_sharper_of_two_true_images(movie: Movie, probe: Probe) -> None:
    class Smeared(Simple):
        def translate(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(super().translate(images), 15, 1, 7)

    assert probe.score(Smeared(0.5)).values["css"] > probe.score(Simple(0.5)).values["css"]
    assert probe.score(Smeared(0.5)).values["quality"] < probe.score(Simple(0.5)).values["quality"]


def test_a_background_gradient_is_told() -> None:
    rng = np.random.default_rng(0)
    frames = 0.02 * rng.random((6, 64, 64), np.float32)
    for frame in frames:
        frame[rng.integers(0, 64, 20), rng.integers(0, 64, 20)] += 0.5
    assert find_gradient(frames) is None
    wedge = np.linspace(0, 0.3, 64, dtype=np.float32)
    finding = find_gradient(frames + wedge)
    assert finding is not None
    assert finding.kind == "gradient"


@pytest.fixture(scope="module")
def upright(proposed: Settings) -> Settings:
    """A warm start that is just long enough to be upright, and ten steps of the cycle."""
    longer = {"warm_start": {"steps": 60, "batch_size": 4}, "training": {"epochs": 3}}
    return changed(proposed, FAST, longer, {"run": {"preview_every_s": 0.2}})


def sabotaged(monkeypatch: pytest.MonkeyPatch, spoil: Any, at: int = 1) -> None:
    """Let something happen to the networks at a step of the cycle, once."""
    intact = Learner.cycle_step

    def cycle_step(self: Learner, step: int) -> dict[str, float]:
        losses = intact(self, step)
        if step == at and self.attempt == 0:
            with torch.no_grad():
                for network in (self.s2c, self.average):
                    spoil(network.head[-1])
        return losses

    monkeypatch.setattr(Learner, "cycle_step", cycle_step)


def invert(layer: torch.nn.Conv2d) -> None:
    layer.weight *= -1
    assert layer.bias is not None
    layer.bias *= -1


def blank(layer: torch.nn.Conv2d) -> None:
    layer.weight *= 0


@pytest.mark.parametrize(("spoil", "kind"), [(invert, "inverted"), (blank, "collapse")])
def test_a_failure_is_repaired(
    monkeypatch: pytest.MonkeyPatch, movie: Movie, upright: Settings, spoil: Any, kind: str
) -> None:
    sabotaged(monkeypatch, spoil)
    events, model = collect(train(movie, changed(upright, {"run": {"preview_every_s": 1e-3}})))
    alarms = [event for event in events if isinstance(event, Alarm)]
    assert [alarm.kind for alarm in alarms][:1] == [kind]
    assert "repaired" in alarms[0].message
    scores = [event for event in events if isinstance(event, Score)]
    assert scores[-1].step > alarms[0].step
    assert scores[-1].values["low-pass correlation"] > 0.5
    assert model.provenance["score low-pass correlation"] > 0.5  # type: ignore[operator]


def test_a_network_that_dies_in_the_warm_start_is_repaired(
    monkeypatch: pytest.MonkeyPatch, movie: Movie, upright: Settings
) -> None:
    intact = Learner.warm_step

    def warm_step(self: Learner, step: int, progress: float) -> dict[str, float]:
        losses = intact(self, step, progress)
        if step == 20 and self.attempt == 0:
            with torch.no_grad():
                for network in (self.s2c, self.average):
                    network.head[-1].bias.fill_(-20)  # tanh is saturated: nothing more is learned
        return losses

    monkeypatch.setattr(Learner, "warm_step", warm_step)
    monkeypatch.setitem(loop.YOUNG_STEPS, "warm start", 10)
    longer = {"warm_start": {"steps": 80}, "training": {"epochs": 0}, "run": {"preview_every_s": 1e-3}}
    events, model = collect(train(movie, changed(upright, longer)))
    alarm = next(event for event in events if isinstance(event, Alarm) and event.step > 20)
    assert alarm.kind == "collapse"
    assert "repaired" in alarm.message
    assert model.provenance["score low-pass correlation"] > 0.5  # type: ignore[operator]


def test_after_a_repair_the_warm_start_learns_more_slowly(movie: Movie, upright: Settings) -> None:
    normalisation = measure_normalisation(movie)
    patches = Patches.of(movie, (2, 3), NetworkSettings(frames_in=3), normalisation)
    rates = []
    for attempt in (0, 1, 2):
        learner = Learner(upright, patches, normalisation, Team(torch.device("cpu"), 1), attempt)
        learner.warm_step(100, 0.0)
        rates.append(learner.optimisers["warm"].rate)
    peak = upright.warm_start.learning_rate
    assert rates == pytest.approx([peak, peak / 2, peak / 4])


def test_without_guards_a_failure_is_only_told(
    monkeypatch: pytest.MonkeyPatch, movie: Movie, upright: Settings
) -> None:
    sabotaged(monkeypatch, invert)
    unguarded = changed(upright, {"training": {"guards": False}, "run": {"preview_every_s": 1e-3}})
    events, model = collect(train(movie, unguarded))
    alarms = [event for event in events if isinstance(event, Alarm)]
    assert {alarm.kind for alarm in alarms} == {"inverted"}
    assert "repaired" not in alarms[0].message
    # the best model was found before
    assert model.provenance["score low-pass correlation"] > 0.5  # type: ignore[operator]


def test_the_cycle_never_ends_worse_than_it_began(movie: Movie, upright: Settings) -> None:
    ruined = changed(upright, {"training": {"learning_rate": 1.0, "epochs": 4}})
    events, model = collect(train(movie, ruined))
    at_end_of_warm_start = next(e.values["quality"] for e in events if isinstance(e, Score) and e.step == 60)
    assert at_end_of_warm_start > 0
    assert model.provenance["score quality"] >= at_end_of_warm_start  # type: ignore[operator]


def test_a_loss_that_is_not_finite_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, movie: Movie, upright: Settings
) -> None:
    intact = Learner._pairs_losses

    def pairs_losses(self: Learner, examples: Examples, part: Part) -> dict[str, torch.Tensor]:
        losses = intact(self, examples, part)
        spoilt = self.attempt == 0 and part.rng.random() < 0.1
        return {name: loss * float("nan") for name, loss in losses.items()} if spoilt else losses

    monkeypatch.setattr(Learner, "_pairs_losses", pairs_losses)
    events, model = collect(train(movie, upright))
    alarms = [event for event in events if isinstance(event, Alarm) and event.kind == "non-finite"]
    assert alarms
    assert "the step was left out" in alarms[0].message
    assert not any("repaired" in alarm.message for alarm in alarms), "single steps are no reason to go back"
    assert all(bool(weight.isfinite().all()) for weight in model.weights.values())


@pytest.mark.parametrize("guards", [True, False])
def test_weights_that_are_not_finite_are_replaced_and_told(
    monkeypatch: pytest.MonkeyPatch, movie: Movie, upright: Settings, guards: bool
) -> None:
    intact = Learner.warm_step

    def warm_step(self: Learner, step: int, progress: float) -> dict[str, float]:
        if step == 20 and self.attempt == 0:
            with torch.no_grad():
                self.s2c.stem[0].weight.fill_(float("nan"))  # type: ignore[union-attr,operator,index]
        return intact(self, step, progress)

    monkeypatch.setattr(Learner, "warm_step", warm_step)
    events, model = collect(train(movie, changed(upright, {"training": {"guards": guards}})))
    messages = [event.message for event in events if isinstance(event, Alarm) and event.kind == "non-finite"]
    assert len(messages) == 2
    assert "5 times in a row; repaired" in messages[1]
    assert all(bool(weight.isfinite().all()) for weight in model.weights.values())


def test_after_a_resume_a_repair_goes_back_to_a_good_state(
    monkeypatch: pytest.MonkeyPatch, movie: Movie, upright: Settings, tmp_path: Path
) -> None:
    events, _ = collect(train(movie, upright, run=tmp_path))
    assert not any(isinstance(event, Alarm) for event in events)
    sabotaged(monkeypatch, invert, at=12)
    longer = changed(upright, {"training": {"epochs": 10}, "run": {"preview_every_s": 1e-3}})
    events, model = collect(train(movie, longer, run=tmp_path, resume=True))
    repairs = [event.message for event in events if isinstance(event, Alarm) and "repaired" in event.message]
    assert repairs
    assert all(message.endswith("from the last good state") for message in repairs)
    assert model.provenance["score low-pass correlation"] > 0.5  # type: ignore[operator]
