"""The pixels of one TIFF page, decoded with a bound on what may come out of them.

The common lossless codecs are called with the size that the page claims: a stream that unpacks to more is refused
instead of filling the memory. Everything rarer is tifffile's work.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from .frames import MovieFileError
from .tiffpages import Page

__all__ = ["decode_page", "page_dtype"]

_CODECS: dict[int, Callable[..., Any]] = {
    5: imagecodecs.lzw_decode,
    8: imagecodecs.deflate_decode,
    32773: imagecodecs.packbits_decode,
    32946: imagecodecs.deflate_decode,
    34925: imagecodecs.lzma_decode,
    34926: imagecodecs.zstd_decode,
    50000: imagecodecs.zstd_decode,
}


def page_dtype(page: Page, order: str) -> np.dtype[Any] | None:
    """Return the type of a page's pixels with the file's byte order; None if it is no real number of whole bytes."""
    kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(page.sample_format, "")
    if kind and kind != "f" and page.bits < 64:
        # odd depths, 1 or 12 bits, come out in the next larger type
        bits = next(size for size in (8, 16, 32, 64) if page.bits <= size)
    else:
        bits = page.bits
    known = bits in (16, 32, 64) or (bits == 8 and kind != "f")
    return np.dtype(f"{order}{kind}{bits // 8}") if kind and known else None


def decode_page(path: Path, page: Page, order: str) -> NDArray[Any]:
    """Return the image of a page.

    Parameters
    ----------
    path : Path
        The TIFF file.
    page : Page
        A complete page of it.
    order : str
        Byte order of the file, < or >.

    Returns
    -------
    array, shape (y, x)

    Raises
    ------
    ValueError
        If the compressed bytes are damaged, or unpack to more than the page can hold.
    """
    dtype = page_dtype(page, order)
    if page.plain and dtype is not None:
        return _read_plain(path, page, dtype)
    simple = dtype is not None and dtype.itemsize * 8 == page.bits and page.fill_order == 1
    if dtype is None or not simple or page.compression not in (1, *_CODECS):
        return _decode_rare(path, page)
    rows, columns = page.segment
    across = math.ceil(page.width / columns)
    image = np.zeros((page.height, page.width), dtype.newbyteorder("="))
    with path.open("rb") as file:
        for i, (start, count) in enumerate(page.segments):
            y, x = i // across * rows, i % across * columns
            file.seek(int(start))
            # the last strip may be shorter than the others, a tile never is
            height = rows if page.tiled else min(rows, page.height - y)
            piece = _decode_segment(file.read(int(count)), (height, columns), rows, dtype, page)
            target = image[y : y + height, x : x + columns]
            target[:] = piece[: target.shape[0], : target.shape[1]]
    return image


def _read_plain(path: Path, page: Page, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the image of a page whose pixels lie in one piece; such a page has no list of segments."""
    pixels = np.fromfile(path, dtype, page.height * page.width, offset=page.start)
    return pixels.reshape(page.height, page.width).astype(dtype.newbyteorder("="), copy=False)


def _decode_segment(raw: bytes, shape: tuple[int, int], rows: int, dtype: np.dtype[Any], page: Page) -> NDArray[Any]:
    """Return one strip or tile; writers may pad the last strip to its full number of rows."""
    wanted, most = (n * shape[1] * dtype.itemsize for n in (shape[0], rows))
    data = raw if page.compression == 1 else _CODECS[page.compression](raw, out=most)
    if len(data) < wanted:
        raise MovieFileError(f"a strip or tile has {len(data)} instead of {wanted} bytes")
    if page.predictor == 3 and dtype.kind == "f":
        # the bytes of floats are stored most significant first, whatever the order of the file
        packed = np.frombuffer(data, dtype.newbyteorder("="), shape[0] * shape[1]).reshape(shape)
        decoded: NDArray[Any] = imagecodecs.floatpred_decode(packed, axis=-1)
        return decoded
    pixels = np.frombuffer(data, dtype, shape[0] * shape[1]).reshape(shape).astype(dtype.newbyteorder("="))
    if page.predictor == 2:
        unsigned = pixels.view(f"u{dtype.itemsize}")
        return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(pixels.dtype)
    if page.predictor != 1:
        raise MovieFileError(f"its predictor {page.predictor} is unknown")
    return pixels


def _decode_rare(path: Path, page: Page) -> NDArray[Any]:
    with tifffile.TiffFile(path) as file:
        file.filehandle.seek(page.directory)
        return np.asarray(tifffile.TiffPage(file, index=0).asarray())
