import numpy as np
import pytest
from scipy.signal import lfilter

from napari_noise2atom.estimate import propose
from napari_noise2atom.estimate.noise import measure_noise, recorded_range, undo_afterglow
from napari_noise2atom.estimate.sample import sample_runs
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import DetectorSettings, preset
from napari_noise2atom.simulate.detector import record
from napari_noise2atom.simulate.pairs import simulate_pairs

OFFSET, GAIN = 115, 300


def variance_slope(gain_counts: float, pulse_shape: float) -> float:
    """Return how the variance grows with the mean without afterglow."""
    return gain_counts * (1 + 1 / pulse_shape)


@pytest.mark.parametrize(("afterglow", "pulse_shape"), [(0.0, 4), (0.2, 1.8), (0.36, 1.8), (0.36, 8), (0.6, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_offset_slope_and_afterglow_are_found(simulated, afterglow, pulse_shape, seed):
    movie = simulated(afterglow=afterglow, pulse_shape=pulse_shape, seed=seed).noisy
    noise = measure_noise(sample_runs(movie))
    expected = variance_slope(GAIN, pulse_shape)
    assert noise.offset_counts == pytest.approx(OFFSET, abs=0.1 * GAIN)
    assert variance_slope(noise.gain_counts, noise.pulse_shape) == pytest.approx(expected, rel=0.1)
    assert noise.afterglow == pytest.approx(afterglow, abs=0.02)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gain_is_found_where_part_of_the_frame_is_empty(simulated, half_empty, share, seed):
    noise = measure_noise(sample_runs(half_empty(simulated(seed=seed), share)))
    assert noise.gain_counts == pytest.approx(GAIN, rel=0.35)
    assert noise.offset_counts == pytest.approx(OFFSET, abs=0.1 * GAIN)


@pytest.mark.parametrize("read_noise_counts", [300, 600])
def test_read_out_noise_is_found_where_it_dominates(simulated, read_noise_counts):
    movie = simulated(offset_counts=3000, pulse_shape=4, read_noise_counts=read_noise_counts).noisy
    assert measure_noise(sample_runs(movie)).read_noise_counts == pytest.approx(read_noise_counts, rel=0.05)


@pytest.mark.parametrize("afterglow", [0.0, 0.36, 0.8])
def test_undoing_the_afterglow_restores_all_but_the_first_column(afterglow):
    signal = np.random.default_rng(0).random((2, 5, 30)).astype(np.float32)
    blurred = signal.copy()
    for x in range(1, 30):
        blurred[..., x] = afterglow * blurred[..., x - 1] + (1 - afterglow) * signal[..., x]
    np.testing.assert_allclose(undo_afterglow(blurred, afterglow)[..., 1:], signal[..., 1:], atol=1e-5)


def test_limits_are_the_extreme_values_if_many_pixels_have_them():
    frames = np.tile(np.linspace(0, 3, 64, dtype=np.float32), (1, 4, 64, 1))
    limited = DetectorSettings(offset_counts=0, floor_counts=-50, saturation_counts=2000)
    assert recorded_range(record(frames, limited, np.random.default_rng(0))) == (-50, 2000)


def test_without_limits_they_are_far_from_the_movie():
    runs = np.arange(2 * 64 * 64, dtype=np.float32).reshape(1, 2, 64, 64) - 1000
    floor, saturation = recorded_range(runs)
    assert floor < runs.min() - np.ptp(runs)
    assert saturation > runs.max() + np.ptp(runs)


def test_saturated_pixels_do_not_spoil_the_noise(simulated):
    open_range, limited = (
        measure_noise(sample_runs(simulated(saturation_counts=limit).noisy)) for limit in (65535, 1700)
    )
    assert limited.afterglow == pytest.approx(open_range.afterglow, abs=0.03)
    assert limited.offset_counts == pytest.approx(open_range.offset_counts, abs=0.15 * GAIN)


@pytest.mark.parametrize("afterglow", [0.0, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_noise_that_does_not_grow_with_the_brightness_is_read_out_noise(simulated, afterglow, sign):
    """Pairs that are simulated so have the movie's grey values, whatever an electron may be."""
    clean = simulated().clean
    noise = np.random.default_rng(0).normal(0, 0.1 * clean.max(), clean.shape)
    noise = np.sqrt((1 + afterglow) / (1 - afterglow)) * lfilter([1 - afterglow], [1, -afterglow], noise, axis=-1)
    movie = Movie((700 + sign * 1000 * (clean + noise) / clean.max()).astype(np.float32))
    found = measure_noise(sample_runs(movie))
    assert found.read_noise_counts == pytest.approx(100, rel=0.05)
    settings, _ = propose(movie, preset("compact"))
    noisy = simulate_pairs(16, 64, settings, np.random.default_rng(0)).noisy
    recorded = movie.data[::4]
    spread = float(recorded.std())
    assert noisy.mean() == pytest.approx(float(recorded.mean()), abs=2 * spread)
    assert noisy.std() == pytest.approx(spread, rel=1.2)
