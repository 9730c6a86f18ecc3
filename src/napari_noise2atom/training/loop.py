"""Training as one stream of events, without a window."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch

from napari_noise2atom.events import (
    Alarm,
    Checkpointed,
    Command,
    Finished,
    Paused,
    Score,
    Stage,
    Started,
    Step,
    TrainEvent,
)
from napari_noise2atom.modelfile import TrainedModel
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import limited_threads
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import Settings

from .best import Best
from .guards import find_failure, find_gradient
from .leader import LeadingLearner, leading
from .learner import NonFiniteLossError
from .pace import Pace
from .parts import Team
from .patches import Patches
from .previews import MOST_FRAMES, Previews
from .probe import Probe
from .processes import joined
from .runfolder import Progress, RunFolder
from .sampling import probe_frames, sample_patches

__all__ = ["train"]

STEP_EVENTS_PER_S = 10
FIRST_PREVIEW_S = 1.0
"""Until the first preview; the others follow at twice the time each, up to the interval that is set."""
MOST_REPAIRS = 5
YOUNG_STEPS: dict[Stage, int] = {"warm start": 250, "cycle": 50}
"""Of a run; before, a network may be blank or inverted because it has only just begun."""
MOST_NON_FINITE = 10

Stream = Generator[TrainEvent, Command | None, None]
Logged = TypeVar("Logged", Step, Score)


def train(
    movie: Movie,
    settings: Settings,
    *,
    run: Path | None = None,
    resume: bool = False,
    shown: Callable[[], Sequence[int]] | None = None,
) -> Generator[TrainEvent, Command | None, TrainedModel]:
    """Train on a movie: a warm start on simulated pairs, then the paper's cycle on the movie itself.

    Parameters
    ----------
    movie : Movie
        Noisy movie. Bad frames are left out.
    settings : Settings
        Taken as they are; ``propose`` fills in what the movie tells.
    run : Path, optional
        Folder for settings, checkpoints, history, previews and the best model. Without it nothing is written.
    resume : bool
        Go on from the folder's last checkpoint.
    shown : callable, optional
        Is asked for the frames of each preview, at most three; without it they are some of those that are scored.

    Yields
    ------
    TrainEvent
        First `Started`, last `Finished`. `Command.STOP`, sent at any time, ends the training within one step,
        `Command.PAUSE` interrupts it.

    Returns
    -------
    TrainedModel
        The best by score.

    Raises
    ------
    ValueError
        If the movie cannot be trained on, the device is not there, the folder cannot be used, or a resumed run has
        no minutes left.

    Notes
    -----
    Of several processes that torchrun has started, the first calls this function, the others `assist`.
    """
    if resume and run is None:
        raise ValueError("got resume without a run folder; say which run to resume")
    folder = None if run is None else RunFolder(run)
    if folder is not None and folder.has_checkpoint and not resume:
        raise ValueError(f"{run} holds a run already; resume it, or choose another folder")
    with joined() as processes, leading(processes, settings):
        team = Team(processes.device(settings.run.device), settings.run.threads, processes)
        with limited_threads(team.threads_per_part):
            session = _Session(movie, settings, folder, shown, team)
            if resume:
                session.restore()
            try:
                yield from session.stream()
            finally:
                # closed or failed half-way: the run can be resumed from here
                session.save()
            return session.model()


class _Session:
    """One call of `train`."""

    def __init__(
        self,
        movie: Movie,
        settings: Settings,
        folder: RunFolder | None,
        shown: Callable[[], Sequence[int]] | None,
        team: Team,
    ) -> None:
        self.movie, self.settings, self.folder = movie, settings, folder
        self.team, self.device = team, team.device
        self.normalisation = measure_normalisation(movie)
        self.patches, self.bad = sample_patches(movie, settings, self.normalisation)
        network = settings.network
        probed = probe_frames(movie, settings.run.probe_frames, self.patches.indices)
        windows = Patches.of(movie, probed, network, self.normalisation)
        self.probe = Probe(windows, self.device, settings.detector.blur_px)
        self.previews = Previews(movie, self.probe, self.normalisation, network, shown)
        self.learner = self._fresh_learner(0)
        self.progress = Progress([*movie.shape, self.normalisation.low, self.normalisation.high])
        self.best = Best(self.progress)
        self.stopped = False
        self.told: set[str] = set()
        self.pace = self._fresh_pace()

    def _fresh_learner(self, attempt: int) -> LeadingLearner:
        return LeadingLearner(self.settings, self.patches, self.normalisation, self.team, attempt)

    def _fresh_pace(self) -> Pace:
        training = self.settings.training
        batch_size = training.batch_size * self.team.processes.count
        per_epoch = -(-min(training.sampled_frames, len(self.patches.indices)) // batch_size)
        return Pace(self.settings, self.progress, training.epochs * per_epoch)

    def restore(self) -> None:
        """Go on where the folder's checkpoint is."""
        assert self.folder is not None
        here = self.progress.movie
        state, best, self.progress = self.folder.load()
        if not np.allclose(self.progress.movie, here, rtol=1e-6, atol=0):
            raise ValueError(
                f"{self.folder.path} was trained on another movie than {self.movie.name}; resume it with that one, or "
                "start a new run"
            )
        self.pace = self._fresh_pace()
        if self.pace.time_is_up:
            raise ValueError(
                f"{self.folder.path} has trained for {self.progress.seconds:.0f} s already, and max_minutes counts the "
                f"whole run: got {self.settings.run.max_minutes:g}; give at least "
                f"{(self.progress.seconds // 6 + 1) / 10:g}, or 0 for no limit"
            )
        self.learner.attempt = self.progress.attempt
        try:
            self.learner.restore(state)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{self.folder.path} was trained with another network; resume it with its own settings"
            ) from error
        self.best = Best(self.progress, best or None)
        if not self.progress.best_failed:
            self.best.keep_state(self.learner)

    def stream(self) -> Stream:
        """Yield all events of the training."""
        first = self.progress.step
        if self.folder is not None:
            self.folder.begin(self.settings, str(self.device), self.team.processes.count)
        self.pace.start()
        yield from self._emit(Started(self.settings, str(self.device), self.pace.total_steps, first))
        if self.bad:
            yield from self._alarm("bad frames", f"left out: {_list(self.bad)} hold NaN, inf or a single grey value")
        yield from self._steps()
        if self.best.weights is None or self.progress.best_step != self.progress.step:
            yield from self._score()
        self.save()
        if self.folder is not None:
            yield from self._emit(Checkpointed(self.progress.step, self.folder.path))
        reason: Literal["done", "stopped", "time is up"]
        reason = "stopped" if self.stopped else "time is up" if self.pace.time_is_up else "done"
        progress = self.progress
        yield Finished(reason, progress.step, progress.seconds, progress.best_step, dict(progress.best_scores))

    def _steps(self) -> Stream:
        """Do all steps, with scores and checkpoints in between."""
        run = self.settings.run
        told = shown = kept = self.progress.seconds
        failures = 0
        while not self.stopped and not self.pace.time_is_up:
            if self.progress.warm_steps is None and self.pace.warm_is_over:
                yield from self._end_warm_start()
                continue
            if self.progress.step >= self.pace.total_steps:
                break
            try:
                losses = self._step()
                failures = 0
            except NonFiniteLossError as error:
                failures += 1
                yield from self._non_finite(str(error), failures)
                if failures >= MOST_NON_FINITE:
                    break
                continue
            now = self.progress.seconds
            if now - told >= 1 / STEP_EVENTS_PER_S:
                told = now
                pace = self.pace
                event = Step(pace.stage, self.progress.step, pace.total_steps, losses, now, pace.seconds_left)
                yield from self._emit(self._log(event))
            if now - shown >= min(run.preview_every_s, max(FIRST_PREVIEW_S, shown)):
                yield from self._score()
                shown = self.progress.seconds
            if self.folder is not None and now - kept >= run.checkpoint_every_s:
                self.save()
                kept = self.progress.seconds
                yield from self._emit(Checkpointed(self.progress.step, self.folder.path))

    def _step(self) -> dict[str, float]:
        """Do one step of the present stage."""
        progress = self.progress
        if progress.warm_steps is None:
            losses = self.learner.warm_step(progress.step, self.pace.warm_progress)
        else:
            losses = self.learner.cycle_step(progress.step - progress.warm_steps)
        self.pace.count_step()
        return losses

    def _end_warm_start(self) -> Stream:
        """Score what the warm start has reached: the cycle's first candidate."""
        if self.progress.step:
            yield from self._score()
        self.progress.warm_steps = self.progress.step

    def _score(self) -> Stream:
        """Score the averaged weights; keep them if they are the best, raise alarms if they are bad."""
        scores = self.probe.score(self.learner.average)
        failure = find_failure(scores)
        best = self.best.offer(self.learner, scores, self.pace.stage, failed=failure is not None)
        self.pace.count()
        yield from self._emit(self._log(Score(self.progress.step, scores.values, best)))
        if self.folder is not None:
            self.folder.show(scores.denoised[:MOST_FRAMES])
        yield from self._emit(self.previews(self.progress.step, self.learner.average, scores.denoised))
        if failure is not None and self._is_mature:
            yield from self._react(failure.kind, failure.message)
        elif self._is_mature and "gradient" not in self.told and (gradient := find_gradient(scores.denoised)):
            yield from self._alarm(gradient.kind, gradient.message)

    @property
    def _is_mature(self) -> bool:
        """Whether a blank or inverted result is a failure."""
        return self.progress.step >= YOUNG_STEPS[self.pace.stage]

    def _react(self, kind: str, message: str) -> Stream:
        """Repair a useless mapping: go back to the best state, or to the start, with other random numbers."""
        if not self.settings.training.guards:
            yield from self._alarm(kind, f"{message}; switch on the guards, or train again with another seed")
        elif self.progress.repairs >= MOST_REPAIRS:
            yield from self._alarm(kind, f"{message}; {MOST_REPAIRS} repairs did not help, the best model is kept")
        else:
            yield from self._go_back(kind, message)

    def _go_back(self, kind: str, message: str) -> Stream:
        self.progress.repairs += 1
        self.repair()
        back = "the last good state" if self.best.state else "a fresh start"
        yield from self._alarm(kind, f"{message}; repaired: training goes on from {back}")

    def repair(self) -> None:
        """Go back to the last good state, or begin afresh; random numbers are new in both cases."""
        self.progress.attempt += 1
        self.learner = self._fresh_learner(self.progress.attempt)
        if self.best.state is not None:
            self.learner.restore(self.best.state)

    def _non_finite(self, message: str, failures: int) -> Stream:
        """Leave out a step whose loss is not finite; if one follows the other, go back."""
        self.pace.count_step()
        if failures == MOST_NON_FINITE // 2:
            yield from self._go_back("non-finite", f"{message}, {failures} times in a row")
        elif failures in (1, MOST_NON_FINITE):
            yield from self._alarm(
                "non-finite", f"{message}; the step was left out. Check the movie for extreme values"
            )

    def _alarm(self, kind: str, message: str) -> Stream:
        self.told.add(kind)
        yield from self._emit(Alarm(self.progress.step, kind, message))  # type: ignore[arg-type]

    def _emit(self, event: TrainEvent) -> Stream:
        command = yield event
        if command is Command.PAUSE:
            self.save()
            command = yield Paused(self.progress.step)
            self.pace.start()
        self.stopped |= command is Command.STOP

    def _log(self, event: Logged) -> Logged:
        if self.folder is not None:
            self.folder.log(event, self.pace.stage, self.progress.seconds)
        return event

    def save(self) -> None:
        """Write a checkpoint, if there is a folder and anything to be kept."""
        if self.folder is not None and self.progress.step:
            best = self.model() if self.best.weights is not None else None
            self.folder.save(self.learner.state(), best, self.progress)

    def model(self) -> TrainedModel:
        """Return the best model."""
        assert self.best.weights is not None
        scores = {f"score {name}": value for name, value in self.progress.best_scores.items()}
        provenance: dict[str, str | float | int] = {
            "movie": self.movie.name,
            "movie shape": "×".join(map(str, self.movie.shape)),
            "preset": self.settings.preset,
            "best step": self.progress.best_step,
            "steps": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "processes": self.team.processes.count,
            "torch": torch.__version__,
            **scores,
        }
        return TrainedModel(self.settings, self.best.weights, self.normalisation, self.movie.pixel_size_nm, provenance)


def _list(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"frames {shown}" + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")
