import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift, uniform_filter1d

from napari_noise2atom.estimate import estimate, propose
from napari_noise2atom.estimate.blur import measure_blur
from napari_noise2atom.estimate.noise import shared_noise
from napari_noise2atom.estimate.sample import sample_runs
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import preset
from napari_noise2atom.simulate.pairs import simulate_pairs


@pytest.fixture(scope="module")
def movie(simulated) -> Movie:
    return simulated(pulse_shape=8, walk_px=0.4, atom_peak_e=1.0, background_e=0.1, spot_variance_px2=2.6).noisy


@pytest.fixture(scope="module")
def frames(movie) -> np.ndarray:
    return np.asarray(movie.data).astype(np.float32)


@pytest.fixture(scope="module")
def recorded(movie):
    return estimate(movie)


def registered(frames: np.ndarray, order: int) -> np.ndarray:
    """Shift each frame by its own part of a pixel."""
    parts = np.random.default_rng(0).uniform(-0.5, 0.5, (len(frames), 2))
    pairs = zip(frames, parts, strict=True)
    return np.stack([shift(frame, part, order=order, mode="reflect") for frame, part in pairs])


@pytest.mark.parametrize(
    "conditions",
    [{}, {"afterglow": 0.8}, {"walk_px": 3.0}, {"spot_variance_px2": 1.0}, {"atom_peak_e": 10}, {"line_jitter_px": 1}],
    ids=str,
)
def test_recorded_frames_have_no_blur(simulated, conditions):
    blur = measure_blur(sample_runs(simulated(**conditions).noisy))
    assert blur.blur_px == 0
    assert blur.known
    some = np.ones((2, 5, 6), np.float32)
    assert blur.undo(some) is some


@pytest.mark.parametrize("side", [4, 8, 16, 32, 64])
def test_few_pixels_of_noise_have_no_blur(side):
    rng = np.random.default_rng(side)
    assert all(measure_blur(rng.normal(size=(1, 2, side, side)).astype(np.float32)).blur_px == 0 for _ in range(20))


@pytest.mark.parametrize("blur_px", [0.4, 0.55, 0.7, 0.85])
def test_gaussian_filters_are_found_and_undone(frames, blur_px):
    blur = measure_blur(gaussian_filter(frames, (0, blur_px, blur_px))[None])
    assert blur.blur_px == pytest.approx(blur_px, abs=0.021)
    assert blur.known
    exact = measure_blur(gaussian_filter(frames, (0, 0.7, 0.7))[None])
    restored = exact.undo(gaussian_filter(frames[:3], (0, exact.blur_px, exact.blur_px)))
    np.testing.assert_allclose(restored, frames[:3], atol=0.02 * frames.std())


@pytest.mark.parametrize("order", [1, 3])
def test_registrations_are_found_and_undone(frames, order):
    runs = registered(frames, order)[None]
    blur = measure_blur(runs)
    white = measure_blur(blur.undo(runs))
    assert white.blur_px == 0


@pytest.mark.parametrize(
    "smooth",
    [lambda f: gaussian_filter(f, (0, 0.6, 0.6)), lambda f: registered(f, 1), lambda f: registered(f, 3)],
    ids=["Gaussian", "linear", "cubic"],
)
def test_spots_of_smoothed_frames_are_measured_as_those_of_recorded_ones(frames, recorded, smooth):
    """Where the blur is not undone, the variance is about half of that."""
    found = estimate(Movie(np.round(smooth(frames)).astype(np.int32)))
    assert found.blur_px > 0.4
    assert found.spot_variance_px2 == pytest.approx(recorded.spot_variance_px2, rel=0.15)
    assert found.afterglow == pytest.approx(recorded.afterglow, abs=0.08)
    assert any("Noise is smooth" in doubt for doubt in found.doubts)
    assert not any("guesses" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("blur_px", [0.0, 0.6])
def test_simulated_pairs_are_as_smooth_as_the_movie(frames, blur_px):
    movie = Movie(np.round(gaussian_filter(frames, (0, blur_px, blur_px))).astype(np.int32))
    settings, _ = propose(movie, preset("compact"))
    rng = np.random.default_rng(0)
    of_pairs = [smoothness(simulate_pairs(2, 64, settings, rng).noisy) for _ in range(40)]
    assert np.mean(of_pairs) == pytest.approx(smoothness(movie.data.astype(float)[None]), abs=0.06)


def smoothness(runs: np.ndarray) -> float:
    """Return the correlation of the noise of neighbouring rows."""
    change = np.diff(runs, axis=1)
    return float((change[:, :, 1:] * change[:, :, :-1]).mean() / (change**2).mean())


def test_frames_that_were_scaled_up_are_doubted(frames):
    found = estimate(Movie(np.kron(frames[:, :64, :64], np.ones((1, 2, 2), np.float32))))
    assert any("all numbers are guesses" in doubt for doubt in found.doubts)


def test_recorded_frames_leave_no_doubt(recorded):
    assert recorded.doubts == []


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: f, 0),
        (lambda f: uniform_filter1d(f, 3, axis=0), 2 / 3),
        (lambda f: np.repeat(f[:32], 2, axis=0), 16 / 31),
    ],
    ids=["recorded", "running mean", "each twice"],
)
def test_noise_that_frames_share_is_told(frames, spoil, expected):
    assert shared_noise(spoil(frames)[:32][None]) == pytest.approx(expected, abs=0.03)
    doubted = any("share their noise" in doubt for doubt in estimate(Movie(spoil(frames))).doubts)
    assert doubted == bool(expected)
