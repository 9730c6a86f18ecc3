"""Which frames of a movie can be learned from."""

from collections.abc import Iterable

import numpy as np

from napari_noise2atom.movie import Movie, is_bad_frame

from .frames import MovieFileError

__all__ = ["find_bad_frames", "require_usable"]

_BATCH_BYTES = 2**25
_BATCH_FRAMES = 64
"""Frames are computed in batches: dask takes a while to find one frame among ten thousand."""


def find_bad_frames(movie: Movie, indices: Iterable[int] | None = None) -> tuple[int, ...]:
    """Return the numbers of frames with NaN, infinity, or one single grey value.

    Parameters
    ----------
    movie : Movie
        The movie; no more than 32 MB or one frame of it are in memory at a time.
    indices : iterable of int, optional
        Frames to look at; all if left out.

    Returns
    -------
    tuple of int
        In the order in which they were looked at.
    """
    chosen = [int(i) for i in (range(len(movie)) if indices is None else indices)]
    frame_bytes = int(np.prod(movie.shape[1:])) * movie.data.dtype.itemsize
    size = min(_BATCH_FRAMES, max(1, _BATCH_BYTES // max(1, frame_bytes)))
    bad: list[int] = []
    for start in range(0, len(chosen), size):
        batch = chosen[start : start + size]
        images = np.asarray(movie.data[batch])
        bad += [i for i, image in zip(batch, images, strict=True) if is_bad_frame(image)]
    return tuple(bad)


def require_usable(movie: Movie) -> tuple[int, ...]:
    """Return the numbers of bad frames of a movie that can be learned from.

    Parameters
    ----------
    movie : Movie
        The movie; every frame is looked at.

    Returns
    -------
    tuple of int
        Frames to leave out.

    Raises
    ------
    ValueError
        If fewer than two frames carry an image.
    """
    bad = find_bad_frames(movie)
    if len(movie) - len(bad) < 2:
        raise MovieFileError(
            f"{movie.name}: {len(bad)} of {len(movie)} frames hold a single grey value, NaN or infinity; expected at "
            "least two frames with an image, check the recording"
        )
    return bad
