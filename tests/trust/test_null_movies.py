"""Null movies: what each keeps of the noise, and that no atom is left."""

import numpy as np
import pytest

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import SceneSettings
from napari_noise2atom.trust import NULLS, null_movie
from napari_noise2atom.trust.nulls import SEGMENT_PX, shuffle_phases, shuffle_segments


def noise(shape, seed=0):
    return np.random.default_rng(seed).gamma(2, 30, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 48), (33, 51), (5, 7)])
def test_segments_keep_every_grey_value(shape):
    frame = noise(shape)
    shuffled = shuffle_segments(frame, np.random.default_rng(1))
    assert shuffled.shape == shape
    assert not np.array_equal(shuffled, frame)
    np.testing.assert_array_equal(np.sort(shuffled, axis=None), np.sort(frame, axis=None))


def test_segments_keep_the_afterglow():
    """An autoregressive line has the correlation a at lag 1, which is lost only at the joints."""
    frame = noise((256, 256))
    for column in range(1, 256):
        frame[:, column] = 0.34 * frame[:, column - 1] + 0.66 * frame[:, column]
    shuffled = shuffle_segments(frame, np.random.default_rng(1))
    assert neighbours(frame) == pytest.approx(0.34, abs=0.02)
    assert neighbours(shuffled) == pytest.approx(0.34 * (1 - 1 / SEGMENT_PX), abs=0.02)


def neighbours(frame):
    return np.corrcoef(frame[:, 1:].ravel(), frame[:, :-1].ravel())[0, 1]


@pytest.mark.parametrize("shape", [(40, 48), (33, 51), (40, 51)])
def test_phases_keep_the_power_spectrum(shape):
    frame = noise(shape)
    shuffled = shuffle_phases(frame, np.random.default_rng(1))
    assert abs(np.corrcoef(frame.ravel(), shuffled.ravel())[0, 1]) < 0.1
    assert shuffled.dtype == np.float32
    # white noise has no phase at the four frequencies that are their own mirror images: a sign at most
    power, expected = (np.abs(np.fft.fft2(image.astype(np.float64))) for image in (shuffled, frame))
    np.testing.assert_allclose(power, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", NULLS)
def test_nulls_look_like_the_movie_s_noise_and_hold_no_atom(kind, simulated, settings):
    null = null_movie(kind, simulated.noisy, settings)
    assert null.shape == simulated.noisy.shape
    assert null.pixel_size_nm == simulated.noisy.pixel_size_nm
    frames, raw = null.frames(range(8)), simulated.noisy.frames(range(8))
    assert frames.std() == pytest.approx(raw.std(), rel=0.15)
    # what is left of the clean movie in the null, relative to what is in the raw one
    left, there = (np.corrcoef(simulated.clean.ravel(), stack.ravel())[0, 1] for stack in (frames, raw))
    assert abs(left) < 0.2 * there
    assert abs(np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1]) < 0.05, "each frame has noise of its own"


@pytest.mark.parametrize("kind", NULLS)
def test_nulls_depend_on_the_seed_alone(kind, simulated, settings):
    one, same = (null_movie(kind, simulated.noisy, settings).frame(3) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    other = settings.model_copy(update={"run": settings.run.model_copy(update={"seed": 1})})
    assert not np.array_equal(null_movie(kind, simulated.noisy, other).frame(3), one)


def test_the_noise_model_has_the_film_of_the_settings(simulated, settings):
    wedge = settings.model_copy(update={"scene": SceneSettings(background_e=1, background_gradient=1)})
    mean = null_movie("noise model", simulated.noisy, wedge).frames(range(8)).mean(axis=(0, 1))
    electrons = (mean - wedge.detector.offset_counts) / wedge.detector.gain_counts
    np.testing.assert_allclose(np.polyfit(np.linspace(-0.5, 0.5, 64), electrons, 1), (1, 1), atol=0.15)


def test_the_noise_model_has_whole_counts_only_where_the_movie_has(simulated, settings):
    """A movie that was scaled to [0, 1] has less than one count."""
    small = settings.model_copy(
        update={
            "detector": settings.detector.model_copy(
                update={
                    name: getattr(settings.detector, name) / 4095
                    for name in ("offset_counts", "gain_counts", "read_noise_counts", "saturation_counts")
                }
            )
        }
    )
    scaled = simulated.noisy.with_data(np.asarray(simulated.noisy.data, np.float32) / 4095)
    null = null_movie("noise model", scaled, small).frame(0)
    assert len(np.unique(null)) > 1000
    whole = null_movie("noise model", simulated.noisy, settings).frame(0)
    np.testing.assert_allclose(null.mean() * 4095, whole.mean(), rtol=0.02)
    np.testing.assert_array_equal(whole, whole.round())


def test_frames_are_made_when_they_are_asked_for(settings):
    """A movie of a thousand large frames is nothing until then."""
    import dask.array as da

    data = da.zeros((1000, 2048, 2048), chunks=(1, 2048, 2048), dtype=np.uint16)
    assert null_movie("phase shuffle", Movie(data), settings).shape == (1000, 2048, 2048)


def test_an_unknown_null_is_refused(simulated, settings):
    with pytest.raises(ValueError, match="got the null 'white'; expected one of pixel shuffle, phase shuffle"):
        null_movie("white", simulated.noisy, settings)
