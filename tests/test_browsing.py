"""Browsing never waits, and what it shows in the end is exact."""

import threading

import numpy as np
import pytest

from napari_noise2atom.browsing import AHEAD, NEWEST, BackgroundFrames, BrowsedArray, BrowsedDenoising
from napari_noise2atom.metrics import css_per_pair
from napari_noise2atom.movie import Movie

SHAPE = (40, 6, 8)


class Gate:
    """A computation that waits until it is let through, and notes its order."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.open = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.done = threading.Semaphore(0)

    def __call__(self, index: int) -> np.ndarray:
        self.order.append(index)
        self.begun.release()
        assert self.open.acquire(timeout=20)
        return np.full(SHAPE[1:], index + 1, np.float32)

    def ready(self, index: int) -> None:
        self.done.release()

    def let(self, number: int) -> None:
        for _ in range(number):
            self.open.release()
            assert self.done.acquire(timeout=20)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def frames(gate):
    frames = BackgroundFrames(gate, SHAPE, gate.ready)
    yield frames
    frames.close()
    gate.open.release(1000)


def browsed(frames: BackgroundFrames) -> BrowsedArray:
    return BrowsedArray(frames, Movie(np.zeros(SHAPE, np.uint8), 0.03, 0.01, "raw"))


def test_display_is_answered_at_once_and_correct_when_ready(frames, gate):
    array = browsed(frames)
    shown = (5, slice(None), slice(None))
    assert not array[shown].any()
    gate.let(1)
    assert (array[shown] == 6).all()
    assert gate.order[0] == 5


def test_a_slice_of_one_frame_is_a_look_too(frames, gate):
    """So napari asks for the shown frame."""
    array = browsed(frames)
    shown = (slice(5, 6), slice(None), slice(None))
    assert array[shown].shape == (1, *SHAPE[1:])
    gate.let(1)
    assert (array[shown] == 6).all()


def test_the_newest_request_is_served_first_and_old_ones_are_dropped(frames, gate):
    array = browsed(frames)
    assert array[0, :, :].shape == SHAPE[1:]
    assert gate.begun.acquire(timeout=20)
    for index in (10, 20, 30, 25, 15):
        array[index, :, :]
    gate.let(1 + NEWEST)
    assert gate.order[: 1 + NEWEST] == [0, 15, 25, 30][: 1 + NEWEST]
    gate.let(AHEAD)
    assert not {10, 20} & set(gate.order), "what was asked for long ago is not looked at any more"


def test_frames_ahead_are_computed_in_the_direction_of_browsing(frames, gate):
    array = browsed(frames)
    array[20, :, :]
    array[19, :, :]
    gate.let(2 + AHEAD)
    assert gate.order[2:] == [18, 17, 16, 15]


def test_playing_keeps_ahead(frames, gate):
    """A look at a frame that is there moves what is ahead on."""
    array = browsed(frames)
    array[20, :, :]
    array[21, :, :]
    gate.let(2 + AHEAD)
    assert (array[22, :, :] == 23).all()
    gate.let(1)
    assert gate.order[-1] == 22 + AHEAD


def test_a_frame_is_computed_once(frames, gate):
    array = browsed(frames)
    array[3, :, :]
    gate.let(1 + AHEAD)
    for _ in range(5):
        array[3, :, :]
    gate.open.release(100)
    assert (np.asarray(array[3]) == 4).all()
    assert gate.order.count(3) == 1


def test_other_uses_wait_for_exact_values(gate):
    frames = BackgroundFrames(lambda index: np.full(SHAPE[1:], index + 1, np.float32), SHAPE)
    array = browsed(frames)
    expected = np.broadcast_to(np.arange(1, 41)[:, None, None], SHAPE)
    np.testing.assert_array_equal(np.asarray(array), expected)
    np.testing.assert_array_equal(np.asarray(array[7:9]), expected[7:9])
    np.testing.assert_array_equal(np.asarray(array[20:23, 1:3, 2:4]), expected[20:23, 1:3, 2:4])
    np.testing.assert_array_equal(np.asarray(array[:, 1, 2]), expected[:, 1, 2])
    np.testing.assert_array_equal(array.exact.frame(11), expected[11])
    assert (array.exact.pixel_size_nm, array.exact.frame_time_s) == (0.03, 0.01)
    frames.close()


def test_a_view_along_time_shows_what_is_there(frames, gate):
    array = browsed(frames)
    array[4, :, :]
    gate.let(1)
    volume = array[:, 2, :]
    assert volume.shape == (40, 8)
    assert (volume[4] == 5).all()
    assert not volume[20:].any()


def test_there_is_no_frame_beyond_the_last_one(frames):
    with pytest.raises(IndexError):
        browsed(frames)[SHAPE[0], :, :]


def test_memory_is_bounded():
    frames = BackgroundFrames(lambda index: np.zeros(SHAPE[1:], np.float32), SHAPE, cache_bytes=1)
    for index in range(40):
        frames.wait(index)
    kept = [index for index in range(40) if frames.peek(index) is not None]
    assert kept == list(range(40 - frames.capacity, 40))
    frames.close()


def test_a_failure_is_told_and_others_go_on():
    errors = []

    def compute(index: int) -> np.ndarray:
        if index == 2 and not errors:
            raise RuntimeError("out of luck")
        return np.ones(SHAPE[1:], np.float32)

    frames = BackgroundFrames(compute, SHAPE, on_error=errors.append)
    with pytest.raises(RuntimeError, match="out of luck"):
        frames.wait(2)
    assert (frames.wait(3) == 1).all()
    frames.retry()
    assert (frames.wait(2) == 1).all()
    assert len(errors) == 1
    frames.close()


def test_closing_ends_the_thread_and_those_who_wait(frames, gate):
    result = []

    def wait() -> None:
        try:
            frames.wait(1)
        except ValueError as error:
            result.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert gate.begun.acquire(timeout=20)
    frames.close()
    waiting.join(20)
    assert result == ["the layer was removed before all its frames were computed; keep it until then"]
    gate.open.release()
    assert frames._thread is not None
    frames._thread.join(20)
    assert not frames._thread.is_alive()


def test_css_of_what_was_browsed_equals_that_of_the_whole_movie():
    rng = np.random.default_rng(4)
    raw = Movie(rng.integers(0, 900, SHAPE).astype(np.uint16))
    denoised = rng.random(SHAPE).astype(np.float32)
    denoising = BrowsedDenoising(raw, lambda index: denoised[index])
    for index in (5, 3, 4, 6):
        denoising.frames.wait(index)
    known = np.isfinite(denoising.css.per_pair())
    np.testing.assert_array_equal(np.flatnonzero(known), [3, 4, 5])
    for index in rng.permutation(SHAPE[0]):
        denoising.frames.wait(int(index))
    np.testing.assert_allclose(denoising.css.per_pair(), css_per_pair(Movie(denoised)))
    np.testing.assert_allclose(denoising.raw_css.per_pair(), css_per_pair(raw))
    denoising.frames.close()
