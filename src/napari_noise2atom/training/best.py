"""Which model of a run is kept."""

from torch import Tensor

from napari_noise2atom.events import Stage

from .learner import Learner
from .probe import ProbeScores
from .runfolder import Progress

__all__ = ["Best"]


class Best:
    """The best model so far, and the last good state of the training, to which a repair goes back.

    Parameters
    ----------
    progress : Progress
        The run's; the step and the scores of the best model are noted there.
    weights : dict of str to Tensor, optional
        Those of the best model of a resumed run.
    """

    def __init__(self, progress: Progress, weights: dict[str, Tensor] | None = None) -> None:
        self._progress = progress
        self.weights = weights
        """None as long as there is no model."""
        self.state: dict[str, Tensor] | None = None
        """None where there was no good one, and without guards."""

    def offer(self, learner: Learner, scores: ProbeScores, stage: Stage, *, failed: bool) -> bool:
        """Keep the present model if it is the best; tell whether it is.

        Parameters
        ----------
        learner : Learner
            Has the model.
        scores : ProbeScores
            The model's.
        stage : str
            In which it was reached.
        failed : bool
            Whether it is blank or inverted.

        Returns
        -------
        bool
        """
        if not self._is_best(scores, stage, failed):
            return False
        weights = learner.weights()
        if all(bool(weight.isfinite().all()) for weight in weights.values()):
            progress = self._progress
            self.weights = weights
            progress.best_step, progress.best_scores, progress.best_failed = progress.step, scores.values, failed
            if not failed:
                self.keep_state(learner)
        return True

    def keep_state(self, learner: Learner) -> None:
        """Remember to what a repair goes back, if there are repairs."""
        if learner.settings.training.guards:
            self.state = {name: tensor.clone() for name, tensor in learner.state().items()}

    def _is_best(self, scores: ProbeScores, stage: Stage, failed: bool) -> bool:
        # In the warm start the truth is known and the learning rate falls: the newest model is the best, while the
        # quality on a few frames swings, and prefers wide spots to narrow ones.
        progress = self._progress
        if self.weights is None or (progress.best_failed and not failed):
            return True
        better = stage == "warm start" or scores.values["quality"] > progress.best_scores["quality"]
        return failed == progress.best_failed and better
