from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_noise2atom.io import read_movie, tiffwrite, write_tiff, write_zarr
from napari_noise2atom.movie import Movie


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej_round_trip(tmp_path: Path, stack: np.ndarray, dtype: str) -> None:
    path, steps = tmp_path / "film.tif", []
    movie = Movie(stack.astype(dtype), 0.03, 1 / 15, "film")
    write_tiff(movie, path, progress=lambda *step: steps.append(step))
    read = read_movie(path)
    np.testing.assert_array_equal(read.data, stack)
    assert read.data.dtype == dtype
    assert read.pixel_size_nm == pytest.approx(0.03)
    assert read.frame_time_s == pytest.approx(1 / 15)
    assert steps == [(i + 1, 6) for i in range(6)]
    assert [f.name for f in tmp_path.iterdir()] == ["film.tif"]
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "nm"
        assert file.imagej_metadata["frames"] == 6
        np.testing.assert_array_equal(file.asarray(), stack)


@pytest.mark.parametrize("dtype", ["int16", ">u4", "float64", "float16", ">f4"])
def test_types_unknown_to_imagej_become_float32(tmp_path: Path, stack: np.ndarray, dtype: str) -> None:
    write_tiff(Movie(stack.astype(dtype)), tmp_path / "film.tif")
    movie = read_movie(tmp_path / "film.tif")
    assert movie.data.dtype == np.float32
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.pixel_size_nm is None
    assert movie.frame_time_s is None


def test_beyond_4_gb_it_is_an_ome_bigtiff(tmp_path: Path, stack: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiffwrite, "_CLASSIC_BYTES", 1000)
    path = tmp_path / "film.tif"
    write_tiff(Movie(stack, 0.03, 0.04, "film"), path)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert file.is_ome
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.pixel_size_nm == pytest.approx(0.03)
    assert movie.frame_time_s == pytest.approx(0.04)


def test_a_failure_costs_no_earlier_file(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.tif"
    write_tiff(Movie(stack), path)

    def fail(block: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    broken = da.from_array(stack, chunks=(1, -1, -1)).map_blocks(fail, meta=stack[:0])
    with pytest.raises(ZeroDivisionError):
        write_tiff(Movie(broken), path)
    np.testing.assert_array_equal(read_movie(path).data, stack)
    assert [f.name for f in tmp_path.iterdir()] == ["film.tif"]


def test_a_movie_can_replace_its_own_file(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.tif"
    write_tiff(Movie(stack), path)
    write_tiff(read_movie(path), path)
    np.testing.assert_array_equal(read_movie(path).data, stack)


@pytest.mark.parametrize("write", [write_tiff, write_zarr])
def test_large_movies_stream(tmp_path: Path, write, grown_mib: Callable[[], float]) -> None:
    """40 frames of 2048 × 2048 float32, 640 MiB, pass through less than a quarter of that."""
    data = da.zeros((40, 2048, 2048), chunks=(1, -1, -1), dtype=np.float32)
    path = tmp_path / ("film.tif" if write is write_tiff else "film.zarr")
    write(Movie(data), path)
    movie = read_movie(path)
    assert all(float(movie.frame(i).max()) == 0 for i in range(len(movie)))
    assert grown_mib() < 160
