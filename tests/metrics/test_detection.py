import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noise2atom.metrics import detection_scores, find_atoms, match_atoms


@pytest.mark.parametrize(("false_spots", "found", "matched"), [(1, 7, 6), (2, 5, 5)])
def test_the_best_threshold_weighs_faint_atoms_against_false_spots(spot_movie, false_spots, found, matched):
    # One false spot is worth the faint atom (F1 12/13 against 10/11), two are not (12/14 against 10/11).
    frames, positions = spot_movie(false_spots)
    result = detection_scores(frames, positions, every=1)
    assert result.f1 == pytest.approx(2 * matched / (found + 6))
    assert result.precision == pytest.approx(matched / found)
    assert result.recall == pytest.approx(matched / 6)
    assert result.false_per_frame == found - matched
    assert result.found.tolist() == [found] * 4
    assert result.real.tolist() == [6] * 4
    assert result.matched.tolist() == [matched] * 4
    assert 0 < result.mean_error_px < 0.05
    assert result.threshold == pytest.approx(4 if matched == 6 else 11, abs=0.5)


def test_only_every_nth_good_frame_counts(spot_movie):
    frames, positions = spot_movie(0)
    frames[2] = 0
    assert detection_scores(frames, positions, every=1).frames.tolist() == [0, 1, 3]
    assert detection_scores(frames, positions, every=2).frames.tolist() == [0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([1.5, 3.0, 6.0]))
def test_no_threshold_is_better(seed, radius):
    rng = np.random.default_rng(seed)
    # Few grey values: equal heights are the rule in raw counts.
    frames = rng.integers(0, 12, (2, 20, 24))
    positions = rng.uniform(0, 19, (2, 7, 2))
    result = detection_scores(frames, positions, radius, every=1)
    rivals = []
    for threshold in np.unique(frames):
        found = [find_atoms(frame, threshold) for frame in frames]
        pairs = sum(len(match_atoms(*both, radius)) for both in zip(found, positions, strict=True))
        rivals.append(2 * pairs / (sum(map(len, found)) + 14))
    assert result.f1 == pytest.approx(max(rivals))


def test_nothing_found_and_nothing_real(spot_movie):
    frames, positions = spot_movie(0)
    nowhere = detection_scores(frames, np.full((4, 1, 2), 17.0), every=1)
    assert (nowhere.threshold, nowhere.recall, nowhere.f1, nowhere.false_per_frame) == (np.inf, 0, 0, 0)
    assert np.isnan([nowhere.precision, nowhere.mean_error_px]).all()
    empty = detection_scores(frames, np.full_like(positions, np.nan), every=1)
    assert np.isnan([empty.precision, empty.recall, empty.f1]).all()


@pytest.mark.parametrize(("change", "message"), [({"every": 0}, "every"), ({"radius_px": -1}, "radius")])
def test_settings_are_checked(spot_movie, change, message):
    with pytest.raises(ValueError, match=message):
        detection_scores(*spot_movie(0), **change)


def test_frames_and_positions_must_agree(spot_movie):
    frames, positions = spot_movie(0)
    with pytest.raises(ValueError, match="shorter"):
        detection_scores(frames, positions[:3])
