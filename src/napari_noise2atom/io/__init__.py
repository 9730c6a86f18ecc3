"""Reading and writing movies."""

from .frames import MovieFileError
from .omezarr import write_zarr
from .reading import READABLE, read_movie
from .tiffwrite import write_tiff
from .usable import find_bad_frames, require_usable
from .writing import write_movie

__all__ = [
    "READABLE",
    "MovieFileError",
    "find_bad_frames",
    "read_movie",
    "require_usable",
    "write_movie",
    "write_tiff",
    "write_zarr",
]
