"""Atoms in an image: finding them and matching them with their true positions."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, spatial

__all__ = ["find_atoms", "inside", "match_atoms", "within_reach"]

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


def within_reach(
    found: NDArray[np.floating], truth: NDArray[np.floating], radius_px: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the found atoms that have a true one within the radius, and their distances from all true ones.

    A frame full of noise maxima has few such atoms: what follows works on a small table.

    Parameters
    ----------
    found, truth, radius_px
        As in `match_atoms`.

    Returns
    -------
    near : array, shape (k,)
        Rows of the found atoms.
    distances : array, shape (k, m)
        Infinite beyond the radius [px].

    Raises
    ------
    ValueError
        If the radius is not positive.
    """
    if not radius_px > 0:
        raise ValueError(f"got a matching radius of {radius_px} px; expected a positive number")
    if len(found) == 0 or len(truth) == 0:
        return np.empty(0, dtype=np.intp), np.empty((0, len(truth)))
    nearest, _ = spatial.cKDTree(truth).query(found[:, :2])
    near = np.flatnonzero(nearest <= radius_px)
    distances = spatial.distance.cdist(found[near, :2], truth)
    return near, np.where(distances <= radius_px, distances, np.inf)


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
    near, distances = within_reach(found, truth, radius_px)
    # Dearer than all pairs together, so that one more pair always beats closer ones.
    forbidden = radius_px * (1 + min(distances.shape))
    chosen, partner = optimize.linear_sum_assignment(np.minimum(distances, forbidden))
    pairs = np.isfinite(distances[chosen, partner])
    return np.stack([near[chosen[pairs]], partner[pairs]], axis=1)
