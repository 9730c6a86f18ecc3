import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_noise2atom.io import MovieFileError, read_movie
from napari_noise2atom.io.folder import natural_order


@pytest.mark.parametrize("dtype", ["uint8", ">i2", "float16", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, stack: np.ndarray, dtype: str, order: str) -> None:
    path = tmp_path / "film.npy"
    np.save(path, np.asarray(stack.astype(dtype), order=order))
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.dtype == np.dtype(dtype).newbyteorder("=")
    assert movie.data.chunks[0] == (1,) * 6


def test_npy_that_is_cut_off(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.npy"
    np.save(path, stack)
    path.write_bytes(path.read_bytes()[:-1300])
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack[:4])
    assert "4 of 6 frames are there" in movie.notes[0]
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(MovieFileError, match="cut off"):
        read_movie(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 6)),
        np.zeros((2, 3, 5, 6)),
        np.zeros((1, 5, 6)),
        np.zeros((0, 5, 6)),
        np.zeros((3, 0, 6)),
        np.zeros((3, 5, 6), complex),
        np.array(["text"]),
        np.array([None, {}], object),
    ],
)
def test_npy_that_is_no_movie(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "other.npy"
    np.save(path, array)
    with pytest.raises(MovieFileError, match=r"other\.npy.*expected"):
        read_movie(path)


def test_a_single_image_is_called_one(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((64, 48)))
    with pytest.raises(MovieFileError, match="got a single image of 64 × 48 px; expected a movie") as caught:
        read_movie(tmp_path / "flat.npy")
    assert "part" not in str(caught.value)


def test_npy_header_of_terabytes(tmp_path: Path) -> None:
    path = tmp_path / "huge.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1000, 16384, 16384)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(1000))
    with pytest.raises(MovieFileError, match="cut off"):
        read_movie(path)


def test_damaged_npy(tmp_path: Path, stack: np.ndarray) -> None:
    path, rng = tmp_path / "film.npy", np.random.default_rng(3)
    np.save(path, stack)
    sound = path.read_bytes()
    for _ in range(100):
        broken = bytearray(sound)
        for place in rng.integers(0, 128, 2):
            broken[place] = rng.integers(256)
        path.write_bytes(bytes(broken))
        try:
            movie = read_movie(path)
            movie.frame(len(movie) - 1)
        except MovieFileError:
            continue


def test_natural_order() -> None:
    names = ["f10.tif", "f9.tif", "F1.tif", "f02.tif", "f2b.tif", "a.tif"]
    assert sorted(names, key=natural_order) == ["a.tif", "F1.tif", "f02.tif", "f2b.tif", "f9.tif", "f10.tif"]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("ending", ["tif", "npy", "png"])
def test_folder_of_frames(tmp_path: Path, ending: str, compression: str | None) -> None:
    data = np.random.default_rng(0).integers(0, 2**16, (12, 8, 9)).astype(np.uint16)
    for i, frame in enumerate(data):
        path = tmp_path / f"frame{i}.{ending}"
        if ending == "tif":
            options = {"resolution": (2e8, 2e8), "resolutionunit": 3, "metadata": None}
            tifffile.imwrite(path, frame, compression=compression, **options)
        elif ending == "npy":
            np.save(path, frame)
        else:
            path.write_bytes(imagecodecs.png_encode(frame))
    (tmp_path / "notes.txt").write_text("beam on at 9")
    (tmp_path / f".hidden.{ending}").write_text("")
    movie = read_movie(tmp_path)
    np.testing.assert_array_equal(movie.data, data)
    assert movie.data.chunks[0] == (1,) * 12
    assert movie.pixel_size_nm == (pytest.approx(0.05) if ending == "tif" else None)


@pytest.mark.parametrize(("first", "other"), [("uint8", "uint16"), ("uint16", "float32"), ("uint16", "int16")])
def test_folder_of_frames_of_several_types(tmp_path: Path, stack: np.ndarray, first: str, other: str) -> None:
    for i, dtype in enumerate([first, first, other]):
        np.save(tmp_path / f"{i}.npy", stack[i].astype(dtype))
    movie = read_movie(tmp_path)
    np.testing.assert_array_equal(movie.frame(1), stack[1])
    with pytest.raises(MovieFileError, match=f"frame 2 is {other}, the first is {first}; convert them to one type"):
        movie.frame(2)


def test_folder_of_frames_that_fit_into_the_type_of_the_first(tmp_path: Path, stack: np.ndarray) -> None:
    for i, dtype in enumerate(["float32", "uint16", ">u2", "uint8"]):
        np.save(tmp_path / f"{i}.npy", stack[i].astype(dtype))
    np.testing.assert_array_equal(read_movie(tmp_path).data, stack[:4])


def test_folders_that_are_no_movie(tmp_path: Path, stack: np.ndarray) -> None:
    with pytest.raises(MovieFileError, match="no frames in this folder"):
        read_movie(tmp_path)
    np.save(tmp_path / "1.npy", stack[0])
    with pytest.raises(MovieFileError, match="single frame"):
        read_movie(tmp_path)
    np.save(tmp_path / "2.npy", stack[0, :4])
    with pytest.raises(MovieFileError, match=r"frame 1 cannot be read .*shape"):
        read_movie(tmp_path).frame(1)
    tifffile.imwrite(tmp_path / "3.tif", stack[0])
    with pytest.raises(MovieFileError, match="several formats, NumPy, TIFF"):
        read_movie(tmp_path)


def test_folder_of_stacks_or_photographs(tmp_path: Path, stack: np.ndarray) -> None:
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", stack)
    with pytest.raises(MovieFileError, match="holds 6 images; expected one frame"):
        read_movie(tmp_path)
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", np.zeros((9, 9, 3), np.uint8), photometric="rgb")
    with pytest.raises(MovieFileError, match="colour"):
        read_movie(tmp_path)


def test_missing_empty_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(MovieFileError, match="there is no such file"):
        read_movie(tmp_path / "none.tif")
    for ending in ("tif", "npy", "dm4", "ser", "mrc", "emd"):
        (tmp_path / f"empty.{ending}").touch()
        with pytest.raises(MovieFileError, match="is empty"):
            read_movie(tmp_path / f"empty.{ending}")
    for name in ("film.mp4", "film"):
        (tmp_path / name).write_bytes(b"something")
        with pytest.raises(MovieFileError, match=re.escape(".tif, .tiff, .zarr")):
            read_movie(tmp_path / name)


@pytest.mark.parametrize("ending", [".tif", ".npy", ".ser", ".mrc", ".dm3", ".dm4", ".emd", ".hspy", ".zarr", ".zspy"])
def test_wrong_endings(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"letter{ending}"
    path.write_text("Dear colleague, " * 200)
    with pytest.raises(MovieFileError, match=f"letter{ending}"):
        read_movie(path)


def test_a_signal_cannot_be_chosen_where_there_is_one(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.npy"
    np.save(path, stack)
    assert len(read_movie(path, signal=0)) == 6
    with pytest.raises(MovieFileError, match="no signal 'HAADF'"):
        read_movie(path, signal="HAADF")
