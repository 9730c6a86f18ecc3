"""TIFF stacks: ImageJ hyperstacks, OME-TIFF, what tifffile writes, and plain multi-page files."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

from .frames import MovieFileError, SameFile, check_shape, lazy_frames, missing_note, movie_name, raw_frames
from .signals import choose_signal
from .tiffdecode import decode_page, page_dtype
from .tiffmeta import Layout, Stack, printed_pixel_nm, read_layout
from .tiffpages import Directory, Page, scan_pages

__all__ = ["read_tiff", "read_tiff_frame", "tiff_pixel_nm"]


def read_tiff(path: Path, signal: int | str | None = None) -> Movie:
    """Read a TIFF stack lazily, with its calibration.

    Parameters
    ----------
    path : Path
        The file.
    signal : int, str or None
        Which channel or series, by number or name; None takes the first that is a movie.

    Returns
    -------
    Movie
        Frames of the file's type, one chunk each; uncompressed frames are mapped.

    Raises
    ------
    ValueError
        If the file is no TIFF, is damaged before its second frame, or is no movie.
    """
    directory = scan_pages(path)
    layout = read_layout(directory) or _plain_layout(directory)
    movies = [stack for stack in layout.stacks if not stack.problem and stack.expected > 1]
    if not movies:
        raise MovieFileError(f"{path.name}: {_no_movie(layout, directory)}")
    chosen = choose_signal([stack.name for stack in movies], signal, path.name)
    stack = movies[chosen.number]
    pages = _complete_pages(stack, layout, directory)
    missing = missing_note(path.name, len(pages), stack.expected) or _cut_note(path.name, layout, directory)
    doubt = (f"{path.name}: {layout.doubt}",) if layout.doubt else ()
    data, notes = _frames(path, pages, directory), chosen.notes + missing + doubt
    return Movie(data, layout.pixel_size_nm, layout.frame_time_s, movie_name(path), notes, chosen.names)


def read_tiff_frame(path: Path) -> NDArray[Any]:
    """Return the image of a TIFF file that holds a single grey one, shape (y, x)."""
    directory = scan_pages(path)
    pages = [page for page in directory.pages if not page.reduced]
    if len(pages) != 1:
        raise MovieFileError(f"{path.name}: holds {len(pages)} images; expected one frame a file, open the file itself")
    if not pages[0].complete:
        raise MovieFileError(f"{path.name}: the file is cut off; copy it again from its source")
    _refuse_colour(path.name, pages[0])
    image = decode_page(path, pages[0], directory.order)
    return image.astype(image.dtype.newbyteorder("="), copy=False)


def tiff_pixel_nm(path: Path) -> float | None:
    """Return the pixel size that a TIFF file tells [nm], or None."""
    directory = scan_pages(path)
    return (read_layout(directory) or _plain_layout(directory)).pixel_size_nm


def _plain_layout(directory: Directory) -> Layout:
    """Take the pages of one size and type for a movie; there may be several such groups."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, page in enumerate(directory.pages):
        if not page.reduced:
            groups.setdefault(page.kind, []).append(number)
    pixel = printed_pixel_nm(directory)
    if directory.broken and len(directory.pages) == 1 and (room := _room(directory)) > 1:
        # the directories of most stacks come after all frames, and are the first to be lost
        return Layout((Stack("movie", range(room), room),), contiguous=True, pixel_size_nm=pixel)
    stacks = tuple(Stack(f"series {i}", pages, len(pages)) for i, pages in enumerate(groups.values()))
    return Layout(stacks, pixel_size_nm=pixel)


def _no_movie(layout: Layout, directory: Directory) -> str:
    """Say why none of the stacks is a movie."""
    first = directory.pages[0]
    if first.samples > 1:
        return f"got a colour image of {first.height} × {first.width} pixels; expected a grey movie, open one"
    problem = next((stack.problem for stack in layout.stacks if stack.problem), "")
    if problem:
        return f"it {problem}; expected one axis besides y and x, save one such part of it"
    if len(directory.pages) > 1:
        return f"its {len(directory.pages)} images differ in size or type; expected frames that are alike"
    cut = ", the rest of the file is missing" if directory.broken else ""
    return f"got a single frame{cut}; expected a movie, open one with at least two frames"


def _room(directory: Directory) -> int:
    """Return how many frames the file has room for, if they follow each other like the known ones; else 0."""
    first = directory.pages[0]
    joined = all(p.plain and p.start == first.start + i * first.nbytes for i, p in enumerate(directory.pages))
    return max(0, directory.size - first.start) // first.nbytes if joined else 0


def _complete_pages(stack: Stack, layout: Layout, directory: Directory) -> list[Page]:
    """Return the pages of a stack that are in the file, in order."""
    known = directory.pages
    # a header may promise any number of frames: only those that the file has room for
    room = max(len(known), _room(directory) if layout.contiguous else 0)
    numbers = [number for number in islice(stack.pages, room) if number < room]
    pages = [known[n] if n < len(known) else known[0].at(known[0].start + n * known[0].nbytes) for n in numbers]
    pages = [page for page in pages if page.complete]
    return [page for page in pages if page.kind == pages[0].kind]


def _cut_note(name: str, layout: Layout, directory: Directory) -> tuple[str, ...]:
    if not directory.broken or (directory.description and layout.contiguous):
        return ()
    return (f"{name}: its list of images ends in the void, there may have been more frames.",)


def _refuse_colour(name: str, page: Page) -> None:
    if page.samples > 1:
        raise MovieFileError(
            f"{name}: got colour images of {page.samples} samples a pixel; expected grey frames, convert them"
        )


class _PageReader:
    """Decodes one page of a file."""

    def __init__(self, path: Path, pages: Sequence[Page], order: str) -> None:
        self.path, self.pages, self.order = path, pages, order
        self.same_file = SameFile(path)

    def __call__(self, index: int) -> NDArray[Any]:
        self.same_file.check()
        return decode_page(self.path, self.pages[index], self.order)


def _frames(path: Path, pages: list[Page], directory: Directory) -> da.Array:
    if not pages:
        raise MovieFileError(f"{path.name}: none of its frames is complete; copy the file again from its source")
    first = pages[0]
    _refuse_colour(path.name, first)
    dtype = page_dtype(first, directory.order)
    if dtype is None:
        raise MovieFileError(
            f"{path.name}: got pixels of {first.bits} bits of kind {first.sample_format}; expected integers or floats "
            "of 8 to 64 bits, convert them"
        )
    shape = (first.height, first.width)
    check_shape(path.name, (len(pages), *shape), dtype)
    if all(page.plain for page in pages):
        return raw_frames(path, np.array([page.start for page in pages], np.int64), shape, dtype)
    reader = _PageReader(path, pages, directory.order)
    frames = lazy_frames(reader, (len(pages), *shape), dtype, path.name)
    frames[0].compute()  # an unknown or damaged compression shows here, not in the middle of a run
    return frames
