"""Null movies: the noise of a movie without its atoms, made in three ways, each of which errs in another direction."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.edges import fill_edges
from napari_noise2atom.io import lazy_frames
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import Settings
from napari_noise2atom.simulate.background import film, wedge
from napari_noise2atom.simulate.detector import record

__all__ = ["NULLS", "NullKind", "null_movie", "shuffle_phases", "shuffle_segments"]

NullKind = Literal["pixel shuffle", "phase shuffle", "noise model"]
NULLS: tuple[NullKind, ...] = get_args(NullKind)
SEGMENT_PX = 8
"""Of pixels along x that stay together: the afterglow of most detectors has faded after four, and seven of eight pairs
of neighbours are kept; a spot is cut into its lines, which are strewn over the frame."""


def null_movie(kind: NullKind, movie: Movie, settings: Settings) -> Movie:
    """Return a movie as noisy as another one, without atoms.

    Parameters
    ----------
    kind : {"pixel shuffle", "phase shuffle", "noise model"}
        How it is made: from the frames by `shuffle_segments` or `shuffle_phases`, each frame by itself; or simulated,
        with a film that stays and noise that does not.
    movie : Movie
        The movie whose noise is wanted.
    settings : Settings
        ``scene`` and ``detector`` of the noise model; the seed of all random numbers.

    Returns
    -------
    Movie
        Lazy float32 frames, as many and as large, in the movie's grey values; equal seeds give equal frames.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    if kind not in NULLS:
        raise ValueError(f"got the null {kind!r}; expected one of {', '.join(NULLS)}")
    make = _recorded_film(movie, settings) if kind == "noise model" else _shuffled(kind, movie)

    def read(index: int) -> NDArray[np.float32]:
        # a frame's noise is its own, in whatever order frames are asked for
        return make(index, np.random.default_rng((settings.run.seed, NULLS.index(kind), index)))

    return movie.with_data(lazy_frames(read, movie.shape, np.float32, kind), f"{movie.name} {kind}")


Make = Callable[[int, np.random.Generator], NDArray[np.float32]]


def _shuffled(kind: NullKind, movie: Movie) -> Make:
    shuffle = shuffle_segments if kind == "pixel shuffle" else shuffle_phases
    return lambda index, rng: shuffle(fill_edges(movie.frame(index)), rng)


def _recorded_film(movie: Movie, settings: Settings) -> Make:
    size, scene = movie.shape[1:], settings.scene
    speckle = film(size, scene.background_texture, np.random.default_rng(settings.run.seed))
    electrons = np.float32(scene.background_e) * wedge(size, scene.background_gradient) * speckle
    whole = movie.data.dtype.kind in "ui"
    return lambda index, rng: record(electrons, settings.detector, rng, quantise=whole)


def shuffle_segments(
    frame: NDArray[np.float32], rng: np.random.Generator, segment_px: int = SEGMENT_PX
) -> NDArray[np.float32]:
    """Put the short segments of a frame's lines in random order.

    Grey values stay what they are, and so does the noise's correlation along the fast scan axis x, the detector's
    afterglow, within a segment. The electrons of the atoms are still there, strewn over the frame.

    Parameters
    ----------
    frame : array, shape (y, x)
        Grey values.
    rng : numpy.random.Generator
        Source of randomness.
    segment_px : int, optional
        Pixels along x that stay together, at least 1.

    Returns
    -------
    array, shape (y, x)
    """
    height, width = frame.shape
    whole = width - width % segment_px
    segments = rng.permutation(frame[:, :whole].reshape(-1, segment_px))
    shuffled: NDArray[np.float32] = np.hstack([segments.reshape(height, whole), rng.permutation(frame[:, whole:])])
    return shuffled


def shuffle_phases(frame: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Replace the phases of a frame's Fourier transform by random ones.

    The power spectrum stays what it is, and with it all correlations of pairs of pixels, that of the atoms' spots
    included; grey values become normally distributed.

    Parameters
    ----------
    frame : array, shape (y, x)
        Grey values.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array, shape (y, x), float32
    """
    # those of white noise are random, and have the symmetry of a real image
    phases = np.angle(np.fft.rfft2(rng.standard_normal(frame.shape)))
    phases[0, 0] = 0
    amplitudes = np.abs(np.fft.rfft2(frame - frame.mean()))
    shuffled = np.fft.irfft2(amplitudes * np.exp(1j * phases), s=frame.shape) + frame.mean()
    return np.asarray(shuffled, np.float32)
