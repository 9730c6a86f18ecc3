import threading
import time
from itertools import count, islice

import dask.array as da
import numpy as np
import pytest

from napari_noise2atom.movie import Movie
from napari_noise2atom.streaming import compute_ahead, frames_at_once


def test_results_come_in_order_though_later_ones_are_done_sooner() -> None:
    def compute(index: int) -> int:
        time.sleep(0.02 * (3 - index % 4))
        return index

    assert list(compute_ahead(compute, range(12), 4)) == list(range(12))


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_are_computed_at_once_and_no_more(at_once: int) -> None:
    begun = 0
    together = threading.Barrier(at_once)

    def compute(index: int) -> int:
        nonlocal begun
        begun += 1
        together.wait(timeout=10)  # raises if fewer work at once
        return index

    results = compute_ahead(compute, range(4 * at_once), at_once)
    assert begun == 0, "nothing is computed before it is asked for"
    for index in results:
        assert begun <= index + 1 + at_once
    assert begun == 4 * at_once


def test_an_error_comes_in_its_turn_and_ends_the_rest() -> None:
    begun: list[int] = []

    def compute(index: int) -> int:
        begun.append(index)
        if index == 2:
            raise ValueError("frame 2")
        return index

    results = compute_ahead(compute, count(), 2)
    assert list(islice(results, 2)) == [0, 1]
    with pytest.raises(ValueError, match="frame 2"):
        next(results)
    assert len(begun) <= 5


def test_who_stops_asking_stops_the_threads() -> None:
    results = compute_ahead(lambda index: index, count(), 2)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_large_frames_are_computed_one_by_one() -> None:
    assert frames_at_once((2048, 2048)) == 1
    assert frames_at_once((512, 512)) > 1


@pytest.mark.parametrize("lazy", [False, True])
def test_a_movie_streams_the_frames_that_are_asked_for(lazy: bool) -> None:
    data = np.random.default_rng(0).integers(0, 9, (7, 4, 5), np.uint16)
    movie = Movie(da.from_array(data, chunks=(2, 4, 5)) if lazy else data)
    frames = list(movie.stream([5, 0, 6, 6]))
    assert {frame.dtype for frame in frames} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(frames, data[[5, 0, 6, 6]])
    np.testing.assert_array_equal(movie.frames([1, 3]), data[[1, 3]].astype(np.float32))
