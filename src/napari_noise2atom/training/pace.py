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
    """

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings, self.progress = settings, progress
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

    def count_step(self, stage: Stage) -> None:
        """Count the time since the last call as that of one step."""
        self._steps[stage] += 1
        self._seconds[stage] += self.count()

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
        by_time = self.progress.seconds / (self._budget * warm.share) if self._budget * warm.share else 0.0
        return min(1.0, max(by_time, self.progress.step / max(1, warm.steps)))

    @property
    def warm_is_over(self) -> bool:
        """Whether the cycle is next."""
        return self.settings.warm_start.steps == 0 or self.warm_progress >= 1

    def left(self, total_steps: int) -> float:
        """Estimate the seconds to the end."""
        warm = self._rate("warm start") or self._rate("cycle") / CYCLE_COST
        cycle = self._rate("cycle") or CYCLE_COST * warm
        progress = self.progress
        if progress.warm_steps is None:
            first = self.settings.warm_start.steps
            ahead = warm * (first - progress.step)
            if self._budget:
                ahead = min(ahead, self._budget * self.settings.warm_start.share - progress.seconds)
            left = ahead + cycle * (total_steps - first)
        else:
            left = cycle * (total_steps - progress.step)
        return max(0.0, min(left, self._budget - progress.seconds) if self._budget else left)

    def _rate(self, stage: Stage) -> float:
        return self._seconds[stage] / self._steps[stage] if self._steps[stage] else 0.0
