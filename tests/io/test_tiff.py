import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noise2atom.io import MovieFileError, read_movie, write_movie

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]


def _same(path: Path, expected: np.ndarray) -> Any:
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, expected)
    assert movie.data.dtype == expected.dtype.newbyteorder("=")
    assert movie.data.chunks[0] == (1,) * len(expected)
    assert movie.name == path.name.split(".")[0]
    return movie


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"truncate": True},
        {"bigtiff": True, "byteorder": ">"},
        {"byteorder": ">", "rowsperstrip": 7},
        {"tile": (16, 16)},
        {"compression": "lzw", "rowsperstrip": 7},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zstd", "tile": (16, 16)},
    ],
    ids=str,
)
def test_every_type_and_layout(tmp_path: Path, stack: np.ndarray, dtype: str, options: dict) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack.astype(dtype), **options)
    assert _same(path, stack.astype(dtype)).notes == ()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_predictors(tmp_path: Path, stack: np.ndarray, dtype: str, byteorder: str, tile: tuple[int, int]) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack.astype(dtype), compression="zlib", predictor=True, byteorder=byteorder, tile=tile)
    _same(path, stack.astype(dtype))


@pytest.mark.parametrize(
    "compression", ["packbits", "lzma", "lerc", "png", "jpeg2000", "jpegxl", "jpeg", "deflate", "none"]
)
def test_rare_compressions_agree_with_tifffile(tmp_path: Path, stack: np.ndarray, compression: str) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack.astype(np.uint8), compression=compression)
    _same(path, tifffile.imread(path))


@pytest.mark.parametrize("bits", [1, 4, 12])
def test_odd_depths_agree_with_tifffile(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "movie.tif"
    packed = np.random.default_rng(0).integers(0, 256, (6, 20, (30 * bits + 7) // 8), np.uint8)
    with tifffile.TiffWriter(path) as file:
        for frame in packed:
            file.write(
                iter([frame.tobytes()]),
                shape=(20, 30),
                dtype=np.uint8 if bits <= 8 else np.uint16,
                bitspersample=bits,
                rowsperstrip=20,
                metadata=None,
            )
    np.testing.assert_array_equal(read_movie(path).data, tifffile.imread(path))


@pytest.mark.parametrize("unit", ["nm", "pm", "\\u00B5m", "micron", "A"])
def test_imagej_calibration(tmp_path: Path, stack: np.ndarray, unit: str) -> None:
    per_nm = {"nm": 1, "pm": 1e-3, "A": 0.1}.get(unit, 1e3)
    path = tmp_path / "movie.tif"
    metadata = {"axes": "TYX", "unit": unit, "finterval": 0.04}
    tifffile.imwrite(path, stack, imagej=True, resolution=(20, 20), metadata=metadata)
    movie = _same(path, stack)
    assert movie.pixel_size_nm == pytest.approx(0.05 * per_nm)
    assert movie.frame_time_s == pytest.approx(0.04)
    assert not movie.notes


def test_imagej_frame_rate_and_missing_unit(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX", "fps": 25.0})
    movie = read_movie(path)
    assert movie.frame_time_s == pytest.approx(0.04)
    assert movie.notes == (
        "movie.tif: the frame time is that of ImageJ's playback speed, 25 frames a second; check it.",
    )
    assert movie.pixel_size_nm is None


@pytest.mark.parametrize(("unit", "nm"), [("nm", 0.05), ("Å", 0.005), ("µm", 50.0), ("pixel", None)])
def test_ome_calibration(tmp_path: Path, stack: np.ndarray, unit: str, nm: float | None) -> None:
    path = tmp_path / "movie.ome.tif"
    metadata = {
        "axes": "TYX",
        "PhysicalSizeX": 0.05,
        "PhysicalSizeXUnit": unit,
        "TimeIncrement": 40,
        "TimeIncrementUnit": "ms",
    }
    tifffile.imwrite(path, stack, ome=True, metadata=metadata)
    movie = _same(path, stack)
    assert movie.pixel_size_nm == (None if nm is None else pytest.approx(nm))
    assert movie.frame_time_s == pytest.approx(0.04)


def test_resolution_tags_are_a_calibration_only_when_fine(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack, resolution=(2e8, 2e8), resolutionunit="CENTIMETER", metadata=None)
    assert read_movie(path).pixel_size_nm == pytest.approx(0.05)
    tifffile.imwrite(path, stack, resolution=(300, 300), resolutionunit="INCH", metadata=None)
    assert read_movie(path).pixel_size_nm is None


def test_pages_written_one_by_one(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.tif"
    with tifffile.TiffWriter(path) as file:
        for frame in stack:
            file.write(frame, compression="zlib", metadata=None)
    _same(path, stack)


@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
def test_channels_are_signals(tmp_path: Path, stack: np.ndarray, kind: str) -> None:
    path = tmp_path / "movie.tif"
    both = np.stack([stack, stack + 100], axis=1)
    options = {} if kind == "shaped" else {kind: True}
    tifffile.imwrite(path, both, metadata={"axes": "TCYX"}, photometric="minisblack", **options)
    movie = _same(path, stack)
    assert "holds 2 movies" in movie.notes[0]
    assert "channel 2" in movie.notes[0]
    np.testing.assert_array_equal(read_movie(path, signal=1).data, stack + 100)
    with pytest.raises(MovieFileError, match="no signal 2"):
        read_movie(path, signal=2)


def test_series_of_different_sizes(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(stack[0, :10, :10], metadata=None)
        for frame in stack:
            file.write(frame, metadata=None)
        for frame in stack[:3, :12]:
            file.write(frame, metadata=None)
    assert "holds 2 movies" in _same(path, stack).notes[0]
    np.testing.assert_array_equal(read_movie(path, signal="series 2").data, stack[:3, :12])


def test_several_ome_images(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(stack[:4], metadata={"axes": "TYX", "Name": "HAADF"}, photometric="minisblack")
        file.write(stack[2:], metadata={"axes": "TYX", "Name": "BF"}, photometric="minisblack")
    np.testing.assert_array_equal(read_movie(path).data, stack[:4])
    np.testing.assert_array_equal(read_movie(path, signal="BF").data, stack[2:])


def _imagej_without_directories(path: Path, frames: int, promised: int) -> np.ndarray:
    """Write what ImageJ writes beyond 4 GB: one directory, then all the frames."""
    text = f"ImageJ=1.53t\nimages={promised}\nframes={promised}\nunit=nm\nfinterval=0.5\n".encode() + b"\0"
    rows, columns = 8, 12
    tags = [
        (256, 4, 1, columns),
        (257, 4, 1, rows),
        (258, 3, 1, 16 << 16),
        (262, 3, 1, 1 << 16),
        (270, 2, len(text), 200),
        (273, 4, 1, 200 + len(text)),
        (277, 3, 1, 1 << 16),
        (278, 4, 1, rows),
        (279, 4, 1, rows * columns * 2),
    ]
    head = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", len(tags))
    head += b"".join(struct.pack(">HHII", *tag) for tag in tags) + b"\0\0\0\0"
    data = np.arange(frames * rows * columns, dtype=">u2").reshape(frames, rows, columns)
    path.write_bytes(head.ljust(200, b"\0") + text + data.tobytes())
    return data


def test_imagej_stack_without_directories(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    data = _imagej_without_directories(path, 9, 9)
    movie = _same(path, data)
    assert movie.frame_time_s == 0.5
    assert movie.notes == ()


@pytest.mark.parametrize("promised", [12, 10**15])
def test_imagej_stack_that_promises_more(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "movie.tif"
    data = _imagej_without_directories(path, 9, promised)
    assert f"9 of {promised} frames are there" in _same(path, data).notes[0]


@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
def test_truncated_stack_keeps_its_frames(tmp_path: Path, stack: np.ndarray, kind: str) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack, **({} if kind == "shaped" else {kind: True, "metadata": {"axes": "TYX"}}))
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    path.write_bytes(path.read_bytes()[: start + 4 * 20 * 30 * 2 + 100])
    movie = _same(path, stack[:4])
    # the description of an OME-TIFF comes last: how many frames there were is lost
    assert ("there may have been more" if kind == "ome" else "4 of 6 frames are there") in movie.notes[0]


def test_truncated_pages_keep_their_frames(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.tif"
    with tifffile.TiffWriter(path) as file:
        for frame in stack:
            file.write(frame, compression="zlib", metadata=None)
    path.write_bytes(path.read_bytes()[:-700])
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack[: len(movie)])
    assert 2 <= len(movie) < 6
    assert "ends in the void" in movie.notes[0] or "frames are there" in movie.notes[0]


@pytest.mark.parametrize(
    ("array", "options", "found"),
    [
        (np.zeros((20, 30, 3), np.uint8), {"photometric": "rgb"}, "colour image"),
        (np.zeros((5, 20, 30, 3), np.uint8), {"photometric": "rgb"}, "colour image"),
        (np.zeros((20, 30), np.uint16), {}, "single frame"),
        (np.zeros((1, 20, 30), np.uint16), {"imagej": True}, "single frame"),
        (np.zeros((3, 4, 20, 30), np.uint16), {"imagej": True, "metadata": {"axes": "TZYX"}}, "3 times and 4 slices"),
        (np.zeros((3, 4, 20, 30), np.uint16), {"ome": True, "metadata": {"axes": "TZYX"}}, "3 times and 4 slices"),
        (np.zeros((6, 5, 20, 30), np.uint16), {}, r"shape \(6, 5, 20, 30\)"),
        (np.zeros((6, 20, 30), np.complex64), {}, "kind 6"),
    ],
)
def test_what_is_no_movie(tmp_path: Path, array: np.ndarray, options: dict, found: str) -> None:
    path = tmp_path / "other.tif"
    tifffile.imwrite(path, array, **options)
    with pytest.raises(MovieFileError, match=f"other.*{found}.*expected") as caught:
        read_movie(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"hello, world, this is text", "something else"),
        (b"II", "cut off"),
        (b"", "empty"),
    ],
)
def test_wrong_ending(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "movie.tif"
    path.write_bytes(content)
    with pytest.raises(MovieFileError, match=found):
        read_movie(path)


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(2, 5),
    rows=st.integers(2, 40),
    columns=st.integers(2, 40),
    dtype=st.sampled_from(TYPES),
    compression=st.sampled_from([None, "lzw", "zlib", "zstd"]),
    strip=st.integers(1, 40),
    byteorder=st.sampled_from("<>"),
)
def test_any_stack_round_trips(
    tmp_path_factory: pytest.TempPathFactory,
    frames: int,
    rows: int,
    columns: int,
    dtype: str,
    compression: str | None,
    strip: int,
    byteorder: str,
) -> None:
    path = tmp_path_factory.mktemp("any") / "movie.tif"
    data = np.random.default_rng(rows).integers(0, 127, (frames, rows, columns)).astype(dtype)
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": "TYX"}}
    tifffile.imwrite(path, data, compression=compression, rowsperstrip=strip, byteorder=byteorder, **options)
    _same(path, data)


@pytest.mark.parametrize("order", ["<", ">"])
def test_compressed_and_plain_pages_in_one_stack(tmp_path: Path, stack: np.ndarray, order: str) -> None:
    path = tmp_path / "film.tif"
    with tifffile.TiffWriter(path, byteorder=order) as file:
        for i, frame in enumerate(stack):
            file.write(frame, compression="zlib" if i % 2 else None, metadata=None, contiguous=False)
    np.testing.assert_array_equal(read_movie(path).data, stack)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_that_was_replaced_is_not_read_as_the_one_that_was_opened(tmp_path, compression):
    path = tmp_path / "movie.tif"
    stack = np.random.default_rng(0).integers(0, 4096, (5, 20, 30), np.uint16)
    tifffile.imwrite(path, stack, compression=compression)
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.frame(3), stack[3])
    with path.open("ab") as file:
        file.write(b"more")
    np.testing.assert_array_equal(movie.frame(3), stack[3])
    write_movie(movie.with_data(stack.astype(np.float32)), path)
    with pytest.raises(
        MovieFileError, match=r"frame 3 cannot be read \(another file has its name now\); open it again"
    ):
        movie.frame(3)
