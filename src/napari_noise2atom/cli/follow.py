"""Following a training: the events become a progress line, alarms and, for programs, JSON lines."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from napari_noise2atom.events import Alarm, Command, Finished, Score, Started, Step, TrainEvent

from .console import jsonable, number, print_json
from .progress import ProgressLine, clock

if TYPE_CHECKING:
    from napari_noise2atom.modelfile import TrainedModel

__all__ = ["TrainingView", "follow", "interrupt", "print_event"]

_STOPPING = b"\nStopping after this step, the best model is kept; Ctrl-C once more aborts.\n"


def follow(
    events: "Generator[TrainEvent, Command | None, TrainedModel]", show: Callable[[TrainEvent], None]
) -> Finished:
    """Run a training to its end, showing every event; Ctrl-C stops it, a second one aborts it.

    Parameters
    ----------
    events : generator
        From `napari_noise2atom.training.train`.
    show : callable
        Is given every event.

    Returns
    -------
    Finished
        The last event; the model is in the run folder.
    """
    event: TrainEvent | None = None
    with closing(events), interrupt(_STOPPING) as asked, suppress(StopIteration):
        while True:
            event = events.send(Command.STOP if asked.is_set() else None)
            show(event)
    if not isinstance(event, Finished):
        raise RuntimeError(f"training ended with {event!r}; expected Finished")
    return event


@contextmanager
def interrupt(answer: bytes) -> Iterator[Event]:
    """Note the first Ctrl-C, and answer it, instead of raising KeyboardInterrupt."""
    asked = Event()

    def note(number: int, frame: FrameType | None) -> None:
        if not asked.is_set():
            asked.set()
            # Not printed: the signal may have come in the middle of a print.
            os.write(2, answer)
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def print_event(event: object) -> None:
    """Print an event as a line of JSON, without arrays."""
    print_json({"event": type(event).__name__.lower()} | jsonable(event))


class TrainingView:
    """Shows events to people.

    Parameters
    ----------
    line : ProgressLine
        Where to.
    """

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._limited = False
        """By minutes, which may end the run long before its last step."""
        self._kept = ""

    def __call__(self, event: TrainEvent) -> None:
        """Show an event."""
        match event:
            case Started():
                minutes = event.settings.run.max_minutes
                self._limited = minutes > 0
                limit = f", at most {number(minutes, 'min')}" if minutes else ""
                resumed = f", resumed after step {event.first_step}" if event.first_step else ""
                self._line.say(f"Training on {event.device}: {event.total_steps} steps{limit}{resumed}.")
            case Step() if self._limited:
                self._line(int(100 * event.share), 100, f"step {event.step}  {self._text(event)}")
            case Step():
                self._line(event.step, event.total_steps, self._text(event))
            case Score(best=True):
                quality = event.values.get("quality", float("nan"))
                self._kept = f"{number(quality)} at step {event.step}  "
            case Alarm():
                self._line.say(f"Alarm at step {event.step}, {event.kind}: {event.message}", style="yellow")

    def _text(self, step: Step) -> str:
        losses = "  ".join(f"{name} {number(value)}" for name, value in step.losses.items())
        # of the warm start the newest model is kept, whatever its score
        kept = self._kept and f"{'newest' if step.stage == 'warm start' else 'best'} {self._kept}"
        return f"{step.stage}  {clock(step.seconds_left)} left  {kept}{losses}"
