import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, signal
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_noise2atom.metrics import low_pass_correlation, psnr_affine, residual_autocorrelation, ssim
from napari_noise2atom.metrics.moments import pair_moments, pool_moments
from napari_noise2atom.metrics.reference import fit_affine, psnr_of_moments


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(rng.random((3, 48, 40)), (0, 3, 3)) * 10
    return truth + 0.3 * rng.standard_normal(truth.shape), truth


def test_psnr_of_the_fitted_image_agrees_with_scikit_image(pair):
    image, truth = pair
    gain, offset = np.polyfit(image.ravel(), truth.ravel(), 1)
    expected = peak_signal_noise_ratio(truth, gain * image + offset, data_range=truth.max())
    assert psnr_affine(image, truth) == pytest.approx(expected, abs=1e-9)


@given(gain=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]), offset=st.floats(-1000, 1000))
def test_psnr_does_not_see_gain_and_offset(gain, sign, offset):
    rng = np.random.default_rng(1)
    truth = rng.random((12, 12))
    image = truth + 0.2 * rng.standard_normal(truth.shape)
    assert psnr_affine(sign * gain * image + offset, truth) == pytest.approx(psnr_affine(image, truth), abs=1e-6)


def test_perfect_and_blank_images():
    truth = np.random.default_rng(2).random((16, 16))
    assert psnr_affine(1200 * truth + 115, truth) == np.inf
    assert psnr_affine(np.ones_like(truth), truth) == pytest.approx(10 * np.log10(truth.max() ** 2 / truth.var()))


def test_psnr_needs_a_positive_peak():
    with pytest.raises(ValueError, match="positive peak"):
        psnr_affine(np.ones((4, 4)), np.zeros((4, 4)))


def test_frames_share_one_fit(pair):
    image, truth = pair
    moments = np.array([pair_moments(a, b) for a, b in zip(image, truth, strict=True)])
    np.testing.assert_allclose(pool_moments(moments), pair_moments(image, truth))
    per_frame, whole = psnr_of_moments(moments, float(truth.max()))
    assert whole == pytest.approx(psnr_affine(image, truth))
    errors = ((fit_affine(image, truth) - truth) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(per_frame, 10 * np.log10(truth.max() ** 2 / errors))


def test_ssim_agrees_with_scikit_image(pair):
    image, truth = pair[0][0], pair[1][0]
    gain, offset = np.polyfit(image.ravel(), truth.ravel(), 1)
    expected = structural_similarity(gain * image + offset, truth, data_range=np.ptp(truth))
    assert ssim(7 * image - 2, truth) == pytest.approx(expected, abs=1e-9)
    assert ssim(image, truth, data_range=2 * np.ptp(truth)) > expected
    assert ssim(truth / 3, truth) == pytest.approx(1)


def test_ssim_refuses_a_blank_truth():
    with pytest.raises(ValueError, match="positive span"):
        ssim(np.eye(8), np.ones((8, 8)))


def test_low_pass_is_the_papers_kernel_without_padding():
    rng = np.random.default_rng(3)
    raw, denoised = rng.random((2, 60, 50))
    offsets = np.arange(-16, 17)
    line = np.exp(-(offsets**2) / 30)
    kernel = np.outer(line, line) / line.sum() ** 2
    smooth = [signal.convolve2d(frame, kernel, mode="valid").ravel() for frame in (raw, denoised)]
    assert low_pass_correlation(raw, denoised) == pytest.approx(np.corrcoef(*smooth)[0, 1], abs=1e-9)


def test_low_pass_correlation_tells_upright_inverted_and_unknown():
    raw = np.random.default_rng(4).integers(0, 4000, (64, 64)).astype(np.uint16)
    assert low_pass_correlation(raw, raw / 4000) == pytest.approx(1)
    assert low_pass_correlation(raw, 1 - raw / 4000) == pytest.approx(-1)
    assert np.isnan(low_pass_correlation(raw, np.full((64, 64), 0.1)))
    assert np.isnan(low_pass_correlation(raw[:32, :32], raw[:32, :32]))


def test_residual_of_white_noise_is_white_and_afterglow_shows_along_x():
    rng = np.random.default_rng(5)
    clean = ndimage.gaussian_filter(rng.random((256, 256)), 4)
    white = 0.1 * rng.standard_normal(clean.shape)
    assert residual_autocorrelation(5 * (clean + white) + 1, clean) == pytest.approx((0, 0), abs=0.02)
    glow = signal.lfilter([1], [1, -0.4], white, axis=1)
    along_x, along_y = residual_autocorrelation(clean + glow, clean)
    assert along_x == pytest.approx(0.4, abs=0.02)
    assert along_y == pytest.approx(0, abs=0.02)


def test_lost_structure_shows_in_the_residual():
    rng = np.random.default_rng(6)
    clean = 10 * ndimage.gaussian_filter(rng.random((128, 128)), 3)
    raw = clean + 0.1 * rng.standard_normal(clean.shape)
    assert min(residual_autocorrelation(raw, ndimage.gaussian_filter(clean, 12))) > 0.5


def test_no_residual_has_no_autocorrelation():
    raw = np.random.default_rng(7).integers(0, 60_000, (32, 32)).astype(np.uint16)
    assert np.isnan(residual_autocorrelation(raw, raw / 7 + 3)).all()
