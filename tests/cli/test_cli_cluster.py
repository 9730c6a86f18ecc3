"""Denoising by the workers of a dask cluster, in processes of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import dask.array as da
import numpy as np
import pytest

from napari_noise2atom.inference import denoise
from napari_noise2atom.io import read_movie
from napari_noise2atom.io.cluster import connected, worker_threads, write_zarr_on_cluster
from napari_noise2atom.movie import Movie

FRAMES = 24


@contextmanager
def background(folder, *words):
    """Run a module as long as the context lasts; yield the process and the file of what it says."""
    said = folder / f"{words[0]}-{uuid4().hex[:6]}.txt"
    with said.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=folder, stdout=file, stderr=file)
    try:
        yield process, said
    finally:
        process.kill()
        process.wait()


def address_of(scheduler, said):
    """Wait until the scheduler tells where it is."""
    end = time.monotonic() + 100
    while not (found := re.search(r"Scheduler at: +(tcp://\S+)", said.read_text())):
        assert scheduler.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.1)
    return found[1]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers of one thread, without a nanny that would start them again."""
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
    module = "distributed.cli.dask_scheduler"
    with background(tmp_path, module, "--host", "127.0.0.1", "--port", "0", "--no-dashboard") as scheduler:
        address = address_of(*scheduler)
        worker = partial(background, tmp_path, "distributed.cli.dask_worker", address, *options)
        with worker() as (first, _), worker() as (second, _):
            with connected(address) as client:
                client.wait_for_workers(2, timeout=100)
            yield address, (first, second)


def slow_movie(log):
    """A movie each of whose frames takes a while, and writes its number and process before and after."""

    def note(text):
        with open(log, "a") as file:
            file.write(f"{text} {os.getpid()}\n")

    def compute(block_id):
        note(f"begun {block_id[0]}")
        time.sleep(0.15)
        note(f"done {block_id[0]}")
        return np.full((1, 8, 9), block_id[0], np.float32)

    meta = np.empty((0, 0, 0), np.float32)
    data = da.map_blocks(compute, chunks=((1,) * FRAMES, (8,), (9,)), dtype=np.float32, meta=meta)
    return Movie(data, 0.02, 0.1, "slow")


def read_log(path):
    return [(kind, int(frame), int(pid)) for kind, frame, pid in map(str.split, path.read_text().splitlines())]


def test_a_killed_worker_loses_no_frame_and_none_is_computed_twice(cluster, tmp_path):
    address, workers = cluster
    log, out, seen = tmp_path / "log.txt", tmp_path / "out.zarr", []

    def kill_half_way(done, total):
        seen.append(done)
        if done == total // 2:
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait(30)

    with connected(address) as client:
        assert worker_threads(client) == 1
        write_zarr_on_cluster(slow_movie(log), out, client, progress=kill_half_way)
    assert seen == list(range(FRAMES + 1))
    movie = read_movie(out)
    assert not movie.notes
    np.testing.assert_array_equal(movie.data[:, 0, 0], np.arange(FRAMES))
    lines = read_log(log)
    assert {pid for _, _, pid in lines} == {worker.pid for worker in workers}
    finished = Counter(frame for kind, frame, _ in lines if kind == "done")
    begun = Counter(frame for kind, frame, _ in lines if kind == "begun")
    assert set(finished) == set(range(FRAMES))
    cut_short = {frame for frame in begun if begun[frame] > 1}
    assert len(cut_short) <= 1, "the killed worker had one frame in hand"
    assert set(finished.values()) <= {1, 2}
    assert {frame for frame in finished if finished[frame] > 1} <= cut_short


def test_an_unfinished_folder_is_gone_on_with(cluster, tmp_path):
    log, out = tmp_path / "log.txt", tmp_path / "out.zarr"
    movie = slow_movie(log)
    with connected(cluster[0]) as client:
        write_zarr_on_cluster(movie, out, client)
        for index in (3, 17):
            (out / "0" / "c" / str(index) / "0" / "0").unlink()
        log.unlink()
        write_zarr_on_cluster(movie, out, client, resume=True)
    assert {frame for _, frame, _ in read_log(log)} == {3, 17}
    np.testing.assert_array_equal(read_movie(out).data[:, 0, 0], np.arange(FRAMES))


def test_what_fails_in_a_worker_is_said_here(cluster, tmp_path):
    def fail(block_id):
        raise ValueError("frame 1 is damaged")

    data = da.map_blocks(fail, chunks=((1,) * 4, (8,), (9,)), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    with connected(cluster[0]) as client, pytest.raises(ValueError, match="frame 1 is damaged"):
        write_zarr_on_cluster(Movie(data), tmp_path / "out.zarr", client)


def test_a_cluster_denoises_several_movies(noise2atom, cluster, movie_file, model_file, model, tmp_path):
    shutil.copy(movie_file, tmp_path / "second.tif")
    words = ("denoise", "movie.tif", "second.tif", "-m", model_file, "-o", "results", "--device", "cpu")
    ended = noise2atom(*words, "--scheduler", cluster[0])
    assert ended.code == 0, ended.err
    expected = denoise(read_movie(movie_file), model, device="cpu", threads=1)
    for name in ("movie", "second"):
        denoised = read_movie(tmp_path / "results" / f"{name}_denoised.zarr")
        np.testing.assert_allclose(denoised.data, expected.data, atol=1e-5)
        assert denoised.pixel_size_nm == pytest.approx(expected.pixel_size_nm)
    assert noise2atom(*words, "--scheduler", cluster[0]).code == 2, "there already"
    assert noise2atom(*words, "--scheduler", cluster[0], "--resume").code == 0


def test_several_movies_without_a_cluster(noise2atom, movie_file, model_file, tmp_path):
    shutil.copy(movie_file, tmp_path / "second.tif")
    ended = noise2atom("denoise", "movie.tif", "second.tif", "-m", model_file, "-o", "results")
    assert ended.code == 0, ended.err
    first, second = (read_movie(tmp_path / "results" / f"{name}_denoised.zarr") for name in ("movie", "second"))
    np.testing.assert_array_equal(first.data, second.data)


def test_wrong_use_is_refused(noise2atom, movie_file, model_file, tmp_path):
    words = ("denoise", "movie.tif", "-m", model_file)
    ended = noise2atom(*words, "-o", "out.tif", "--scheduler", "tcp://localhost:1")
    assert (ended.code, "writes .zarr only" in ended.err) == (2, True)
    ended = noise2atom(*words, "movie.tif", "-o", "out.zarr")
    assert (ended.code, "expected a folder" in ended.err) == (2, True)
    (tmp_path / "other").mkdir()
    shutil.copy(movie_file, tmp_path / "other")
    ended = noise2atom(*words, "other/movie.tif", "-o", "results")
    assert (ended.code, "have the same name" in ended.err) == (2, True)


def test_a_scheduler_that_does_not_answer_is_said(noise2atom, movie_file, model_file, monkeypatch):
    monkeypatch.setattr("napari_noise2atom.io.cluster.CONNECT_S", 1)
    ended = noise2atom("denoise", "movie.tif", "-m", model_file, "-o", "out.zarr", "--scheduler", "tcp://localhost:1")
    assert ended.code == 1
    assert "no dask scheduler answers at tcp://localhost:1" in ended.err
    assert "start one with 'dask scheduler'" in ended.err
