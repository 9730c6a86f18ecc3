import tracemalloc

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_noise2atom.estimate.sample import neighbour_mean, sample_runs
from napari_noise2atom.metrics import find_atoms
from napari_noise2atom.movie import Movie, is_bad_frame


def numbered(frames: int, size: int = 6) -> np.ndarray:
    """Return frames that tell their number in one corner."""
    data = np.zeros((frames, size, size), np.float32)
    data[:, 0, 0] = np.arange(1, frames + 1)
    return data


@pytest.mark.parametrize("frames", [2, 5, 16, 30, 64, 1000])
def test_runs_are_consecutive_frames_from_all_over_the_movie(frames):
    runs = sample_runs(Movie(numbered(frames)))
    number = runs[:, :, 0, 0]
    assert runs.shape[0] == max(1, min(8, round(frames / 16)))
    assert runs.shape[1] == min(frames, 16)
    np.testing.assert_array_equal(np.diff(number, axis=1), 1)
    assert (number[0, 0], number[-1, -1]) == (1, frames)


def test_a_large_frame_is_sampled_in_its_middle():
    data = np.random.default_rng(0).random((2, 300, 400), dtype=np.float32)
    np.testing.assert_array_equal(sample_runs(Movie(data))[0], data[:, 22:278, 72:328])


@pytest.mark.parametrize("seed", range(5))
def test_where_there_is_only_noise_the_middle_is_sampled(seed):
    data = np.random.default_rng(seed).normal(size=(8, 512, 600)).astype(np.float32)
    np.testing.assert_array_equal(sample_runs(Movie(data))[0], data[:, 128:384, 172:428])


@pytest.mark.parametrize(("y", "x"), [(0, 0), (10, 550), (440, 300)])
def test_a_large_frame_is_sampled_where_there_is_something_to_see(y, x):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, 512, 640)).astype(np.float32)
    spots = np.zeros((512, 640), np.float32)
    spots[y : y + 72 : 9, x : x + 72 : 9] = 30
    data += gaussian_filter(spots, 1.5)
    shown = sample_runs(Movie(data))[0].mean(axis=0)
    assert np.count_nonzero(find_atoms(gaussian_filter(shown, 1.5))[:, 2] > 0.5) >= 0.8 * 64


def test_of_large_frames_fewer_are_sampled():
    assert len(sample_runs(Movie(np.ones((100, 256, 256), np.uint8) + np.eye(256, dtype=np.uint8)))) == 4


def test_a_lazy_movie_gives_the_same_sample():
    data = np.random.default_rng(1).random((20, 8, 8), dtype=np.float32)
    np.testing.assert_array_equal(sample_runs(Movie(da.from_array(data, chunks=(3, 8, 8)))), sample_runs(Movie(data)))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_bad_frames_are_left_out(value):
    data = numbered(64)
    data[[3, 20, 21, 63]] = value
    runs = sample_runs(Movie(data))
    assert not any(is_bad_frame(frame) for run in runs for frame in run)
    assert (np.diff(runs[:, :, 0, 0], axis=1) > 0).all()


@pytest.mark.parametrize("good", [0, 1])
def test_fewer_than_two_good_frames_are_refused(good):
    data = numbered(6)
    data[good:] = np.nan
    with pytest.raises(ValueError, match="film: found fewer than two usable frames"):
        sample_runs(Movie(data, name="film"))


def test_what_was_recorded_before_and_after_the_beam_was_on_is_left_out():
    data = numbered(600)
    data[:310], data[330:] = 7, 7
    runs = sample_runs(Movie(data))
    assert runs.shape[:2] == (1, 16)
    assert not any(is_bad_frame(frame) for frame in runs[0])


@pytest.mark.parametrize("reach", [1, 2, 5])
def test_the_neighbours_mean_leaves_out_the_frame_itself(reach):
    runs = np.random.default_rng(2).random((2, 6, 3, 3), dtype=np.float32)
    expected = np.stack(
        [
            np.stack([run[[j for j in range(6) if 0 < abs(j - i) <= reach]].mean(axis=0) for i in range(6)])
            for run in runs
        ]
    )
    np.testing.assert_allclose(neighbour_mean(runs, reach), expected, rtol=1e-5)


def test_large_frames_are_not_kept():
    frames = da.random.default_rng(0).random((48, 1024, 1024), dtype=np.float32, chunks=(1, -1, -1))
    tracemalloc.start()
    try:
        assert sample_runs(Movie(frames)).shape == (3, 16, 256, 256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < frames.nbytes / 2
