"""Reading and writing movies."""

from .folder import find_frames, read_files
from .frames import MovieFileError, lazy_frames
from .omezarr import is_zarr, write_zarr
from .reading import READABLE, read_movie
from .tiffwrite import write_tiff
from .usable import find_bad_frames, require_usable
from .video import write_mp4
from .writing import write_movie

__all__ = [
    "READABLE",
    "MovieFileError",
    "find_bad_frames",
    "find_frames",
    "is_zarr",
    "lazy_frames",
    "read_files",
    "read_movie",
    "require_usable",
    "write_movie",
    "write_mp4",
    "write_tiff",
    "write_zarr",
]
