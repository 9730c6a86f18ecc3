import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_noise2atom.io import MovieFileError, omezarr, read_movie, write_movie, write_zarr
from napari_noise2atom.movie import Movie


def _chunk(path: Path, index: int) -> Path:
    return path / "0" / "c" / str(index) / "0" / "0"


def _counting(data: np.ndarray, seen: list[int]) -> Movie:
    """Return a lazy movie that notes which frames are computed."""

    def compute(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        seen.append(block_info[0]["chunk-location"][0])
        return block

    lazy = da.from_array(data, chunks=(1, *data.shape[1:])).map_blocks(compute, dtype=data.dtype, meta=data[:0])
    return Movie(lazy, 0.02, 0.1, "film")


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int32", "float16", "float32", "float64"])
def test_round_trip(tmp_path: Path, stack: np.ndarray, dtype: str) -> None:
    path, steps = tmp_path / "film.zarr", []
    write_zarr(Movie(stack.astype(dtype), 0.02, 0.1, "film"), path, progress=lambda *step: steps.append(step))
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.data.dtype == np.dtype(dtype).newbyteorder("=")
    assert movie.data.chunks[0] == (1,) * 6
    assert (movie.pixel_size_nm, movie.frame_time_s, movie.name, movie.notes) == (0.02, 0.1, "film", ())
    assert steps == [(i, 6) for i in range(7)]


def test_unknown_calibration_stays_unknown(tmp_path: Path, stack: np.ndarray) -> None:
    write_zarr(Movie(stack), tmp_path / "film.zarr")
    movie = read_movie(tmp_path / "film.zarr")
    assert movie.pixel_size_nm is None
    assert movie.frame_time_s is None


def test_resuming_computes_only_what_is_missing(tmp_path: Path, stack: np.ndarray) -> None:
    path, seen = tmp_path / "film.zarr", []
    data = stack.astype(np.float32)
    data[2] = 0  # a frame of the fill value must not count as missing
    movie = _counting(data, seen)
    write_zarr(movie, path)
    for index in (4, 5):
        _chunk(path, index).unlink()
    assert "4 of 6 frames are there" in read_movie(path).notes[0]
    seen.clear()
    write_zarr(movie, path, resume=True)
    assert sorted(seen) == [4, 5]
    np.testing.assert_array_equal(read_movie(path).data, data)
    seen.clear()
    write_zarr(movie, path, resume=True)
    assert seen == []


_KILLED = """
    import os, signal, sys
    import numpy as np
    from napari_noise2atom.io import write_zarr
    from napari_noise2atom.movie import Movie

    def kill(done, total):
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    data = np.arange(6 * 20 * 30, dtype=np.float32).reshape(6, 20, 30)
    write_zarr(Movie(data, 0.02, 0.1, "film"), sys.argv[1], progress=kill)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no kill -9")
def test_resuming_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "film.zarr"
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(_KILLED), str(path)], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    data, seen = np.arange(6 * 20 * 30, dtype=np.float32).reshape(6, 20, 30), []
    write_zarr(_counting(data, seen), path, resume=True)
    assert sorted(seen) == [3, 4, 5]
    np.testing.assert_array_equal(read_movie(path).data, data)


@pytest.mark.parametrize("left", [["zarr.json"], ["zarr.json", "0/zarr.json"], []])
def test_resuming_what_was_killed_at_once(tmp_path: Path, stack: np.ndarray, left: list[str]) -> None:
    path, full = tmp_path / "film.zarr", tmp_path / "full.zarr"
    write_zarr(Movie(stack), full)
    bare = zarr.open_group(str(path), mode="w", zarr_format=3)
    assert dict(bare.attrs) == {}
    if "0/zarr.json" in left:
        (path / "0").mkdir()
        (path / "0" / "zarr.json").write_bytes((full / "0" / "zarr.json").read_bytes())
    if not left:
        (path / "zarr.json").unlink()
    write_zarr(Movie(stack), path, resume=True)
    np.testing.assert_array_equal(read_movie(path).data, stack)


def test_another_movie_at_the_path_is_refused(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.zarr"
    write_zarr(Movie(stack, name="film"), path)
    for other in (
        Movie(stack[:5], name="film"),
        Movie(stack.astype(float), name="film"),
        Movie(stack, 0.1, name="film"),
    ):
        with pytest.raises(MovieFileError, match="holds another movie"):
            write_zarr(other, path, resume=True)
    with pytest.raises(MovieFileError, match="is there already; delete it"):
        write_zarr(Movie(stack), path)
    np.testing.assert_array_equal(read_movie(path).data, stack)


def test_resuming_into_something_else_is_refused(tmp_path: Path, stack: np.ndarray) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MovieFileError, match="is there already"):
        write_zarr(Movie(stack), tmp_path, resume=True)
    target = tmp_path / "others.zarr"
    zarr.open_group(str(target), mode="w").create_array("1", shape=(3,), dtype="f4")
    with pytest.raises(MovieFileError, match="is there already"):
        write_zarr(Movie(stack), target, resume=True)
    assert (tmp_path / "thesis.tex").exists()
    assert (target / "1").exists()


def _write_04(path: Path, levels: list[np.ndarray], axes: list[dict[str, str]], scale: list[float]) -> None:
    """Write OME-Zarr 0.4 with the level of full resolution first."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    datasets = []
    for i, level in enumerate(levels):
        group.create_array(f"s{i}", shape=level.shape, chunks=(2, *level.shape[1:]), dtype=level.dtype)[:] = level
        steps = [*scale[:-2], scale[-2] * 2**i, scale[-1] * 2**i]
        datasets.append({"path": f"s{i}", "coordinateTransformations": [{"type": "scale", "scale": steps}]})
    group.attrs["multiscales"] = [{"version": "0.4", "name": "film", "axes": axes, "datasets": datasets}]


_T, _Y, _X = (
    {"name": "t", "unit": "millisecond"},
    {"name": "y", "unit": "picometer"},
    {"name": "x", "unit": "picometer"},
)


def test_version_04_with_a_pyramid(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.ome.zarr"
    _write_04(path, [stack, stack[:, ::2, ::2]], [_T, _Y, _X], [20, 50, 50])
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert movie.pixel_size_nm == pytest.approx(0.05)
    assert movie.frame_time_s == pytest.approx(0.02)
    assert movie.name == "film"


def test_five_axes_and_channels(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "film.zarr"
    data = np.stack([stack, stack + 100], axis=1)[:, :, None]
    _write_04(path, [data], [_T, {"name": "c"}, {"name": "z"}, _Y, _X], [20, 1, 1, 50, 50])
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, stack)
    assert "holds 2 movies" in movie.notes[0]
    np.testing.assert_array_equal(read_movie(path, signal="film channel 2").data, stack + 100)


def test_bare_array(tmp_path: Path, stack: np.ndarray) -> None:
    for version in (2, 3):
        path = tmp_path / f"bare{version}.zarr"
        array = zarr.open_array(str(path), mode="w", shape=stack.shape, dtype=stack.dtype, zarr_format=version)
        array[:] = stack
        np.testing.assert_array_equal(read_movie(path).data, stack)


@pytest.mark.parametrize(
    ("shape", "found"),
    [((20, 30), "shape"), ((3, 4, 20, 30), "shape"), ((1, 20, 30), "shape"), ((2**40, 9, 9), "header")],
)
def test_what_is_no_movie(tmp_path: Path, shape: tuple[int, ...], found: str) -> None:
    path = tmp_path / "other.zarr"
    zarr.open_array(
        str(path), mode="w", shape=shape, chunks=shape[-2:] if len(shape) == 2 else (1,) * len(shape), dtype="u1"
    )
    with pytest.raises(MovieFileError, match=f"{found}.*expected"):
        read_movie(path)


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"zarr_format": 3, "node_type": "group", "attributes": 5}'])
def test_damaged_metadata(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.zarr"
    path.mkdir()
    (path / "zarr.json").write_text(text)
    with pytest.raises(MovieFileError):
        read_movie(path)


@pytest.mark.parametrize("multiscales", [5, [{}], [{"axes": ["t"], "datasets": [{"path": "nowhere"}]}]])
def test_damaged_description(tmp_path: Path, multiscales: object) -> None:
    path = tmp_path / "broken.zarr"
    zarr.open_group(str(path), mode="w").attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    with pytest.raises(MovieFileError, match="not a readable OME-Zarr"):
        read_movie(path)


def test_empty_folder_called_zarr(tmp_path: Path) -> None:
    path = tmp_path / "film.zarr"
    path.mkdir()
    with pytest.raises(MovieFileError, match="not a Zarr store"):
        read_movie(path)


def test_write_movie_takes_the_ending(tmp_path: Path, stack: np.ndarray) -> None:
    for name in ("film.zarr", "film.TIF", "film.tiff"):
        write_movie(Movie(stack, 0.02, 0.1), tmp_path / name)
        np.testing.assert_array_equal(read_movie(tmp_path / name).data, stack)
    with pytest.raises(MovieFileError, match=r"cannot write files ending in '.mp3'"):
        write_movie(Movie(stack), tmp_path / "film.mp3")


@pytest.mark.parametrize("axes", ["tyx", "tcyx"])
def test_a_chunk_of_several_frames_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str) -> None:
    stack = np.random.default_rng(0).integers(0, 4096, (12, 20, 30), np.uint16)
    shape, chunks = ((12, 20, 30), (5, 10, 30)) if axes == "tyx" else ((12, 1, 20, 30), (5, 1, 20, 30))
    array = zarr.create_array(tmp_path / "movie.zarr", shape=shape, chunks=chunks, dtype=stack.dtype)
    array[:] = stack.reshape(shape)
    decoded: list[int | slice] = []
    read = omezarr._ChunkReader._read
    monkeypatch.setattr(omezarr._ChunkReader, "_read", lambda self, time: decoded.append(time) or read(self, time))
    movie = pickle.loads(pickle.dumps(read_movie(tmp_path / "movie.zarr")))
    decoded.clear()
    np.testing.assert_array_equal(np.stack([*movie.stream(range(12))]), stack)
    assert decoded == [slice(0, 5), slice(5, 10), slice(10, 15)]
    np.testing.assert_array_equal(movie.data[3], stack[3])
