"""One call for every format that is written."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_noise2atom.movie import Movie

from .frames import MovieFileError
from .omezarr import write_zarr
from .tiffwrite import write_tiff

__all__ = ["write_movie"]


def write_movie(
    movie: Movie,
    path: str | Path,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> None:
    """Write a movie with its calibration, few frames in memory at a time.

    Parameters
    ----------
    movie : Movie
        The movie; its data may be lazy.
    path : str or Path
        ``.tif`` or ``.tiff`` for an ImageJ stack, ``.zarr`` for OME-Zarr.
    resume : bool
        Go on with an unfinished OME-Zarr; a TIFF is always written anew.
    progress : callable, optional
        Is told the number of frames that are done, and of all.
    recipe : mapping, optional
        How the movie was made, of JSON's types; kept in an OME-Zarr, which goes on with the same one only.

    Raises
    ------
    ValueError
        If the ending is another, or something is in the way.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".tif" | ".tiff":
            write_tiff(movie, path, progress)
        case ".zarr":
            write_zarr(movie, path, resume, progress, recipe)
        case ending:
            raise MovieFileError(
                f"{path.name}: cannot write files ending in {ending or 'nothing'!r}; use .tif (ImageJ) or .zarr"
            )
