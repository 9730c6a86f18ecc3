"""What a TIFF file says of its pages, checked against the file's size before anything is decoded.

Decoding is tifffile's work. This scan comes before it, because a broken directory can claim terabytes or point in
circles: it reads the few tags that matter, follows each page once, and measures which pages are really there.
"""

import math
import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frames import MAX_FRAME_PX, MovieFileError

__all__ = ["Directory", "Page", "scan_pages"]

_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4", 11: "f4", 12: "f8"}
_TYPES |= {13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_RATIONAL = {5, 10}
_MAX_EXPANSION = 1000
_KINDS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 file (.emd, .hspy, .h5)",
    b"PK\x03\x04": "a ZIP archive",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x93NUM": "a NumPy file (.npy)",
    b"\x00\x00\x00\x03": "a Digital Micrograph file (.dm3)",
    b"\x00\x00\x00\x04": "a Digital Micrograph file (.dm4)",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One image of a TIFF file; lengths in bytes where no unit is named."""

    directory: int
    """Position of its directory in the file."""
    height: int
    width: int
    bits: int
    sample_format: int
    samples: int
    compression: int
    predictor: int
    fill_order: int
    plain: bool
    """Whether its pixels lie in one piece as they are, so that they can be mapped."""
    complete: bool
    """Whether all its bytes are in the file."""
    reduced: bool
    """Whether it is a preview of another page."""
    start: int
    """Position of the first pixel, if it is plain."""
    tiled: bool
    segment: tuple[int, int]
    """Rows and columns of a strip or tile."""
    segments: NDArray[np.uint64]
    """Position and length of each strip or tile, shape (n, 2), if it is complete and not plain."""

    @property
    def nbytes(self) -> int:
        """Size of the decoded image."""
        return self.height * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Size of a decoded row."""
        return (self.width * self.samples * self.bits + 7) // 8

    @property
    def kind(self) -> tuple[int, ...]:
        """What the frames of one movie have in common."""
        return self.height, self.width, self.bits, self.sample_format, self.samples

    def at(self, start: int) -> "Page":
        """Return a plain page like this one, with its pixels elsewhere in the file."""
        return replace(self, start=start, complete=True)


@dataclass(frozen=True, slots=True)
class Directory:
    """All pages of a TIFF file and what its first one says of the stack."""

    order: str
    """Byte order, < or >."""
    size: int
    """Size of the file."""
    pages: list[Page]
    broken: bool
    """Whether the chain of pages ends in the void or in a circle: there were more."""
    description: str
    software: str
    resolution: tuple[float, float, int]
    """Pixels per unit along x and y, and the unit: 1 none, 2 inch, 3 centimetre."""


def scan_pages(path: Path) -> Directory:
    """Read the pages of a TIFF file without decoding them.

    Raises
    ------
    ValueError
        If the file is no TIFF, or its first page is unusable.
    """
    size = path.stat().st_size
    if size < 8:
        raise MovieFileError(f"{path.name}: the file is empty or cut off ({size} bytes); copy it again from its source")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        return _Scanner(path.name, buffer, size).scan()


class _Scanner:
    """Reads directories from a mapped file; nothing is read beyond its end."""

    def __init__(self, name: str, buffer: mmap.mmap, size: int) -> None:
        self.name, self.buffer, self.size = name, buffer, size
        # directories do not overlap in a sound file, so that reading them cannot exceed its size by much
        self.budget = 4 * size + 65536
        head = buffer[:4]
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        version = struct.unpack(self.order + "H", head[2:4])[0] if self.order else 0
        if version not in (42, 43):
            kind = next((text for magic, text in _KINDS.items() if head.startswith(magic)), "something else")
            raise MovieFileError(
                f"{name}: not a TIFF, its first bytes are those of {kind}; give the file its own ending"
            )
        self.big = version == 43
        pointer = self.order + ("u8" if self.big else "u4")
        value = "V8" if self.big else "V4"
        head_fields = [("tag", self.order + "u2"), ("type", self.order + "u2"), ("count", pointer)]
        self.entry = np.dtype([*head_fields, ("value", value)])

    def scan(self) -> Directory:
        first = self._number(8 if self.big else 4)
        offset, seen, pages, broken = first, set[int](), list[Page](), False
        while offset:
            tags, following = self._directory(offset) if offset not in seen else (None, 0)
            page = None if tags is None else self._page(offset, tags)
            if page is None or self.budget < 0:
                broken = True
                break
            seen.add(offset)
            pages.append(page)
            offset = following
        if not pages:
            raise MovieFileError(
                f"{self.name}: the directory of the first image is not readable; copy the file again from its source"
            )
        return self._summary(first, pages, broken)

    def _summary(self, first: int, pages: list[Page], broken: bool) -> Directory:
        tags, _ = self._directory(first)
        assert tags is not None  # it gave the first page
        x, y = self._ratio(tags, 282), self._ratio(tags, 283)
        resolution = (x, y, self._one(tags, 296, 2))
        text, software = self._text(tags, 270), self._text(tags, 305)
        return Directory(self.order, self.size, pages, broken, text, software, resolution)

    def _number(self, at: int) -> int:
        width, code = (8, "Q") if self.big else (4, "I")
        raw = self.buffer[at : at + width]
        return int(struct.unpack(self.order + code, raw)[0]) if len(raw) == width else 0

    def _directory(self, offset: int) -> tuple[dict[int, Any] | None, int]:
        """Return the entries of one directory by tag, and where the next directory is."""
        width, code = (8, "Q") if self.big else (2, "H")
        head = self.buffer[offset : offset + width] if offset < self.size else b""
        if len(head) < width:
            return None, 0
        count = struct.unpack(self.order + code, head)[0]
        end = offset + width + count * self.entry.itemsize
        if not 0 < count <= 65535 or end > self.size:
            return None, 0
        self.budget -= end - offset
        entries = np.frombuffer(self.buffer[offset + width : end], self.entry)
        return {
            int(e["tag"]): (e, offset + width + i * self.entry.itemsize) for i, e in enumerate(entries)
        }, self._next(end)

    def _next(self, at: int) -> int:
        # a file cut right after its last directory has no pointer to a next one; that is an end in the void
        return self._number(at) if at + (8 if self.big else 4) <= self.size else self.size

    def _values(self, tags: dict[int, Any], tag: int) -> Any:
        """Return the numbers of a tag, none if it is missing or lies outside the file."""
        nothing = np.zeros(0, np.int64)
        if tag not in tags or int(tags[tag][0]["type"]) not in _TYPES:
            return nothing
        entry, at = tags[tag]
        kind = int(entry["type"])
        dtype = np.dtype(self.order + _TYPES[kind])
        count = int(entry["count"]) * (2 if kind in _RATIONAL else 1)
        field = 8 if self.big else 4
        at += 12 if self.big else 8
        if count * dtype.itemsize > field:
            at = self._number(at)
            self.budget -= count * dtype.itemsize
        inside = at + count * dtype.itemsize <= self.size and self.budget >= 0
        raw = self.buffer[at : at + count * dtype.itemsize] if inside else b""
        return np.frombuffer(raw, dtype) if raw else nothing

    def _one(self, tags: dict[int, Any], tag: int, default: int) -> int:
        values = self._values(tags, tag)
        return int(values[0]) if len(values) and math.isfinite(values[0]) else default

    def _ratio(self, tags: dict[int, Any], tag: int) -> float:
        values = self._values(tags, tag)
        return float(values[0]) / float(values[1]) if len(values) == 2 and values[1] else 0.0

    def _text(self, tags: dict[int, Any], tag: int) -> str:
        raw = self._values(tags, tag).tobytes().rstrip(b"\0 ")
        try:
            return str(raw.decode("utf-8"))
        except UnicodeDecodeError:
            return str(raw.decode("latin-1"))

    def _page(self, offset: int, tags: dict[int, Any]) -> Page | None:
        """Return a page, or None if what makes an image is missing or absurd."""
        width, height = self._one(tags, 256, 0), self._one(tags, 257, 0)
        samples, depth = self._one(tags, 277, 1), max(self._one(tags, 32997, 1), self._one(tags, 32998, 1))
        bits, sample_format = self._one(tags, 258, 1), self._one(tags, 339, 1)
        if not (min(width, height) > 0 and width * height <= MAX_FRAME_PX and depth == 1):
            return None
        if not (0 < samples <= 65535 and 0 < bits <= 128):
            return None
        page = Page(
            directory=offset,
            height=height,
            width=width,
            bits=bits,
            sample_format=sample_format,
            samples=samples,
            compression=self._one(tags, 259, 1),
            predictor=self._one(tags, 317, 1),
            fill_order=self._one(tags, 266, 1),
            plain=False,
            complete=False,
            reduced=bool(self._one(tags, 254, 0) & 1),
            start=0,
            tiled=False,
            segment=(height, width),
            segments=np.zeros((0, 2), np.uint64),
        )
        return self._tiled(page, tags) if 322 in tags or 324 in tags else self._stripped(page, tags)

    def _stripped(self, page: Page, tags: dict[int, Any]) -> Page:
        rows = self._one(tags, 278, page.height)
        rows = min(rows, page.height) if rows > 0 else page.height
        needed = math.ceil(page.height / rows)
        starts, counts = self._segments(tags, 273, 279, needed)
        raw = page.compression in (0, 1) and page.samples == 1
        if raw and len(starts) == needed:
            sizes = [rows * page.row_bytes] * (needed - 1) + [(page.height - (needed - 1) * rows) * page.row_bytes]
            joined = bool(np.all(np.diff(starts.astype(np.int64)) == sizes[:-1]))
            native = page.fill_order == 1 and page.bits in (8, 16, 32, 64) and page.predictor == 1
            start = int(starts[0])
            if joined and native:
                # byte counts are often wrong where nothing is compressed; the size of the image is not
                complete = 0 < start <= self.size - page.nbytes
                return replace(page, start=start, plain=True, complete=complete)
            if len(counts) < needed or int(counts.sum()) < page.nbytes:
                counts = np.asarray(sizes, np.uint64)
        return self._segmented(replace(page, segment=(rows, page.width)), starts, counts, needed)

    def _tiled(self, page: Page, tags: dict[int, Any]) -> Page:
        across, down = self._one(tags, 322, 0), self._one(tags, 323, 0)
        # tifffile decodes whole tiles: one far larger than the image is a broken header
        if not (0 < across <= page.width + 4096 and 0 < down <= page.height + 4096):
            return page
        needed = math.ceil(page.width / across) * math.ceil(page.height / down)
        starts, counts = self._segments(tags, 324, 325, needed)
        return self._segmented(replace(page, tiled=True, segment=(down, across)), starts, counts, needed)

    def _segments(self, tags: dict[int, Any], starts: int, counts: int, needed: int) -> tuple[Any, Any]:
        first, second = self._values(tags, starts), self._values(tags, counts)
        nothing = np.zeros(0, np.uint64)
        numbers = [v[:needed].astype(np.uint64) if v.dtype.kind == "u" else nothing for v in (first, second)]
        return numbers[0], numbers[1]

    def _segmented(self, page: Page, starts: Any, counts: Any, needed: int) -> Page:
        """Return the page with its segments if all lie in the file and can hold what they claim."""
        if len(starts) < needed or len(counts) < needed:
            return page
        size = np.uint64(self.size)
        inside = (starts <= size) & (counts <= size - np.minimum(starts, size))
        if not inside.all() or page.nbytes > _MAX_EXPANSION * self.size:
            return page
        return replace(page, complete=True, segments=np.stack([starts, counts], axis=1))
