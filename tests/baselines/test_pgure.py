import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_noise2atom.baselines.pgure import THRESHOLDS, SingularValues, choose_threshold, pgure_svt, risk_estimate
from napari_noise2atom.baselines.trajectories import PATCH_PX, Trajectories, spread
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

READ_VARIANCE = 0.1


def spots(frames=15, size=40, step_px=0.0, peak=4.0):
    """Four spots on a film, which move to the right."""
    y, x = np.mgrid[:size, :size]
    return np.stack(
        [
            0.5
            + sum(peak * np.exp(-((y - a) ** 2 + (x - b - step_px * t) ** 2) / 8) for a in (10, 28) for b in (9, 22))
            for t in range(frames)
        ]
    ).astype(np.float32)


def record(clean, read_variance=READ_VARIANCE, seed=0):
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(clean) + np.sqrt(read_variance) * rng.standard_normal(clean.shape)
    return torch.from_numpy(noisy.astype(np.float32))


def random():
    return torch.Generator().manual_seed(0)


def mean_squared_error(estimator, noisy, clean, threshold):
    restored = estimator.decompose(noisy)(threshold)
    return float(((restored.mean - torch.from_numpy(clean)) ** 2)[restored.count > 0].mean())


def unit(noisy, read_variance=READ_VARIANCE):
    return (float(noisy.mean()) + read_variance) ** 0.5 * (PATCH_PX + len(noisy) ** 0.5)


@given(length=st.integers(1, 300), part=st.integers(1, 150), data=st.data())
def test_parts_cover_a_length(length, part, data):
    starts = spread(length, part, data.draw(st.integers(1, part)))
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + part] = True
    assert covered.all()
    assert starts[0] == 0
    assert starts[-1] + min(part, length) == length


def test_patches_return_to_their_places():
    noisy = record(spots(step_px=0.7))
    trajectories = Trajectories.in_frames(noisy)
    count = trajectories.put_back(torch.ones(trajectories.pixels.shape))
    again = trajectories.put_back(trajectories.cut(noisy)) / count.clamp(min=1)
    covered = count > 0
    assert covered.float().mean() > 0.95
    assert covered[len(noisy) // 2].all()
    torch.testing.assert_close(again[covered], noisy[covered])


def test_patches_follow_a_motion_and_stay_without_one():
    for step_px in (0, 1):
        frames = torch.from_numpy(spots(step_px=step_px, peak=50))
        corners = Trajectories.in_frames(frames).pixels[..., 0].numpy() % frames[0].numel()
        column = corners % frames.shape[2]
        middle, row = column[:, 7], corners[:, 7] // frames.shape[2]
        on_a_spot = (abs(row + 1.5 - 10) < 2) & (abs(middle + 1.5 - 9 - 7 * step_px) < 2)
        assert on_a_spot.any()
        np.testing.assert_array_equal(column[on_a_spot][:, 12] - middle[on_a_spot], 5 * step_px)


def test_without_a_threshold_nothing_is_lost():
    noisy = record(spots())
    restored = SingularValues(Trajectories.in_frames(noisy)).decompose(noisy)(1e-6)
    torch.testing.assert_close(restored.mean[restored.count > 0], noisy[restored.count > 0], atol=1e-3, rtol=1e-3)


def test_low_rank_is_recovered_from_noise():
    """A still scene of changing brightness: every matrix is of rank 1, 30 of 240 numbers."""
    clean = spots() * np.linspace(2, 4, 15, dtype=np.float32)[:, None, None]
    noisy = record(clean)
    estimator = SingularValues(Trajectories.in_frames(noisy))
    threshold = choose_threshold(estimator, noisy, READ_VARIANCE, random())
    raw_error = float(((noisy - torch.from_numpy(clean)) ** 2).mean())
    assert mean_squared_error(estimator, noisy, clean, threshold) < raw_error / 5


@pytest.mark.parametrize("step_px", [0.0, 0.5])
@pytest.mark.parametrize("peak", [1.0, 6.0])
def test_estimated_risk_finds_the_best_threshold(step_px, peak):
    clean = spots(step_px=step_px, peak=peak)
    noisy = record(clean)
    estimator = SingularValues(Trajectories.in_frames(noisy))
    errors = [mean_squared_error(estimator, noisy, clean, unit(noisy) * share) for share in THRESHOLDS]
    chosen = choose_threshold(estimator, noisy, READ_VARIANCE, random())
    assert mean_squared_error(estimator, noisy, clean, chosen) < 1.1 * min(errors)


def test_estimated_risk_is_the_error_on_average():
    clean = spots(step_px=0.3)
    differences = []
    for seed in range(6):
        noisy = record(clean, seed=seed)
        estimator = SingularValues(Trajectories.in_frames(noisy))
        risk = risk_estimate(estimator, noisy, READ_VARIANCE, torch.Generator().manual_seed(seed))
        threshold = 1.5 * unit(noisy)
        differences.append(risk(threshold) - mean_squared_error(estimator, noisy, clean, threshold))
    raw_error = float(clean.mean()) + READ_VARIANCE
    assert abs(np.mean(differences)) < 0.05 * raw_error


def test_movie_in_windows_and_tiles_is_denoised_in_its_own_grey_values():
    clean = np.concatenate([spots(frames=17, size=40)] * 4, axis=2)  # 160 px wide: two tiles
    grey = 100 + 50 * record(clean).numpy()
    denoised = pgure_svt(Movie(grey), CompareSettings(threads=1), lambda share: None)
    assert denoised.dtype == np.float32
    expected = 100 + 50 * clean
    assert ((denoised - expected) ** 2).mean() < ((grey - expected) ** 2).mean() / 4
    again = pgure_svt(Movie(grey), CompareSettings(threads=1), lambda share: None)
    np.testing.assert_array_equal(denoised, again)
