"""Trajectories: which atom of a frame is which of the frame before."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from napari_noise2atom.metrics import match_atoms
from napari_noise2atom.settings import Settings

__all__ = ["link", "reach", "sample_places"]

PLACE_PX = 2.0
"""By which two measured places of an atom that has not moved may differ at most [px]."""
GAP_FRAMES = 2
"""In a row in which an atom may be missed and still be the same."""
FARTHEST_PX = 10
"""That the whole sample may move from one frame to the next, along each axis [px]."""
ALIKE = 0.4
"""Least share of the atoms that move alike where the whole sample moves, and least number of them, below."""
FEWEST = 5


def reach(settings: Settings) -> float:
    """Return how far an atom may move from one frame to the next: 2 px and four standard deviations of its steps [px].

    Parameters
    ----------
    settings : Settings
        ``scene.walk_px`` is looked at.
    """
    return PLACE_PX + 4 * settings.scene.walk_px


def sample_places(found: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return where drift and jumps have taken the whole sample: by the step that most atoms make alike.

    Parameters
    ----------
    found : sequence of array, shape (n, 2) or more columns
        y, x of the atoms of each frame [px].

    Returns
    -------
    array, shape (frames, 2)
        Along y and x, relative to the first frame, in whole pixels; where too few atoms move alike, as before.
    """
    places = np.zeros((len(found), 2))
    before = np.empty((0, 2))
    for index, atoms in enumerate(found):
        places[index:] += _common_step(before, atoms[:, :2])
        if len(atoms):
            before = atoms[:, :2]
    return places


def _common_step(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    fewer = min(len(before), len(after))
    if fewer < FEWEST:
        return np.zeros(2)
    near = KDTree(before).sparse_distance_matrix(KDTree(after), FARTHEST_PX, p=np.inf, output_type="ndarray")
    steps = np.rint(after[near["j"]] - before[near["i"]]).astype(int)
    counts = np.zeros((2 * FARTHEST_PX + 1, 2 * FARTHEST_PX + 1))
    np.add.at(counts, tuple(steps.T + FARTHEST_PX), 1)
    # An atom counts as one where it makes the step itself, and less the more it moves besides.
    alike = 2 * np.pi * gaussian_filter(counts, 1.0, mode="constant")
    if alike.max() < max(FEWEST, ALIKE * fewer):
        return np.zeros(2)
    step: NDArray[np.float64] = np.subtract(np.unravel_index(alike.argmax(), alike.shape), FARTHEST_PX, dtype=float)
    return step


def link(found: Sequence[NDArray[np.float64]], reach_px: float) -> list[NDArray[np.intp]]:
    """Give the atoms of one trajectory the same number.

    Each frame's atoms are paired one to one with the ends of the trajectories so far (Hungarian algorithm, as many
    pairs as possible, then as close as possible). A trajectory ends when it was not seen in three frames in a row.

    Parameters
    ----------
    found : sequence of array, shape (n, 2) or more columns
        y, x of the atoms of each frame [px].
    reach_px : float
        Largest distance of a pair [px].

    Returns
    -------
    list of array, shape (n,)
        Numbers from 0, for each frame.

    Raises
    ------
    ValueError
        If the distance is not positive.
    """
    numbers: list[NDArray[np.intp]] = []
    ends, names, seen = np.empty((0, 2)), np.empty(0, np.intp), np.empty(0, np.intp)
    count = 0
    for index, atoms in enumerate(found):
        pairs = match_atoms(atoms, ends, reach_px)
        number = np.full(len(atoms), -1, np.intp)
        number[pairs[:, 0]] = names[pairs[:, 1]]
        new = number < 0
        number[new] = np.arange(count, count + new.sum())
        count += int(new.sum())
        numbers.append(number)
        waiting = ~np.isin(names, number) & (index - seen <= GAP_FRAMES)
        ends = np.concatenate([ends[waiting], atoms[:, :2]])
        names = np.concatenate([names[waiting], number])
        seen = np.concatenate([seen[waiting], np.full(len(atoms), index)])
    return numbers
