import warnings

import dask.array as da
import numpy as np
import pint
import pytest
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari.components import ViewerModel
from napari.layers import Image

from napari_noise2atom.io.frames import MovieFileError, lazy_frames
from napari_noise2atom.layerdata import calibration, contrast_limits, layer_data, movie_of_layer
from napari_noise2atom.movie import Movie

FRAMES = np.random.default_rng(3).integers(0, 200, (6, 8, 10)).astype(np.uint16)
sizes = st.none() | st.floats(1e-6, 1e6)


class Plain:
    """The least that an array has, which counts what is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, key):
        self.read.append(key)
        return self.array[key]


class Background(Plain):
    """Shows zeros while frames are computed."""

    def __init__(self, movie):
        super().__init__(np.zeros_like(movie.data))
        self.exact = movie


def shown(data, meta):
    """What a layer in napari says about itself after it was made of a tuple."""
    layer = Image(data, **meta)
    return layer.as_layer_data_tuple()[:2]


@given(pixel=sizes, time=sizes, name=st.text(min_size=1), lazy=st.booleans())
def test_round_trip(pixel, time, name, lazy):
    movie = Movie(da.from_array(FRAMES, (1, -1, -1)) if lazy else FRAMES, pixel, time, name)
    data, meta, kind = layer_data(movie, contrast_limits=(0, 1))
    back = movie_of_layer(data, meta)
    assert kind == "image"
    assert back.data is movie.data
    assert (back.pixel_size_nm, back.name) == (pixel, name)
    assert back.frame_time_s == (time and pytest.approx(time, rel=1e-12, abs=0))


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(2, 5000), time=st.floats(1e-6, 1e6))
@example(frames=120, time=1 / 150)
@example(frames=120, time=0.04)
def test_napari_counts_all_frames(frames, time):
    meta = calibration(Movie(da.empty((frames, 1, 1), dtype=np.uint8, chunks=(frames, 1, 1)), None, time))
    viewer = ViewerModel()
    viewer.add_image(np.broadcast_to(np.uint8(0), (frames, 2, 2)), scale=meta["scale"], contrast_limits=(0, 1))
    assert viewer.dims.nsteps[0] == frames


@pytest.mark.parametrize(("pixel", "time"), [(0.03, 0.02), (0.03, None), (None, 0.02), (None, None)])
def test_round_trip_through_a_layer(pixel, time):
    data, meta = shown(*layer_data(Movie(FRAMES, pixel, time, "film"))[:2])
    back = movie_of_layer(data, meta)
    assert back.data is FRAMES
    assert (back.pixel_size_nm, back.frame_time_s, back.name) == (pixel, time, "film")
    assert [str(u) for u in meta["units"]] == ["second" if time else "pixel", *["nanometer" if pixel else "pixel"] * 2]
    assert meta["axis_labels"] == ("t", "y", "x")


def test_what_is_known_goes_into_the_metadata_and_extras_go_first():
    movie = Movie(FRAMES, 0.03, notes=("2 frames are missing.",))
    _, meta, _ = layer_data(movie, name="other", visible=False, metadata={"mine": 1})
    facts = {"pixel_size_nm": 0.03, "frame_time_s": None, "notes": ["2 frames are missing."]}
    assert meta["metadata"] == {"noise2atom": facts, "mine": 1}
    assert (meta["name"], meta["visible"]) == ("other", False)


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("nm", 1),
        ("nanometer", 1),
        ("pm", 1e-3),
        ("angstrom", 0.1),
        ("Å", 0.1),
        ("µm", 1e3),
        ("micron", 1e3),
        ("m", 1e9),
        (pint.get_application_registry().micrometer, 1e3),
        (pint.UnitRegistry().angstrom, 0.1),
        ("pixel", None),
        ("px", None),
        ("s", None),
        ("1/nm", None),
        ("dimensionless", None),
        ("", None),
        ("frame", None),
        ("µ&?(", None),
        (None, None),
        (7, None),
    ],
)
def test_units_of_length(unit, nm):
    movie = movie_of_layer(FRAMES, {"scale": (1, 0.5, 0.5), "units": (None, unit, unit)})
    assert movie.pixel_size_nm == (None if nm is None else pytest.approx(nm / 2))


@pytest.mark.parametrize(("unit", "s"), [("s", 1), ("ms", 1e-3), ("min", 60), ("pixel", None), ("nm", None)])
def test_units_of_time(unit, s):
    movie = movie_of_layer(FRAMES, {"scale": (2, 1, 1), "units": (unit, "pixel", "pixel")})
    assert movie.frame_time_s == (None if s is None else pytest.approx(2 * s))


@pytest.mark.parametrize("meta", [{}, {"units": None, "scale": None}, {"units": "pixel"}, {"scale": (0.1, 0.1)}])
def test_without_units_nothing_is_known(meta):
    movie = movie_of_layer(FRAMES, meta)
    assert (movie.pixel_size_nm, movie.frame_time_s, movie.name) == (None, None, "layer")


@pytest.mark.parametrize("step", [0, np.nan, np.inf, "a", None])
def test_a_step_that_is_none_is_unknown(step):
    assert movie_of_layer(FRAMES, {"scale": (1, step, step), "units": "nm"}).pixel_size_nm is None


def test_a_mirrored_layer_keeps_its_pixel_size():
    assert movie_of_layer(FRAMES, {"scale": (1, -0.03, -0.03), "units": "nm"}).pixel_size_nm == pytest.approx(0.03)


def test_oblong_pixels_are_noted():
    movie = movie_of_layer(FRAMES, {"name": "film", "scale": (1, 0.04, 0.03), "units": "nm"})
    assert movie.pixel_size_nm == pytest.approx(0.03)
    assert movie.notes == ("film: its pixels are 0.03 nm wide and 0.04 nm high; the width is taken for both.",)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("make", [np.asarray, da.asarray, zarr.array, Plain], ids=["numpy", "dask", "zarr", "plain"])
@pytest.mark.parametrize("lead", [(), (1,), (1, 1)])
def test_any_array_is_a_movie(make, dtype, lead):
    movie = movie_of_layer(make(FRAMES.astype(dtype).reshape(*lead, *FRAMES.shape)), {})
    assert movie.data.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(movie.data, FRAMES)


def test_an_unknown_array_is_read_frame_by_frame():
    array = Plain(FRAMES[None])
    movie = movie_of_layer(array, {})
    assert isinstance(movie.data, da.Array)
    assert movie.data.chunks[0] == (1,) * len(FRAMES)
    assert array.read == []
    np.testing.assert_array_equal(movie.frame(4), FRAMES[4])
    assert array.read == [(0, 4)]


@pytest.mark.parametrize("told", [{"multiscale": True}, {}])
def test_of_several_resolutions_the_finest_is_taken(told):
    levels = [FRAMES, FRAMES[:, ::2, ::2]]
    assert movie_of_layer(levels, told).data is FRAMES
    assert movie_of_layer(*shown(levels, {"multiscale": True})).data is FRAMES


def test_placeholders_are_replaced_by_what_they_stand_for():
    exact = Movie(da.from_array(FRAMES, (1, -1, -1)), 7.0, name="inner")
    movie = movie_of_layer(Background(exact), {"name": "film", "scale": (1, 0.03, 0.03), "units": "nm"})
    assert movie.data is exact.data
    assert (movie.name, movie.pixel_size_nm) == ("film", 0.03)


@pytest.mark.parametrize(
    ("data", "meta", "words"),
    [
        (FRAMES[0], {}, "a single image of shape"),
        (FRAMES[:1], {}, "a single frame"),
        (FRAMES[None, :1], {}, "a single frame"),
        (np.stack([FRAMES, FRAMES]), {}, "Split Stack"),
        (np.zeros((4, 5, 3), np.uint8), {"rgb": True}, "Split RGB"),
        (np.zeros((3, 4, 5, 3), np.uint8), {"rgb": True}, "Split RGB"),
        (FRAMES.astype(complex), {}, "complex128"),
        (FRAMES > 5, {}, "bool"),
        ("text", {}, "choose an image layer"),
        (None, {}, "choose an image layer"),
    ],
)
def test_what_is_no_movie_is_refused(data, meta, words):
    with pytest.raises(ValueError, match=words) as refused:
        movie_of_layer(data, {"name": "film", **meta})
    message = str(refused.value)
    assert message.startswith("film: got ")
    assert "expected" in message


@given(hnp.arrays(st.sampled_from([np.uint8, np.int32, np.float32, np.float64]), (4, 3, 5)))
def test_limits_are_finite_and_in_order(frames):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = contrast_limits(Movie(frames))
    assert np.isfinite([low, high]).all()
    assert low < high


@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_limits_follow_the_grey_values(scale, offset):
    expected = [scale * limit + offset for limit in contrast_limits(Movie(FRAMES.astype(float)))]
    assert contrast_limits(Movie(scale * FRAMES + offset)) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_limits_pass_over_blank_frames_and_what_is_no_number():
    frames = np.zeros((5, 8, 10))
    frames[2] = FRAMES[2] + 100.0
    frames[2, 0, 0], frames[2, 0, 1] = np.nan, np.inf
    low, high = contrast_limits(Movie(frames))
    assert 100 <= low < high <= frames[2, 1:].max()


def test_limits_of_a_movie_with_hardly_an_electron():
    frames = np.zeros((5, 64, 64))
    frames[:, 5, 5] = 0.01
    assert contrast_limits(Movie(frames)) == pytest.approx((0, 0.01))


@pytest.mark.parametrize("value", [0, 7, -3.5, 1e9, np.nan])
def test_limits_of_a_blank_movie(value):
    low, high = contrast_limits(Movie(np.full((3, 4, 5), value)))
    assert low < high


def test_limits_cost_a_few_frames_even_where_some_cannot_be_read():
    seen = []

    def read(index):
        seen.append(index)
        if index == 0:
            raise MovieFileError("it is damaged")
        return FRAMES[index % 6]

    movie = Movie(lazy_frames(read, (1000, 8, 10), FRAMES.dtype, "film"))
    low, high = contrast_limits(movie)
    assert low < high
    assert len(seen) <= 5
    assert max(seen) > 900
