"""Atoms in an image: finding them and matching them with their true positions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, sparse, spatial

__all__ = ["choose_pairs", "find_atoms", "inside", "match_atoms", "within_reach"]

_WINDOW_PX = 5


def find_atoms(frame: NDArray[np.generic], threshold: float | None = None) -> NDArray[np.float64]:
    """Return the local maxima of a frame, brightest first.

    A maximum is the largest pixel of the 5 × 5 px window centred on it. Of equal pixels in one window, which are
    common in raw counts, one is kept; a flat window holds none. Each is moved to the vertex of the parabola through
    it and its two neighbours, along y and along x: at most half a pixel, and not at all at the frame's edge.

    Parameters
    ----------
    frame : array, shape (y, x)
        In any unit, without NaN.
    threshold : float, optional
        Maxima below it are left out [unit of the frame].

    Returns
    -------
    array, shape (n, 3)
        y [px], x [px], height [unit of the frame]. The height is that of the pixel, not of the vertex.

    Raises
    ------
    ValueError
        If the frame has not two axes.
    """
    if frame.ndim != 2:
        raise ValueError(f"got a frame of shape {frame.shape}; expected the axes (y, x)")
    grey = frame.astype(np.float64)
    rows, columns = np.nonzero(_local_maxima(grey))
    heights = grey[rows, columns]
    order = np.argsort(-heights, kind="stable")
    if threshold is not None:
        order = order[heights[order] >= threshold]
    rows, columns, heights = rows[order], columns[order], heights[order]
    return np.stack([rows + _vertex(grey, rows, columns), columns + _vertex(grey.T, columns, rows), heights], axis=1)


def _local_maxima(frame: NDArray[np.float64]) -> NDArray[np.bool_]:
    highest = ndimage.maximum_filter(frame, _WINDOW_PX)
    maxima: NDArray[np.bool_] = (frame == highest) & (frame > ndimage.minimum_filter(frame, _WINDOW_PX))
    # Equal maxima in one window: the last in reading order stays.
    number = np.where(maxima, np.arange(1, frame.size + 1).reshape(frame.shape), 0)
    maxima &= number == ndimage.maximum_filter(number, _WINDOW_PX)
    return maxima


def _vertex(frame: NDArray[np.float64], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the offset of the parabola's vertex from each maximum along the first axis, 0 at the edge."""
    last = len(frame) - 1
    before = frame[np.maximum(rows - 1, 0), columns]
    after = frame[np.minimum(rows + 1, last), columns]
    curvature = before + after - 2 * frame[rows, columns]
    # At a maximum the curvature is never positive; it is 0 where the three pixels are equal.
    flat = (rows == 0) | (rows == last) | (curvature >= 0)
    offset = np.where(flat, 0.0, 0.5 * (before - after) / np.where(flat, -1.0, curvature))
    return np.clip(offset, -0.5, 0.5)


def inside(positions: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the true positions that lie in the field of view.

    Parameters
    ----------
    positions : array, shape (n, 2)
        y, x in px, pixel centres at whole numbers; NaN where an atom is absent.
    shape : tuple of int
        Rows and columns of the frame.

    Returns
    -------
    array, shape (m, 2)
    """
    known = np.asarray(positions, dtype=np.float64)
    # NaN compares false.
    present = ((known >= -0.5) & (known <= np.asarray(shape) - 0.5)).all(axis=1)
    return known[present]


class Reach(NamedTuple):
    """Pairs of a found and a true atom that may belong together, in the order of the found ones."""

    found: NDArray[np.intp]
    """Row of the found atom in each pair."""
    truth: NDArray[np.intp]
    """Row of the true one."""
    distance_px: NDArray[np.float64]


def within_reach(found: NDArray[np.floating], truth: NDArray[np.floating], radius_px: float) -> Reach:
    """Return all pairs of a found and a true atom within the radius: few, however many atoms there are.

    Parameters
    ----------
    found, truth, radius_px
        As in `match_atoms`.

    Returns
    -------
    Reach
        Arrays of shape (n,).

    Raises
    ------
    ValueError
        If the radius is not positive.
    """
    if not radius_px > 0:
        raise ValueError(f"got a matching radius of {radius_px} px; expected a positive number")
    tree, other = spatial.KDTree(found[:, :2]), spatial.KDTree(truth)
    near = np.sort(tree.sparse_distance_matrix(other, radius_px, output_type="ndarray"), order=["i", "j"])
    return Reach(near["i"], near["j"], near["v"])


def choose_pairs(reach: Reach, costs: NDArray[np.generic]) -> NDArray[np.intp]:
    """Choose pairs, one to one, as many as possible, then of the least cost.

    Atoms that no chain of pairs connects do not compete: each group of connected ones is a small assignment problem.

    Parameters
    ----------
    reach : Reach
        The pairs.
    costs : array, shape (n,)
        Of each pair, not negative.

    Returns
    -------
    array, shape (k,)
        Numbers of the chosen pairs, ascending.
    """
    if len(costs) == 0:
        return np.empty(0, dtype=np.intp)
    first_true = int(reach.found.max()) + 1
    atoms = first_true + int(reach.truth.max()) + 1
    graph = sparse.coo_array((np.ones(len(costs)), (reach.found, first_true + reach.truth)), (atoms, atoms))
    group = sparse.csgraph.connected_components(graph, directed=False)[1][reach.found]
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return np.sort(np.concatenate([_assign(reach, costs, numbers) for numbers in groups]))


def _assign(reach: Reach, costs: NDArray[np.generic], numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return which pairs of a group to take, by the Hungarian algorithm."""
    if len(numbers) == 1:
        return numbers
    found, row = np.unique(reach.found[numbers], return_inverse=True)
    truth, column = np.unique(reach.truth[numbers], return_inverse=True)
    shape = len(found), len(truth)
    # Dearer than all pairs together, so that one more pair always beats cheaper ones.
    table = np.full(shape, 1 + (1 + min(shape)) * float(costs[numbers].max()))
    number = np.full(shape, -1)
    table[row, column], number[row, column] = costs[numbers], numbers
    taken: NDArray[np.intp] = number[optimize.linear_sum_assignment(table)]
    return taken[taken >= 0]


def match_atoms(found: NDArray[np.floating], truth: NDArray[np.floating], radius_px: float = 2.5) -> NDArray[np.intp]:
    """Pair found atoms with true ones, one to one, as many as possible, then as close as possible.

    Parameters
    ----------
    found : array, shape (n, 2) or (n, 3)
        y, x (and height) of the found atoms [px].
    truth : array, shape (m, 2)
        y, x of the true atoms [px], without NaN.
    radius_px : float
        Largest distance of a pair [px].

    Returns
    -------
    array, shape (k, 2)
        Row of the found atom and row of the true atom in each pair.

    Raises
    ------
    ValueError
        If the radius is not positive.
    """
    reach = within_reach(found, truth, radius_px)
    chosen = choose_pairs(reach, reach.distance_px)
    return np.stack([reach.found[chosen], reach.truth[chosen]], axis=1)
