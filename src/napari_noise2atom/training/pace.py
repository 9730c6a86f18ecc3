"""How far a run is, how fast, and how long it still takes."""

import time
from collections import defaultdict

from napari_noise2atom.events import Stage
from napari_noise2atom.settings import Settings

from .runfolder import Progress

__all__ = ["Pace"]

CYCLE_COST = 8.0
"""Of a step, relative to one of the warm start; only for the first guess of the time left."""


class Pace:
    """Measures the time of a run, and compares it with what the settings allow.

    Parameters
    ----------
    settings : Settings
        The run's.
    progress : Progress
        Where the run is; its seconds are counted here.
    cycle_steps : int
        Steps of the cycle, the last stage.
    """

    def __init__(self, settings: Settings, progress: Progress, cycle_steps: int) -> None:
        self.settings, self.progress, self.cycle_steps = settings, progress, cycle_steps
        self._steps: defaultdict[Stage, int] = defaultdict(int)
        self._seconds: defaultdict[Stage, float] = defaultdict(float)
        self._clock = time.monotonic()

    def start(self) -> None:
        """Begin to count."""
        self._clock = time.monotonic()

    def count(self) -> float:
        """Add the time since the last call to the run's, the listener's between two events included."""
        now = time.monotonic()
        passed, self._clock = now - self._clock, now
        self.progress.seconds += passed
        return passed

    def count_step(self) -> None:
        """Count a step of the present stage; it took the time since the last call."""
        self.progress.step += 1
        self._steps[self.stage] += 1
        self._seconds[self.stage] += self.count()

    @property
    def stage(self) -> Stage:
        """What is being done."""
        return "warm start" if self.progress.warm_steps is None else "cycle"

    @property
    def total_steps(self) -> int:
        """Steps of both stages, as far as is known."""
        warm = self.progress.warm_steps
        return (self.settings.warm_start.steps if warm is None else warm) + self.cycle_steps

    @property
    def _budget(self) -> float:
        return 60 * self.settings.run.max_minutes

    @property
    def time_is_up(self) -> bool:
        """Whether the run has used its minutes."""
        return 0 < self._budget <= self.progress.seconds

    @property
    def warm_progress(self) -> float:
        """Share of the warm start that is over, by steps or by time, in [0, 1]."""
        warm = self.settings.warm_start
        by_time = self.progress.seconds / max(self._budget * warm.share, 1e-9) if self._budget else 0.0
        return min(1.0, max(by_time, self.progress.step / max(1, warm.steps)))

    @property
    def warm_is_over(self) -> bool:
        """Whether the cycle is next."""
        return self.settings.warm_start.steps == 0 or self.warm_progress >= 1

    @property
    def seconds_left(self) -> float:
        """Estimate the seconds to the end."""
        warm = self._rate("warm start") or self._rate("cycle") / CYCLE_COST
        cycle = self._rate("cycle") or CYCLE_COST * warm
        seconds, steps = self.progress.seconds, self.progress.step
        if self.stage == "warm start":
            left = warm * (self.settings.warm_start.steps - steps)
            if self._budget:
                left = min(left, self._budget * self.settings.warm_start.share - seconds)
            left += cycle * self.cycle_steps
        else:
            left = cycle * (self.total_steps - steps)
        return max(0.0, min(left, self._budget - seconds) if self._budget else left)

    def _rate(self, stage: Stage) -> float:
        return self._seconds[stage] / self._steps[stage] if self._steps[stage] else 0.0
