import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_noise2atom.movie import Movie, is_bad_frame, without_blank_ends

frames = arrays(np.float32, (4, 5), elements=st.floats(-1e6, 1e6, width=32))


@given(frames)
def test_a_finite_frame_is_bad_when_it_has_one_value(frame):
    assert is_bad_frame(frame) == (len(np.unique(frame)) == 1)


@given(frames, st.integers(0, 3), st.integers(0, 4), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_one_pixel_that_is_no_number_spoils_a_frame(frame, y, x, value):
    frame[y, x] = value
    assert is_bad_frame(frame)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_frames_of_every_type_are_judged(dtype):
    assert is_bad_frame(np.full((3, 3), 7, dtype))
    assert not is_bad_frame(np.arange(9, dtype=dtype).reshape(3, 3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 4)), r"shape \(4, 4\).*\(t, y, x\)"),
        (np.zeros((2, 4, 4, 3)), "axes"),
        (np.zeros((1, 4, 4)), "at least two"),
        (np.zeros((2, 4, 4), complex), "complex128"),
        (np.zeros((2, 4, 4), bool), "bool"),
    ],
)
def test_what_is_no_movie_is_refused_by_name(data, message):
    with pytest.raises(ValueError, match=f"film.*{message}"):
        Movie(data, name="film")


def counted(data: np.ndarray, computed: list[int], length: int = 1) -> da.Array:
    """Return a lazy copy of a movie that notes which chunks of so many frames are computed."""

    def block(block_info=None):
        index = block_info[None]["chunk-location"][0]
        computed.append(index)
        return data[index * length : (index + 1) * length]

    chunks = ((length,) * (len(data) // length), *((n,) for n in data.shape[1:]))
    return da.map_blocks(block, chunks=chunks, dtype=data.dtype, meta=np.empty((0, 0, 0), data.dtype))


def test_lazy_frames_are_computed_only_when_asked_for():
    data = np.random.default_rng(0).integers(0, 4095, (6, 3, 4)).astype(np.uint16)
    computed: list[int] = []
    with dask.config.set(scheduler="synchronous"):
        movie = Movie(counted(data, computed))
        assert (len(movie), movie.shape) == (6, (6, 3, 4))
        assert computed == []
        np.testing.assert_array_equal(movie.frame(4), data[4])
        chosen = movie.frames([0, 2])
    assert computed == [4, 0, 2]
    assert chosen.dtype == np.float32
    np.testing.assert_array_equal(chosen, data[[0, 2]])


@pytest.mark.parametrize(("numbers", "chunks"), [(range(12), [0, 1, 2]), ([1, 3, 9, 8, 0], [0, 2, 0])])
def test_a_chunk_of_several_frames_is_computed_once_for_those_in_a_row(numbers, chunks):
    data = np.random.default_rng(0).integers(0, 4095, (12, 3, 4)).astype(np.uint16)
    computed: list[int] = []
    streamed = np.stack([*Movie(counted(data, computed, 4)).stream(numbers)])
    np.testing.assert_array_equal(streamed, data[list(numbers)])
    assert computed == chunks


def test_a_long_chunk_of_large_frames_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("napari_noise2atom.movie.BLOCK_PX", 24)
    data = np.random.default_rng(0).random((6, 3, 4))
    blocks = [*Movie(da.from_array(data, chunks=(6, 3, 4)))._blocks(iter(range(6)))]
    assert blocks == [[0, 1], [2, 3], [4, 5]]


def test_a_frame_is_a_copy():
    data = np.zeros((2, 3, 3), np.float32)
    Movie(data).frame(0)[:] = 1
    assert not data.any()


def test_other_data_keep_the_calibration_but_not_the_notes():
    movie = Movie(np.zeros((2, 3, 3)), 0.03, 0.01, "film", ("one frame is missing",))
    other = movie.with_data(np.ones((4, 3, 3)), "denoised")
    assert (other.pixel_size_nm, other.frame_time_s, other.name, other.notes) == (0.03, 0.01, "denoised", ())
    assert movie.with_data(np.ones((4, 3, 3))).name == "film"
    assert len(other) == 4


def test_blank_frames_before_and_after_are_left_out():
    data = np.zeros((9, 3, 4))
    data[[3, 4, 6]] = np.random.default_rng(0).random((3, 3, 4))
    np.testing.assert_array_equal(without_blank_ends(Movie(data)).data, data[3:7])
    with pytest.raises(ValueError, match="film: found fewer than two usable frames"):
        without_blank_ends(Movie(data[:4], name="film"))
