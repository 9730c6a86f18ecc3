"""Detection scores: how many of the known atoms are found, how many are invented, how far off they are."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import is_bad_frame

from .atoms import choose_pairs, find_atoms, inside, match_atoms, within_reach

__all__ = ["Detection", "DetectionTally", "detection_scores", "ratio"]


def ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return part / whole, NaN where the whole is 0."""
    result: NDArray[np.float64] = np.where(whole == 0, np.nan, part / np.where(whole == 0, 1, whole))
    return result


@dataclass(frozen=True, eq=False)
class Detection:
    """Detection with one height threshold for all frames; arrays have one entry for each scored frame.

    Counts are summed over the frames before the global figures are formed. A figure is NaN where it is undefined.
    """

    threshold: float
    """Atoms are maxima at least this high [unit of the frames]; infinite where no maximum is near a real atom."""
    frames: NDArray[np.intp]
    """Indices of the frames."""
    found: NDArray[np.intp]
    """Found atoms."""
    real: NDArray[np.intp]
    """Real atoms."""
    matched: NDArray[np.intp]
    """Pairs of a found and a real atom."""
    error_px: NDArray[np.float64]
    """Mean distance in the pairs [px]."""

    @property
    def precision(self) -> float:
        """Share of the found atoms that are real."""
        return float(ratio(self.matched.sum(), self.found.sum()))

    @property
    def recall(self) -> float:
        """Share of the real atoms that are found."""
        return float(ratio(self.matched.sum(), self.real.sum()))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return float(ratio(2 * self.matched.sum(), self.found.sum() + self.real.sum()))

    @property
    def false_per_frame(self) -> float:
        """Found atoms without a real one, mean over the frames."""
        return float(ratio((self.found - self.matched).sum(), np.array(len(self.frames))))

    @property
    def mean_error_px(self) -> float:
        """Mean distance in all pairs [px]."""
        return float(ratio((np.nan_to_num(self.error_px) * self.matched).sum(), self.matched.sum()))


@dataclass(frozen=True, eq=False)
class _Candidates:
    """What one frame adds to the tally: small, whatever the size of the frame."""

    index: int
    heights: NDArray[np.float64]
    """All maxima, ascending."""
    gains: NDArray[np.float64]
    """Heights at which a lower threshold gives one more pair, ascending."""
    near: NDArray[np.float64]
    """y, x, height of the maxima within reach of a real atom."""
    real: NDArray[np.float64]


class DetectionTally:
    """Collects candidates frame by frame, then finds the best threshold for all frames at once.

    Sets of maxima that can all be paired at the same time form a matroid. Hence the largest set of the least cost, for
    any costs that rise where the height falls, holds, for *every* threshold, as many maxima above it as any matching
    has pairs: one assignment per frame gives the optimal number of pairs at all thresholds.

    Parameters
    ----------
    radius_px : float
        Largest distance of a pair [px].
    """

    def __init__(self, radius_px: float = 2.5) -> None:
        self._radius_px = radius_px
        self._frames: list[_Candidates] = []

    def add(self, index: int, frame: NDArray[np.generic], positions: NDArray[np.generic]) -> None:
        """Take a frame, shape (y, x), and its true positions, shape (n, 2) in y, x [px], NaN where absent."""
        height, width = frame.shape
        real = inside(positions, (height, width))
        atoms = find_atoms(frame)
        reach = within_reach(atoms, real, self._radius_px)
        # the brightest come first, so that their numbers are costs that rise where the height falls
        paired = reach.found[choose_pairs(reach, reach.found)]
        near = atoms[np.unique(reach.found)]
        self._frames.append(_Candidates(index, atoms[::-1, 2].copy(), np.sort(atoms[paired, 2]), near, real))

    def best_threshold(self) -> float:
        """Return the threshold of the highest F1 over all frames; infinite if no maximum is near a real atom."""
        # Between two gains only false atoms are added, so that F1 is highest at one of the gains.
        thresholds = np.unique(np.concatenate([[np.inf], *(frame.gains for frame in self._frames)]))
        found = sum(_count_from(frame.heights, thresholds) for frame in self._frames)
        matched = sum(_count_from(frame.gains, thresholds) for frame in self._frames)
        real = sum(len(frame.real) for frame in self._frames)
        return float(thresholds[np.argmax(2 * matched / np.maximum(found + real, 1))])

    def result(self) -> Detection:
        """Return the scores at the best threshold."""
        threshold = self.best_threshold()
        found, matched, errors = [], [], []
        for frame in self._frames:
            chosen = frame.near[frame.near[:, 2] >= threshold]
            pairs = match_atoms(chosen, frame.real, self._radius_px)
            distances = np.linalg.norm(chosen[pairs[:, 0], :2] - frame.real[pairs[:, 1]], axis=1)
            found.append(int((frame.heights >= threshold).sum()))
            matched.append(len(pairs))
            errors.append(float(ratio(distances.sum(), np.array(len(pairs)))))
        return Detection(
            threshold,
            frames=np.array([frame.index for frame in self._frames], dtype=np.intp),
            found=np.array(found, dtype=np.intp),
            real=np.array([len(frame.real) for frame in self._frames], dtype=np.intp),
            matched=np.array(matched, dtype=np.intp),
            error_px=np.array(errors, dtype=np.float64),
        )


def _count_from(ascending: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many values are at least as large as each threshold."""
    count: NDArray[np.intp] = len(ascending) - np.searchsorted(ascending, thresholds)
    return count


def detection_scores(
    frames: Iterable[NDArray[np.generic]],
    positions: Iterable[NDArray[np.generic]],
    radius_px: float = 2.5,
    every: int = 4,
) -> Detection:
    """Return how well local maxima find the known atoms, with one height threshold for the whole movie.

    The threshold is the one of the highest F1 among all there are, which favours every method alike and makes the
    score that of the images, not of somebody's threshold. Atoms outside the field of view are neither real nor missed.

    Parameters
    ----------
    frames : array of shape (t, y, x), or any iterable of frames
        In any unit; bad ones are left out.
    positions : array, shape (t, n, 2)
        y, x of the true atoms in px, NaN where an atom is absent.
    radius_px : float
        Largest distance of a found atom from its real one [px].
    every : int
        Score frames 0, every, 2 × every, ...

    Returns
    -------
    Detection

    Raises
    ------
    ValueError
        If there are not as many frames as sets of positions, or ``every`` or ``radius_px`` is not positive.
    """
    if every < 1:
        raise ValueError(f"got every={every}; expected a positive number of frames")
    tally = DetectionTally(radius_px)
    for index, (frame, known) in enumerate(zip(frames, positions, strict=True)):
        if index % every == 0 and not is_bad_frame(frame):
            tally.add(index, frame, known)
    return tally.result()
