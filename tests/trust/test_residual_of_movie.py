"""What denoising took away."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import DetectorSettings, SceneSettings, Settings
from napari_noise2atom.trust import measure_residual, null_movie
from napari_noise2atom.trust.residual import LAGS_PX, autocovariance, frame_residual


@pytest.mark.parametrize("shape", [(20, 31), (17, 17), (64, 40)])
def test_autocovariance_is_the_mean_over_pairs(shape):
    image = np.random.default_rng(0).normal(5, 2, shape)
    found = autocovariance(image)
    centred = image - image.mean()
    height, width = shape
    for dy, dx in [(0, 0), (0, 1), (1, 0), (3, -5), (-8, 8), (8, 8)]:
        top, left = max(0, -dy), max(0, -dx)
        here = centred[top : height - max(0, dy), left : width - max(0, dx)]
        there = centred[top + dy : height - max(0, dy) + dy, left + dx : width - max(0, dx) + dx]
        assert found[LAGS_PX + dy, LAGS_PX + dx] == pytest.approx((here * there).mean(), abs=1e-12)
    np.testing.assert_allclose(found, found[::-1, ::-1])


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="got an image of 16 × 40 px; expected at least 17"):
        autocovariance(np.zeros((16, 40)))


def test_perfect_denoising_leaves_noise_alone():
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 1, (6, 48, 48)).astype(np.float32)
    noise = rng.normal(0, 5, clean.shape).astype(np.float32)
    told = []
    residual = measure_residual(Movie(80 * clean + 100 + noise), Movie(clean), lambda *numbers: told.append(numbers))
    assert residual.gain == pytest.approx(80, rel=0.01)
    assert residual.offset == pytest.approx(100, abs=0.5)
    assert told[-1] == (12, 12)
    assert residual.spread == pytest.approx(5, rel=0.02)
    assert residual.autocorrelation[LAGS_PX, LAGS_PX] == 1
    others = np.delete(residual.autocorrelation.ravel(), LAGS_PX * (2 * LAGS_PX + 2))
    assert np.abs(others).max() < 0.05
    frame = residual.frame(80 * clean[0] + 100 + noise[0], clean[0])
    np.testing.assert_allclose(frame, noise[0], atol=1.5)


def test_narrowed_spots_leave_no_rims_when_they_are_blurred_back():
    rng = np.random.default_rng(0)
    places = rng.random((4, 64, 64)) < 0.01
    wide, narrow = (np.stack([gaussian_filter(30.0 * frame, sigma) for frame in places]) for sigma in (2.0, 1.2))
    raw = Movie(100 * wide + rng.normal(0, 1, wide.shape))
    rims, none = (measure_residual(raw, Movie(narrow), blur_px=blur) for blur in (0.0, 1.6))
    assert abs(rims.autocorrelation[LAGS_PX + 1, LAGS_PX]) > 0.3
    assert abs(none.autocorrelation[LAGS_PX + 1, LAGS_PX]) < 0.1
    assert none.frame(raw.frame(0), narrow[0]).std() == pytest.approx(none.spread, rel=0.1)


def test_afterglow_shows_along_x_and_a_lost_atom_in_both():
    noise = np.random.default_rng(0).normal(size=(4, 64, 65))
    glowing = Movie(noise[..., 1:] + 0.5 * noise[..., :-1])
    blank = Movie(np.zeros((4, 64, 64)))
    image = measure_residual(glowing, blank).autocorrelation
    assert image[LAGS_PX, LAGS_PX + 1] == pytest.approx(0.4, abs=0.02)
    assert image[LAGS_PX + 1, LAGS_PX] == pytest.approx(0, abs=0.02)
    rows, columns = np.indices((64, 64))
    atom = 8 * np.exp(-((rows - 30) ** 2 + (columns - 30) ** 2) / 14)
    lost = measure_residual(Movie(noise[..., 1:] + atom), blank)
    assert lost.autocorrelation[LAGS_PX + 1, LAGS_PX] > 0.2
    assert "correlate by" in lost.sentence


def test_what_noise_alone_has_is_told_beside():
    scene, detector = (
        SceneSettings(background_gradient=1, background_texture=0.3),
        DetectorSettings(read_noise_counts=0),
    )
    settings = Settings(scene=scene, detector=detector)
    raw = Movie(np.random.default_rng(0).normal(size=(4, 96, 96)))
    null = null_movie("noise model", raw, settings)
    residual = measure_residual(raw, Movie(np.zeros((4, 96, 96))), null=null)
    assert residual.noise[LAGS_PX, LAGS_PX + 1] == pytest.approx(detector.afterglow, abs=0.03), "but for the wedge"
    assert residual.noise[LAGS_PX + 1, LAGS_PX] == pytest.approx(0, abs=0.03)
    assert f"noise alone, simulated, by {residual.noise[LAGS_PX, LAGS_PX + 1]:.2f} and" in residual.sentence
    assert "-0.00" not in residual.sentence


def test_a_constant_movie_has_no_residual():
    frames = np.tile(np.arange(32.0), (2, 32, 1))
    assert np.isnan(measure_residual(Movie(frames), Movie(0 * frames)).autocorrelation).sum() == 0
    exact = measure_residual(Movie(frames), Movie(frames))
    assert exact.gain == pytest.approx(1)


def test_a_flat_denoised_frame_leaves_the_raw_one():
    noisy = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(frame_residual(noisy, np.ones((3, 4), np.float32)), noisy - noisy.mean())


def test_a_frame_s_residual_has_no_rims_where_spots_are_blurred_back():
    rng = np.random.default_rng(0)
    places = (rng.random((64, 64)) < 0.01).astype(np.float32)
    wide, narrow = gaussian_filter(places, 2.0), gaussian_filter(places, 1.2)
    rims, none = (frame_residual(500 * wide + 7, narrow, blur) for blur in (0.0, 1.6))
    assert none.std() < 0.02 * rims.std()
