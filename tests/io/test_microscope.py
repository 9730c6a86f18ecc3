import sys
from pathlib import Path

import numpy as np
import pytest
from microscope_files import write_dm, write_mrc, write_ser, write_velox, write_zspy

from napari_noise2atom.io import MovieFileError, read_movie

rsciio = pytest.importorskip("rsciio")


def _axes(names: str, sizes: tuple[int, ...], scales: list[float], units: list[str]) -> list[dict]:
    return [
        {
            "name": names[i],
            "size": n,
            "index_in_array": i,
            "scale": scales[i],
            "offset": 0.0,
            "units": units[i],
            "navigate": i < len(sizes) - 2,
        }
        for i, n in enumerate(sizes)
    ]


def _signal(data: np.ndarray, scales: list[float], units: list[str], signal_type: str = "") -> dict:
    return {
        "data": data,
        "axes": _axes("tyx" if data.ndim == 3 else "uvyx"[-data.ndim :], data.shape, scales, units),
        "metadata": {"General": {"title": "survey"}, "Signal": {"signal_type": signal_type}},
        "original_metadata": {},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {"package": "hyperspy", "package_version": "2.0"},
        "learning_results": {},
        "tmp_parameters": {},
        "post_process": [],
        "models": {},
    }


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("dtype", ["int16", "float32", "uint8", "uint16", "int32"])
def test_dm(tmp_path: Path, stack: np.ndarray, version: int, dtype: str) -> None:
    path = tmp_path / f"movie.dm{version}"
    write_dm(path, {"HAADF": (stack.astype(dtype), [0.25, 0.03, 0.03], ["s", "nm", "nm"])})
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.dtype == dtype
    assert movie.data.chunks[0] == (1,) * 6
    assert movie.pixel_size_nm == pytest.approx(0.03)
    assert movie.frame_time_s == pytest.approx(0.25)
    assert movie.notes == ()
    np.testing.assert_array_equal(movie.frame(2), stack[2])


def test_dm_with_several_images(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "several.dm4"
    units = ["s", "nm", "nm"]
    write_dm(
        path,
        {
            "overview": (stack[0], [0.1, 0.1], ["nm", "nm"]),
            "HAADF": (stack, [0.5, 30, 30], ["s", "pm", "pm"]),
            "BF": (stack[::-1].copy(), [0.5, 0.03, 0.03], units),
        },
    )
    first = read_movie(path)
    np.testing.assert_array_equal(first.data, stack)
    assert first.pixel_size_nm == pytest.approx(0.03)
    assert "'HAADF'" in first.notes[0]
    assert "1 'BF'" in first.notes[0]
    for signal in (1, "BF", "1"):
        np.testing.assert_array_equal(read_movie(path, signal=signal).data, stack[::-1])
    with pytest.raises(MovieFileError, match="no signal 'DF'; choose one of 0 'HAADF', 1 'BF'"):
        read_movie(path, signal="DF")


def test_dm_of_a_single_image_or_a_spectrum_is_no_movie(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "single.dm3"
    write_dm(path, {"image": (stack[0], [1, 1], ["nm", "nm"]), "line": (stack[0, 0], [1], ["eV"])})
    with pytest.raises(MovieFileError, match="'image' is a single image; 'line' is a spectrum"):
        read_movie(path)


def test_dm_diffraction_patterns_are_noted(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "patterns.dm4"
    write_dm(path, {"CBED": (stack, [1, 0.1, 0.1], ["s", "1/nm", "1/nm"])})
    movie = read_movie(path)
    assert movie.pixel_size_nm is None
    assert "diffraction" in movie.notes[0]


@pytest.mark.parametrize("ending", [".dm3", ".dm4"])
def test_damaged_dm_is_refused(tmp_path: Path, stack: np.ndarray, ending: str) -> None:
    path = tmp_path / f"movie{ending}"
    write_dm(path, {"HAADF": (stack, [0.25, 0.03, 0.03], ["s", "nm", "nm"])})
    sound, rng = path.read_bytes(), np.random.default_rng(11)
    for trial in range(60):
        broken = bytearray(sound[: rng.integers(1, len(sound))] if trial % 3 == 0 else sound)
        for position in rng.integers(0, min(700, len(broken)), 3):
            broken[position] = rng.integers(256)
        path.write_bytes(bytes(broken))
        refusal = ""
        try:
            movie = read_movie(path)
            movie.frame(len(movie) - 1)
        except MovieFileError as error:
            refusal = str(error)
        assert "\n" not in refusal


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_ser(tmp_path: Path, stack: np.ndarray, dtype: str) -> None:
    path = tmp_path / "movie.ser"
    write_ser(path, stack.astype(dtype), 2.5e-11, 1_600_000_000 + 4 * np.arange(6))
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.dtype == dtype
    assert movie.pixel_size_nm == pytest.approx(0.025)
    assert movie.frame_time_s == pytest.approx(4)


@pytest.mark.parametrize("begun_s", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("frame_s", [0.025, 0.3, 1.5, 5.0])
def test_ser_tells_a_frame_time_only_where_its_stamps_of_whole_seconds_do(
    tmp_path: Path, frame_s: float, begun_s: float
) -> None:
    path = tmp_path / "movie.ser"
    write_ser(
        path, np.zeros((20, 4, 4), np.uint8), 1e-11, (1_600_000_000 + begun_s + frame_s * np.arange(20)).astype(int)
    )
    told = read_movie(path).frame_time_s
    assert told is None if frame_s < 1 else told == pytest.approx(frame_s, rel=0.05)


def test_ser_agrees_with_rosettasciio(tmp_path: Path) -> None:
    from rsciio.tia import file_reader

    square = np.random.default_rng(1).integers(0, 99, (4, 16, 16)).astype(np.uint16)
    path = tmp_path / "movie.ser"
    write_ser(path, square, 2.5e-11, np.arange(4))
    reference = file_reader(str(path))[0]
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, reference["data"])
    assert movie.pixel_size_nm == pytest.approx(reference["axes"][-1]["scale"])


def test_unfinished_ser_keeps_what_is_there(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.ser"
    write_ser(path, stack, 1e-11, np.arange(6), total=9)
    movie = read_movie(path)
    assert len(movie) == 6
    assert "6 of 9 frames are there" in movie.notes[0]
    path.write_bytes(path.read_bytes()[:-2000])
    movie = read_movie(path)
    assert len(movie) == 4
    np.testing.assert_array_equal(movie.data, stack[:4])
    assert "4 of 9 frames are there" in movie.notes[0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_mrc(tmp_path: Path, stack: np.ndarray, order: str, dtype: str) -> None:
    path = tmp_path / "movie.mrc"
    write_mrc(path, stack.astype(dtype), 0.03, order, extended=b"\0" * 256)
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.dtype == dtype
    assert movie.pixel_size_nm == pytest.approx(0.03)


def test_mrc_that_is_cut_off_or_asks_for_terabytes(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.mrc"
    write_mrc(path, stack, 0.03)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1300])
    movie = read_movie(path)
    assert len(movie) == 4
    assert "4 of 6 frames are there" in movie.notes[0]
    path.write_bytes((10**6).to_bytes(4, "little") * 3 + sound[12:])
    with pytest.raises(MovieFileError, match="header asks for the shape"):
        read_movie(path)


@pytest.mark.parametrize("ending", ["hspy", "emd"])
def test_what_rosettasciio_writes(tmp_path: Path, stack: np.ndarray, ending: str) -> None:
    from importlib import import_module

    path = tmp_path / f"movie.{ending}"
    writer = import_module(f"rsciio.{ending}").file_writer
    writer(str(path), _signal(stack.astype(np.float32), [0.1, 0.02, 0.02], ["s", "nm", "nm"]))
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.chunks[0] == (1,) * 6
    assert movie.pixel_size_nm == pytest.approx(0.02)
    assert movie.frame_time_s == pytest.approx(0.1)


def test_velox(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.emd"
    write_velox(path, {"HAADF": stack, "BF": stack[::-1]}, 2e-11, 0.25)
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.chunks[0] == (1,) * 6
    assert movie.pixel_size_nm == pytest.approx(0.02)
    assert movie.frame_time_s == pytest.approx(0.25)
    assert "holds 2 movies (0 'HAADF', 1 'BF')" in movie.notes[0]
    np.testing.assert_array_equal(read_movie(path, signal="BF").data, stack[::-1])


def test_zspy(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "movie.zspy"
    write_zspy(path, "survey", stack, _axes("tyx", stack.shape, [0.1, 20, 20], ["s", "pm", "pm"]))
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.pixel_size_nm == pytest.approx(0.02)
    assert movie.frame_time_s == pytest.approx(0.1)


def test_four_dimensional_data_are_no_movie(tmp_path: Path) -> None:
    from rsciio.hspy import file_writer

    path = tmp_path / "scan.hspy"
    data = np.zeros((2, 3, 8, 8), np.float32)
    file_writer(str(path), _signal(data, [1, 1, 1, 1], ["nm", "nm", "1/nm", "1/nm"]))
    with pytest.raises(MovieFileError, match="4-dimensional"):
        read_movie(path)


@pytest.mark.parametrize("ending", ["emd", "hspy"])
def test_damaged_hdf5_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"movie.{ending}"
    for content in (b"\x89HDF\r\n\x1a\n" + b"\0" * 500, b"not at all"):
        path.write_bytes(content)
        with pytest.raises(MovieFileError, match="not a readable"):
            read_movie(path)


def test_without_rosettasciio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "movie.dm4"
    path.write_bytes(b"\0\0\0\4")
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(MovieFileError, match=r"pip install 'napari-noise2atom\[em\]'"):
        read_movie(path)
