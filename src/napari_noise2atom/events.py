"""What training tells while it runs, and what one may tell it.

``train`` yields these events and accepts a `Command` through ``generator.send``. The first event is `Started`, the
last is `Finished`; errors are raised. Arrays are numpy arrays.
"""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .settings import Settings

__all__ = [
    "Alarm",
    "AlarmKind",
    "Checkpointed",
    "Command",
    "Finished",
    "Paused",
    "Preview",
    "Score",
    "Stage",
    "Started",
    "Step",
    "TrainEvent",
]

Stage = Literal["warm start", "cycle"]
AlarmKind = Literal["inverted", "gradient", "collapse", "non-finite", "bad frames"]


class Command(Enum):
    """What may be sent to a running training."""

    STOP = "stop"
    """End within one step and return the best model."""
    PAUSE = "pause"
    """Keep a checkpoint and yield `Paused`; whatever is sent then ends the pause, whose time does not count."""


@dataclass(frozen=True)
class Started:
    """The first event: what will be done."""

    settings: Settings
    device: str
    total_steps: int
    first_step: int = 0
    """Larger than 0 when a run is resumed."""


@dataclass(frozen=True)
class Step:
    """The newest losses; at most ten such events a second."""

    stage: Stage
    step: int
    """Steps done so far in the whole run, from 1."""
    total_steps: int
    losses: dict[str, float]
    seconds: float
    """Training time so far, earlier sessions of a resumed run included [s]."""
    seconds_left: float
    """Estimated time to the end [s]."""

    @property
    def share(self) -> float:
        """Estimated share of the run's time that is over, in [0, 1]; steps may be far more than the minutes allow."""
        return self.seconds / max(self.seconds + self.seconds_left, 1e-9)


@dataclass(frozen=True)
class Preview:
    """Chosen frames as they are and as the present model denoises them."""

    step: int
    frames: tuple[int, ...]
    """Indices in the movie."""
    raw: NDArray[np.float32]
    """Raw frames, shape (n, y, x), in the movie's own grey values."""
    denoised: NDArray[np.float32]
    """Denoised frames, shape (n, y, x), in [0, 1]."""
    origin_px: tuple[int, int] = (0, 0)
    """Row and column of the movie that are the first here: of large frames only the middle is shown."""


@dataclass(frozen=True)
class Score:
    """Scores of the present model on the probe frames."""

    step: int
    values: dict[str, float]
    """By name; ``quality`` decides which model is best."""
    best: bool
    """Whether this is the best model so far."""


@dataclass(frozen=True)
class Alarm:
    """Something the user should know."""

    step: int
    kind: AlarmKind
    message: str
    """What was seen, what was done, what the user can do."""


@dataclass(frozen=True)
class Checkpointed:
    """The run can be resumed from here."""

    step: int
    folder: Path


@dataclass(frozen=True)
class Paused:
    """Training waits; it goes on as soon as it is sent anything."""

    step: int


@dataclass(frozen=True)
class Finished:
    """The last event; the trained model is the generator's return value."""

    reason: Literal["done", "stopped", "time is up"]
    step: int
    seconds: float
    best_step: int
    scores: dict[str, float] = field(default_factory=dict)
    """Of the best model."""


TrainEvent = Started | Step | Preview | Score | Alarm | Checkpointed | Paused | Finished
