"""What all compared methods have in common: one call, from a movie to a denoised one."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

__all__ = ["Method", "Progress", "UnavailableError"]

Progress = Callable[[float], None]
"""Is told the share that is done, in [0, 1]; it may raise to end the method."""


class UnavailableError(Exception):
    """A method cannot run here; the message says why and what to install."""


@dataclass(frozen=True)
class Method:
    """A way to denoise a movie.

    Parameters
    ----------
    name : str
        What one types.
    title : str
        What tables and figures show.
    source : str
        Whose method it is.
    place : str
        Module of this folder and function in it, such as ``filters:gaussian_2d``; imported when it is called.
    trained : bool
        Whether its result depends on a seed and on the minutes that it is given.
    package : str
        Package of the extra ``compare`` that it needs; those are free for non-commercial use only.
    """

    name: str
    title: str
    source: str
    place: str
    trained: bool = False
    package: str = ""

    @property
    def missing(self) -> str:
        """What is to be installed before it can run, in one sentence; empty where nothing is."""
        if not self.package or find_spec(self.package) is not None:
            return ""
        return (
            f"{self.title} needs the package {self.package}, which is free for non-commercial use only: "
            "pip install 'napari-noise2atom[compare]'"
        )

    def denoise(self, movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
        """Denoise a whole movie.

        Parameters
        ----------
        movie : Movie
            Raw movie without bad frames.
        settings : CompareSettings
            What the user may choose.
        progress : callable
            Is told the share that is done.

        Returns
        -------
        array, shape (t, y, x), float32
            In grey values of its own, the same ones in all frames.

        Raises
        ------
        UnavailableError
            If a package that it needs is not there.
        ValueError
            If the movie cannot be denoised in this way.
        """
        if self.missing:
            raise UnavailableError(self.missing)
        module, function = self.place.split(":")
        call = getattr(import_module(f"{__package__}.{module}"), function)
        denoised: NDArray[np.float32] = call(movie, settings, progress)
        return denoised
