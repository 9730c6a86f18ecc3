"""How sure an atom is: in how many equivalent versions of a frame the model finds it again."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.metrics import match_atoms
from napari_noise2atom.movie import Movie

__all__ = ["RADIUS_PX", "confidence", "versions"]

Denoise = Callable[[Movie], Movie]
Found = NDArray[np.float64]
"""Atoms of a frame, shape (n, 3): y [px], x [px], height."""
RADIUS_PX = 2.0
"""Within which an atom counts as found again [px]."""


def versions(movie: Movie, denoise: Denoise) -> list[Callable[[int], NDArray[np.float32]]]:
    """Return functions that give a denoised frame of a number: as it is, and by way of the movie's symmetries.

    A movie may be turned upside down and run backwards, and both; not mirrored along x, where the detector's
    afterglow has a direction. What comes out is turned back.

    Parameters
    ----------
    movie : Movie
        The raw movie.
    denoise : callable
        Returns a denoised movie, lazily.

    Returns
    -------
    list of callable
        Four; the first is the movie as it is.
    """
    last = len(movie) - 1
    flipped = movie.with_data(movie.data[:, ::-1])
    plain, upside_down = denoise(movie), denoise(flipped)
    backwards, both = (denoise(other.with_data(other.data[::-1])) for other in (movie, flipped))
    return [
        plain.frame,
        lambda index: upside_down.frame(index)[::-1],
        lambda index: backwards.frame(last - index),
        lambda index: both.frame(last - index)[::-1],
    ]


def confidence(atoms: Found, others: Sequence[Found]) -> NDArray[np.float64]:
    """Return the share of other versions in which each atom is found again, within 2 px and one to one.

    Parameters
    ----------
    atoms : array, shape (n, 3)
        y [px], x [px], height of the atoms of a frame.
    others : sequence of array, shape (m, 3)
        The same of each other version.

    Returns
    -------
    array, shape (n,)
        In [0, 1]; NaN if there is no other version.
    """
    again = np.zeros(len(atoms))
    for other in others:
        again[match_atoms(atoms, other[:, :2], RADIUS_PX)[:, 0]] += 1
    return again / len(others) if others else np.full(len(atoms), np.nan)
