"""One process leads a training, the others assist: they do the same steps on images of their own."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

from torch import Tensor

from napari_noise2atom.modelfile import tensors_from_bytes, tensors_to_bytes
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import limited_threads
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import Settings

from .learner import Learner, NonFiniteLossError
from .parts import Team
from .processes import Processes, joined
from .sampling import sample_patches

__all__ = ["LeadingLearner", "assist", "leading"]


class Order(IntEnum):
    """What the leader wants of all processes."""

    END = 0
    TAKE_OVER = 1
    WARM_STEP = 2
    CYCLE_STEP = 3


END = (Order.END, 0, 0, 0.0)
TAKE_OVER = (Order.TAKE_OVER, 0, 0, 0.0)
"""What is wanted, attempt, number of the step, share of the stage that is over."""


class LeadingLearner(Learner):
    """A learner whose steps are done by all processes; alone, it is like any other.

    What happens to it between two steps, be it a repair or a resumed run, reaches the others before the next one.
    """

    _known = False
    """Whether the other processes have this learner's state."""

    def warm_step(self, step: int, progress: float) -> dict[str, float]:
        """See `Learner.warm_step`."""
        self._order(Order.WARM_STEP, step, progress)
        return super().warm_step(step, progress)

    def cycle_step(self, step: int) -> dict[str, float]:
        """See `Learner.cycle_step`."""
        self._order(Order.CYCLE_STEP, step)
        return super().cycle_step(step)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See `Learner.restore`."""
        super().restore(tensors)
        self._known = False

    def _order(self, order: Order, step: int, progress: float = 0.0) -> None:
        processes = self.team.processes
        if processes.count == 1:
            return
        if not self._known:
            processes.tell(TAKE_OVER)
            processes.tell_bytes(tensors_to_bytes(self.state()))
            self._known = True
        processes.tell((order, self.attempt, step, progress))


@contextmanager
def leading(processes: Processes, settings: Settings) -> Iterator[None]:
    """Let the other processes begin, and end them; after an error that is left to torchrun."""
    if processes.count == 1:
        yield
        return
    processes.tell_bytes(settings.model_dump_json().encode())
    try:
        yield
    except GeneratorExit:  # the stream was closed, between two steps
        processes.tell(END)
        raise
    processes.tell(END)


def assist(movie: Movie) -> None:
    """Do the share of a process other than the first in a training that several processes do together.

    The first one calls `train`, which decides everything; settings and weights come from there, the movie is read by
    each process.

    Parameters
    ----------
    movie : Movie
        The same as the leader's.

    Raises
    ------
    ValueError
        If the movie cannot be trained on, or the device is not there.
    """
    with joined() as processes:
        settings = Settings.model_validate_json(processes.tell_bytes(None))
        team = Team(processes.device(settings.run.device), settings.run.threads, processes)
        with limited_threads(team.threads_per_part):
            normalisation = measure_normalisation(movie)
            patches, _ = sample_patches(movie, settings, normalisation)
            _obey(Learner(settings, patches, normalisation, team))


def _obey(learner: Learner) -> None:
    processes = learner.team.processes
    while True:
        order, attempt, step, progress = processes.tell(None)
        learner.attempt = int(attempt)
        # The leader meets the same loss, and decides what happens next.
        with suppress(NonFiniteLossError):
            match Order(int(order)):
                case Order.END:
                    return
                case Order.TAKE_OVER:
                    learner.restore(tensors_from_bytes(processes.tell_bytes(None)))
                case Order.WARM_STEP:
                    learner.warm_step(int(step), progress)
                case Order.CYCLE_STEP:
                    learner.cycle_step(int(step))
