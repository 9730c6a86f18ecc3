import dask.array as da
import numpy as np
import pytest

from napari_noise2atom.edges import fill_edges, image_part
from napari_noise2atom.estimate import estimate
from napari_noise2atom.io import find_bad_frames
from napari_noise2atom.metrics import css_per_pair
from napari_noise2atom.movie import Movie, is_bad_frame
from napari_noise2atom.settings import DetectorSettings, MovieSettings, NetworkSettings
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.windows import FrameWindows

EMPTY = [0, 77, np.nan, np.inf]


def emptied(frames: np.ndarray, value: float, seed: int = 0, most: int = 6) -> np.ndarray:
    """Empty up to so many lines at each edge of each frame."""
    emptied = frames.astype(np.float32)
    for frame, (top, bottom, left, right) in zip(
        emptied, np.random.default_rng(seed).integers(0, most + 1, (len(frames), 4)), strict=True
    ):
        frame[:top] = frame[len(frame) - bottom :] = value
        frame[:, :left] = frame[:, frame.shape[1] - right :] = value
    return emptied


@pytest.fixture(scope="module")
def movie() -> Movie:
    detector = DetectorSettings(gain_counts=300, saturation_counts=65535)
    return simulate_movie(MovieSettings(detector=detector)).noisy


@pytest.mark.parametrize("value", EMPTY)
@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 2, 0), (3, 2, 1, 4), (30, 0, 0, 9)])
def test_the_image_is_what_lies_between_the_empty_edges(value, margins):
    top, bottom, left, right = margins
    frame = np.full((40, 50), value, np.float32)
    image = np.random.default_rng(0).normal(100, 10, (40 - top - bottom, 50 - left - right))
    frame[top : 40 - bottom, left : 50 - right] = image
    assert image_part(frame) == (slice(top, 40 - bottom), slice(left, 50 - right))
    filled = fill_edges(frame)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[image_part(frame)], image.astype(np.float32))
    if top:
        np.testing.assert_array_equal(filled[top - 1], filled[top + 1])


@pytest.mark.parametrize("level_e", [0.01, 0.05, 0.5])
def test_lines_that_no_electron_has_reached_by_chance_are_no_edges(level_e):
    counts = np.random.default_rng(0).poisson(level_e, (200, 64, 64))
    counts[:, 30, 30] += 1
    assert all(image_part(frame) == (slice(0, 64), slice(0, 64)) for frame in counts)


@pytest.mark.parametrize(
    "frame", [np.full((8, 9), np.nan), np.zeros((8, 9)), np.zeros((1, 1))], ids=["NaN", "0", "one"]
)
def test_of_a_frame_without_image_nothing_is_left_out(frame):
    assert image_part(frame) == (slice(0, len(frame)), slice(0, frame.shape[1]))
    assert is_bad_frame(frame)


def test_nan_inside_is_still_bad():
    frame = np.random.default_rng(0).normal(size=(20, 20))
    frame[:3] = np.nan
    assert not is_bad_frame(frame)
    frame[10, 10] = np.nan
    assert is_bad_frame(frame)


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("lazy", [False, True])
def test_frames_with_empty_edges_are_used(movie, value, lazy):
    data = emptied(np.asarray(movie.data), value)
    registered = Movie(da.from_array(data, chunks=(1, 128, 128)) if lazy else data)
    assert find_bad_frames(registered) == ()
    window = FrameWindows(registered, NetworkSettings(frames_in=5), 0, 1)(10)
    assert all(image_part(frame) == (slice(0, 128), slice(0, 128)) for frame in window)
    assert np.isfinite(css_per_pair(registered)).all()


@pytest.mark.parametrize("value", [0, np.nan])
def test_empty_edges_do_not_change_what_a_movie_tells(movie, value):
    """Taken for an image, edges of 0 have more variance than all else, and are narrower than spots."""
    found, whole = (estimate(Movie(data)) for data in (emptied(np.asarray(movie.data), value), np.asarray(movie.data)))
    assert found.offset_counts == pytest.approx(whole.offset_counts, abs=0.1 * whole.gain_counts)
    for name in ("gain_counts", "afterglow", "spot_variance_px2", "atom_peak_e", "atoms_per_frame"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=0.2, abs=0.02), name
