"""Work in threads: streams of events that can be paused and stopped, and short jobs whose newest result counts.

Threads touch no object of Qt, not even to emit a signal: a closed dock deletes them, and what is emitted by one that
is gone ends the process. They leave notes, which are read by a timer in the window's thread.

napari's workers are not used: they swallow a RuntimeError, which is what torch raises, and leave a training suspended
without its end when the window is closed.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from enum import Enum
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_noise2atom.events import Command, Paused

from .threads import Outcome, outcome_of, start_thread

__all__ = ["READ_MS", "BackgroundJob", "CancelledError", "State", "StreamJob", "Wanted"]

Events = Generator[Any, Command | None, Any]
"""What a training and a comparison are: they tell how far they are, are sent wishes, and return their result."""
READ_MS = 20
"""How often what threads tell is looked at."""


class State(Enum):
    """Of a stream; it decides every button."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"


class _Wishes:
    """What the user wants of a running stream; read in its thread."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def end(self) -> None:
        """Wish the end, paused or not."""
        self.stop.set()
        self.go.set()

    def command(self) -> Command | None:
        if self.stop.is_set():
            return Command.STOP
        return None if self.go.is_set() else Command.PAUSE


def _follow(start: Callable[[], Events], wishes: _Wishes, tell: Callable[[Any], None]) -> Any:
    """Tell a stream's events, and pass the user's wishes on; return its result."""
    with closing(start()) as events:
        command = None
        while True:
            try:
                event = events.send(command)
            except StopIteration as end:
                return end.value
            tell(event)
            if isinstance(event, Paused):
                wishes.go.wait()
            command = wishes.command()


class StreamJob(QObject):
    """One training or comparison at a time in a thread, as a state machine.

    Whatever happens, it ends in `State.IDLE` with exactly one of `finished` and `failed`.
    """

    state_changed = Signal(object)
    told = Signal(object)
    """Every event, in the window's thread; the core sends at most about ten a second."""
    finished = Signal(object)
    """The result: of a training the model."""
    failed = Signal(str)
    """One sentence."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state = State.IDLE
        self._runs = [_Wishes()]
        self._notes: deque[Any] = deque()
        self._over = threading.Event()
        self._over.set()
        self._timer = QTimer(self)
        self._timer.setInterval(READ_MS)
        self._timer.timeout.connect(self._read)

    @property
    def state(self) -> State:
        """What the stream does."""
        return self._state

    @property
    def _wishes(self) -> _Wishes:
        return self._runs[-1]

    def start(self, events: Callable[[], Events]) -> None:
        """Start a stream.

        Parameters
        ----------
        events : callable
            Makes the stream of events; is called in the thread.

        Raises
        ------
        RuntimeError
            If one is running already.
        """
        if self._state is not State.IDLE:
            raise RuntimeError(f"the job is {self._state.value}; stop it before another is started")
        wishes, notes = _Wishes(), deque[Any]()
        self._runs[:], self._notes = [wishes], notes

        def run() -> None:
            notes.append(outcome_of(lambda: _follow(events, wishes, notes.append)))

        self._enter(State.RUNNING)
        self._timer.start()
        self._over = start_thread(run, wishes.end)

    def pause(self) -> None:
        """Interrupt a training within a step; a checkpoint is kept."""
        if self._state is State.RUNNING:
            self._wishes.go.clear()
            self._enter(State.PAUSED)

    def resume(self) -> None:
        """End a pause."""
        if self._state is State.PAUSED:
            self._enter(State.RUNNING)
            self._wishes.go.set()

    def stop(self) -> None:
        """End within a step, with what there is so far."""
        if self._state in (State.RUNNING, State.PAUSED):
            self._enter(State.STOPPING)
        self._wishes.end()

    def ender(self) -> Callable[[], None]:
        """Return a function that ends what runs by then; it may be called when this object is gone."""
        runs = self._runs
        return lambda: runs[-1].end()

    def wait(self, seconds: float) -> bool:
        """Wait until the thread is done; tells whether it is."""
        return self._over.wait(seconds)

    def _enter(self, state: State) -> None:
        self._state = state
        self.state_changed.emit(state)

    def _read(self) -> None:
        """Tell what the thread has told."""
        notes = self._notes
        while notes:
            match notes.popleft():
                case Outcome(result, problem):
                    self._finish(result, problem)
                case event:
                    self.told.emit(event)

    def _finish(self, model: Any, problem: str) -> None:
        self._timer.stop()
        self._enter(State.IDLE)
        if problem:
            self.failed.emit(problem)
        else:
            self.finished.emit(model)


class BackgroundJob(QObject):
    """Runs one function after the other in threads; only the newest one's result is told.

    The function is given a callable that tells whether it is still wanted, and may give up when it is not.
    """

    done = Signal(object)
    failed = Signal(str)
    progress = Signal(int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._newest = Wanted()
        self._timer = QTimer(self)
        self._timer.setInterval(READ_MS)
        self._timer.timeout.connect(self._read)

    @property
    def busy(self) -> bool:
        """Whether a result is awaited."""
        return bool(self._newest)

    def run(self, work: Callable[["Wanted"], Any]) -> None:
        """Run a function; what runs already is no longer wanted."""
        self.cancel()
        wanted = self._newest = Wanted()
        wanted.value = True

        def work_and_tell() -> None:
            wanted.outcome = outcome_of(lambda: work(wanted))

        self._timer.start()
        start_thread(work_and_tell, wanted.end)

    def cancel(self) -> None:
        """Want nothing any more."""
        self._timer.stop()
        self._newest.end()

    def _read(self) -> None:
        """Tell what the newest thread has told."""
        wanted = self._newest
        outcome, told = wanted.outcome, wanted.told
        if told is not None:
            wanted.told = None
            self.progress.emit(*told)
        if outcome is None or not wanted:
            return
        self.cancel()
        if outcome.problem:
            self.failed.emit(outcome.problem)
        else:
            self.done.emit(outcome.result)


class CancelledError(Exception):
    """Raised in a job's thread when its result is no longer wanted."""


class Wanted:
    """Whether a job's result is wanted; a callable for the progress of libraries, which ends the job when it is not."""

    def __init__(self) -> None:
        self.value = False
        self.told: tuple[int, int] | None = None
        """The newest progress that nobody has read."""
        self.outcome: Outcome | None = None

    def __bool__(self) -> bool:
        return self.value

    def end(self) -> None:
        """Want it no more."""
        self.value = False

    def __call__(self, number: int, total: int) -> None:
        """Tell the progress.

        Raises
        ------
        CancelledError
            If the job is no longer wanted.
        """
        if not self.value:
            raise CancelledError
        self.told = (number, total)
