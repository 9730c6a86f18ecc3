import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from napari_noise2atom.settings import DetectorSettings
from napari_noise2atom.simulate.detector import jitter_lines, record

IDEAL = DetectorSettings(
    offset_counts=500, gain_counts=100, afterglow=0, line_jitter_px=0, read_noise_counts=0, saturation_counts=1e9
)
START_PX = 40
"""Columns at the start of a line in which the afterglow builds up."""


def flat_recording(level_e: float, **changes: float) -> np.ndarray:
    detector = IDEAL.model_copy(update=changes)
    frames = np.full((4, 256, 256), level_e, np.float32)
    return record(frames, detector, np.random.default_rng(1), quantise=False)[..., START_PX:].astype(float)


@pytest.mark.parametrize("level_e", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("afterglow", [0.0, 0.36, 0.7])
def test_mean_is_offset_plus_gain_times_electrons(level_e, afterglow):
    grey = flat_recording(level_e, afterglow=afterglow)
    assert grey.mean() == pytest.approx(500 + 100 * level_e, abs=0.015 * 100 * np.sqrt(level_e))


@pytest.mark.parametrize(("afterglow", "pulse_shape"), [(0, 1.8), (0.36, 1.8), (0.36, 50), (0.7, 4)])
def test_variance_grows_with_the_mean_by_the_gain_pulse_heights_and_afterglow(afterglow, pulse_shape):
    dim, bright = (flat_recording(e, afterglow=afterglow, pulse_shape=pulse_shape) for e in (1.0, 9.0))
    slope = (bright.var() - dim.var()) / (bright.mean() - dim.mean())
    assert slope == pytest.approx(100 * (1 + 1 / pulse_shape) * (1 - afterglow) / (1 + afterglow), rel=0.03)


def test_afterglow_falls_along_x_as_its_powers_and_is_absent_along_y():
    grey = flat_recording(2.0, afterglow=0.5)
    grey -= grey.mean()
    along_x = [(grey[..., lag:] * grey[..., : grey.shape[-1] - lag]).mean() / grey.var() for lag in range(1, 5)]
    along_y = (grey[:, 1:] * grey[:, :-1]).mean() / grey.var()
    np.testing.assert_allclose(along_x, 0.5 ** np.arange(1, 5), atol=0.015)
    assert abs(along_y) < 0.01


def test_read_out_noise_is_all_that_darkness_has():
    grey = flat_recording(0.0, read_noise_counts=20, afterglow=0.36)
    assert grey.mean() == pytest.approx(500, abs=0.2)
    assert grey.std() == pytest.approx(20, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 50), st.floats(100, 3000), st.booleans())
def test_grey_values_are_whole_and_end_at_saturation(level_e, saturation, quantise):
    detector = IDEAL.model_copy(update={"saturation_counts": round(saturation), "read_noise_counts": 400.0})
    grey = record(np.full((8, 16), level_e, np.float32), detector, np.random.default_rng(2), quantise=quantise)
    assert grey.dtype == np.float32
    assert grey.min() >= 0
    assert grey.max() <= round(saturation)
    assert not quantise or np.array_equal(grey, np.rint(grey))


def test_bright_pixels_saturate():
    detector = IDEAL.model_copy(update={"saturation_counts": 4095.0})
    assert (record(np.full((8, 8), 500, np.float32), detector, np.random.default_rng(3)) == 4095).all()


def test_no_jitter_changes_nothing():
    frames = np.random.default_rng(4).random((3, 8, 8), dtype=np.float32)
    np.testing.assert_array_equal(jitter_lines(frames, 0, np.random.default_rng(0)), frames)


def test_jitter_keeps_a_flat_image_and_the_mean_of_a_spot():
    rng = np.random.default_rng(5)
    np.testing.assert_allclose(jitter_lines(np.full((4, 32, 32), 7, np.float32), 2, rng), 7, rtol=1e-6)
    x = np.arange(64)
    lines = np.broadcast_to(np.exp(-((x - 32.0) ** 2) / 14), (500, 64)).astype(np.float32)
    np.testing.assert_allclose(jitter_lines(lines, 1, rng).sum(axis=-1), lines.sum(axis=-1), rtol=1e-4)


def test_jitter_moves_each_line_by_the_distance_that_is_set():
    x = np.arange(128)
    lines = np.broadcast_to(np.exp(-((x - 64.0) ** 2) / 30), (2000, 128)).astype(np.float32)
    moved = jitter_lines(lines, 1.5, np.random.default_rng(6))
    centre = (moved * x).sum(axis=-1) / moved.sum(axis=-1)
    assert (centre - 64).mean() == pytest.approx(0, abs=0.1)
    assert centre.std() == pytest.approx(1.5, rel=0.05)


def test_blur_smooths_the_noise_along_both_axes_and_keeps_the_mean():
    sharp, blurred = (flat_recording(1.0, blur_px=blur_px) for blur_px in (0.0, 0.7))
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=1e-3)
    kernel = gaussian_filter1d(np.eye(1, 9, 4)[0], 0.7)
    expected = np.correlate(kernel, kernel, "full")[8:11]  # at lags 0, 1 and 2
    blurred -= blurred.mean()
    for axis in (1, 2):
        lagged = [np.mean(blurred * np.roll(blurred, lag, axis)) / sharp.var() for lag in range(3)]
        np.testing.assert_allclose(lagged, expected[0] * expected, atol=0.01)
