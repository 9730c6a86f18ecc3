"""Trajectories: which atom of a frame is which of the frame before."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.metrics import match_atoms
from napari_noise2atom.settings import Settings

__all__ = ["link", "reach"]

PLACE_PX = 2.0
"""By which two measured places of an atom that has not moved may differ at most [px]."""
GAP_FRAMES = 2
"""In a row in which an atom may be missed and still be the same."""


def reach(settings: Settings) -> float:
    """Return how far an atom may move from one frame to the next: 2 px and four standard deviations of its steps [px].

    Parameters
    ----------
    settings : Settings
        ``scene.walk_px`` is looked at.
    """
    return PLACE_PX + 4 * settings.scene.walk_px


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
