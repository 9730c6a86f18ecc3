"""Trajectories."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_noise2atom.trust.tracks import FARTHEST_PX, GAP_FRAMES, link, reach, sample_places


def walk(atoms=6, frames=20, step=0.4, seed=0):
    """Places of atoms far from one another, shape (frames, atoms, 2)."""
    rng = np.random.default_rng(seed)
    start = 20.0 * np.stack(np.meshgrid(np.arange(2), np.arange(atoms // 2)), axis=-1).reshape(-1, 2)
    return start + np.cumsum(step * rng.standard_normal((frames, atoms, 2)), axis=0)


@given(st.integers(0, 1000))
def test_walking_atoms_keep_their_numbers_in_whatever_order(seed):
    paths, rng = walk(seed=seed), np.random.default_rng(seed)
    orders = [rng.permutation(6) for _ in paths]
    numbers = link([frame[order] for frame, order in zip(paths, orders, strict=True)], 3.6)
    truth = [np.argsort(orders[0])[order] for order in orders]
    np.testing.assert_array_equal(numbers, truth)


@pytest.mark.parametrize(("missed", "trajectories"), [(1, 1), (GAP_FRAMES, 1), (GAP_FRAMES + 1, 2)])
def test_short_gaps_are_bridged(missed, trajectories):
    atom, none = np.array([[5.0, 5.0]]), np.empty((0, 2))
    numbers = link([atom, atom, *[none] * missed, atom], 2)
    assert len(set(np.concatenate(numbers))) == trajectories


def test_a_jump_begins_another_trajectory():
    numbers = link([np.array([[5.0, 5]]), np.array([[5.0, 6.5]]), np.array([[5.0, 9]])], 2)
    assert np.concatenate(numbers).tolist() == [0, 0, 1]


def test_crossing_atoms_share_out_as_close_as_possible():
    before, after = np.array([[0.0, 0], [0, 3]]), np.array([[0.0, 2.5], [0, 0.5]])
    assert link([before, after], 4)[1].tolist() == [1, 0]


def test_a_trajectory_has_one_atom_a_frame():
    rng = np.random.default_rng(0)
    for number in link([rng.uniform(0, 20, (rng.integers(0, 9), 2)) for _ in range(30)], 4):
        assert len(np.unique(number)) == len(number)


def crowd(walk_px, seed=0, frames=30, atoms=40):
    """Atoms all over a frame of 128 px that walk, some of which are not seen; shape (atoms, 2) for each frame."""
    rng = np.random.default_rng(seed)
    paths = rng.uniform(0, 128, (atoms, 2)) + np.cumsum(walk_px * rng.standard_normal((frames, atoms, 2)), axis=0)
    return [frame[rng.random(atoms) < 0.85] for frame in paths]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("walk_px", [0.0, 0.5])
def test_it_is_found_where_the_whole_sample_is(walk_px, seed):
    rng = np.random.default_rng(seed)
    steps = rng.uniform(-FARTHEST_PX + 1, FARTHEST_PX - 1, (30, 2))
    steps[0] = 0
    moving = [atoms + place for atoms, place in zip(crowd(walk_px, seed), np.cumsum(steps, axis=0), strict=True)]
    moving.insert(7, np.empty((0, 2)))
    found = np.delete(np.diff(sample_places(moving), axis=0), 6, axis=0)
    assert np.abs(found - steps[1:]).max() <= 1.0 + walk_px


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("atoms", "walk_px"), [(1, 1.0), (2, 2.0), (40, 3.0), (10, 3.0)])
def test_atoms_that_go_their_own_ways_do_not_move_the_sample(atoms, walk_px, seed):
    assert not sample_places(crowd(walk_px, seed, atoms=atoms)).any()


def test_the_reach_follows_the_motion(settings):
    assert reach(settings) == pytest.approx(2 + 4 * settings.scene.walk_px)
