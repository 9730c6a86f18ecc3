"""Broken TIFF files give a right result or one sentence, in little time and memory."""

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_noise2atom.io import MovieFileError, read_movie

_SECONDS = 2.0
_MIB = 150


def _attempt(path: Path) -> None:
    """Read the first, the last, and a middle frame in limited time."""
    started, refusal = time.perf_counter(), ""
    try:
        movie = read_movie(path)
        for index in {0, len(movie) // 2, len(movie) - 1}:
            assert movie.frame(index).shape == movie.shape[1:]
    except MovieFileError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 600
    assert time.perf_counter() - started < _SECONDS


@pytest.fixture(autouse=True)
def bounded_memory(grown_mib: Callable[[], float]) -> Iterator[None]:
    """Fail a test in which the process grows beyond what these small files deserve."""
    yield
    assert grown_mib() < _MIB


def _sound_files(folder: Path, stack: np.ndarray) -> Iterator[tuple[str, bytes]]:
    kinds = {
        "imagej": {"imagej": True, "metadata": {"axes": "TYX", "unit": "nm"}},
        "ome": {"ome": True, "metadata": {"axes": "TYX"}},
        "shaped": {},
        "big": {"bigtiff": True, "metadata": None, "byteorder": ">"},
        "lzw": {"compression": "lzw", "rowsperstrip": 5, "metadata": None},
        "zlib": {"compression": "zlib", "predictor": True, "metadata": None},
        "zstd": {"compression": "zstd", "tile": (16, 16), "metadata": None},
        "jpeg": {"compression": "jpeg", "metadata": None},
    }
    for name, options in kinds.items():
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, stack.astype(np.uint8) if name == "jpeg" else stack, **options)
        yield name, path.read_bytes()


def _header_places(content: bytes) -> np.ndarray:
    """Return where the bytes are that are not pixels, roughly: the start and the end of the file."""
    return np.r_[0 : min(900, len(content)), max(0, len(content) - 900) : len(content)]


@pytest.mark.parametrize("seed", range(8))
def test_flipped_and_lost_bytes(tmp_path: Path, stack: np.ndarray, seed: int) -> None:
    rng, path = np.random.default_rng(seed), tmp_path / "broken.tif"
    for _, sound in _sound_files(tmp_path, stack):
        places = _header_places(sound)
        for trial in range(6):
            broken = bytearray(sound)
            for place in rng.choice(places, 1 + 3 * trial):
                broken[place] = rng.integers(256)
            if trial % 2:
                del broken[rng.integers(1, len(broken)) :]
            path.write_bytes(bytes(broken))
            _attempt(path)


def _entries(content: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield position, size and byte order of the entries in the first directory of a classic or big TIFF."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack(order + "H", content[2:4])[0] == 43
    start = struct.unpack(order + ("Q" if big else "I"), content[8:16] if big else content[4:8])[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), content, start)[0]
    first, size = (start + 8, 20) if big else (start + 2, 12)
    for i in range(count):
        yield first + i * size, size, order


@pytest.mark.parametrize("value", [0, 1, 7, 2**15, 2**31 - 1, 2**32 - 1])
def test_absurd_tag_values_and_counts(tmp_path: Path, stack: np.ndarray, value: int) -> None:
    path = tmp_path / "broken.tif"
    for _, sound in _sound_files(tmp_path, stack):
        for place, size, order in _entries(sound):
            wide = "Q" if size == 20 else "I"
            for field in (4, 4 + struct.calcsize(wide)):
                broken = bytearray(sound)
                struct.pack_into(order + wide, broken, place + field, value)
                path.write_bytes(bytes(broken))
                _attempt(path)


def _directory(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def _page(rows: int, columns: int, start: int, nbytes: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    return [
        (256, 4, 1, columns),
        (257, 4, 1, rows),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, start),
        (278, 4, 1, rows),
        (279, 4, 1, nbytes),
    ]


def test_circular_directories(tmp_path: Path) -> None:
    path = tmp_path / "circle.tif"
    one = len(_directory(_page(4, 4, 0, 16), 0))
    pixels = 8 + 2 * one
    for back_to in (8, 8 + one):
        first = _directory(_page(4, 4, pixels, 16), 8 + one)
        second = _directory(_page(4, 4, pixels + 16, 16), back_to)
        path.write_bytes(b"II*\0" + struct.pack("<I", 8) + first + second + bytes(range(32)))
        movie = read_movie(path)
        np.testing.assert_array_equal(movie.data, np.arange(32).reshape(2, 4, 4))
        assert "ends in the void" in movie.notes[0]


@pytest.mark.parametrize("compression", [1, 5, 8, 50000])
def test_terabytes_in_a_header(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "huge.tif"
    one = len(_directory(_page(1, 1, 0, 1), 0))
    for rows, columns in ((2**20, 2**20), (2**14, 2**14)):
        pixels = 8 + 2 * one
        pages = [_page(rows, columns, pixels, 64, compression) for _ in range(2)]
        path.write_bytes(
            b"II*\0" + struct.pack("<I", 8) + _directory(pages[0], 8 + one) + _directory(pages[1], 0) + bytes(64)
        )
        with pytest.raises(MovieFileError):
            read_movie(path)
        _attempt(path)


@pytest.mark.parametrize(
    ("compression", "encode", "size"),
    [
        (8, imagecodecs.zlib_encode, 400 * 2**20),
        (50000, imagecodecs.zstd_encode, 400 * 2**20),
        (5, imagecodecs.lzw_encode, 20 * 2**20),
    ],
)
def test_a_strip_that_unpacks_to_more_than_the_page(tmp_path: Path, compression: int, encode, size: int) -> None:
    path = tmp_path / "bomb.tif"
    strip = encode(bytes(size))
    one = len(_directory(_page(1, 1, 0, 1), 0))
    pages = [_page(64, 64, 8 + 2 * one, len(strip), compression) for _ in range(2)]
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8) + _directory(pages[0], 8 + one) + _directory(pages[1], 0) + bytes(strip)
    )
    _attempt(path)
