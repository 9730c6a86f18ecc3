import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noise2atom.settings import CleanSettings
from napari_noise2atom.simulate.clean import lost_width_px, narrowed, simulate_clean
from napari_noise2atom.simulate.spots import render_spots

PAPER = CleanSettings()


@pytest.fixture(scope="module")
def clean():
    return simulate_clean(200, PAPER, np.random.default_rng(0))


def test_images_fill_the_range_and_no_more(clean):
    assert clean.images.shape == (200, 128, 128)
    assert clean.images.dtype == np.float32
    assert clean.images.min() == -1
    assert clean.images.max() == 1


def test_number_of_positions_is_the_papers(clean):
    # The crop is a quarter of the lattice, on which there are 75–150 positions.
    inside = (clean.atoms > 0).sum(axis=1)
    assert inside.mean() == pytest.approx(112.5 / 4, rel=0.05)
    assert inside.max() < 150 / 2


def test_numbers_on_the_whole_lattice_stay_within_their_limits():
    whole = simulate_clean(100, PAPER.model_copy(update={"crop_px": 256}), np.random.default_rng(1))
    inside = (whole.atoms > 0).sum(axis=1)
    assert 75 <= inside.min() < 80
    assert 145 < inside.max() <= 150


def test_one_to_four_atoms_are_equally_likely(clean):
    shares = np.bincount(clean.atoms[clean.atoms > 0], minlength=5)[1:] / (clean.atoms > 0).sum()
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


def test_variances_are_uniform(clean):
    assert 1 <= clean.variance_px2.min() < 1.3
    assert 9.7 < clean.variance_px2.max() <= 10
    assert clean.variance_px2.mean() == pytest.approx(5.5, abs=0.6)


def test_narrowing_changes_nothing_but_the_variance():
    asked = PAPER.model_copy(update={"narrowing": 0.6})
    full, narrow = (simulate_clean(20, asked, np.random.default_rng(0)) for asked in (PAPER, asked))
    wide = full.variance_px2 > 1 / 0.6
    np.testing.assert_allclose(narrow.variance_px2[wide], 0.6 * full.variance_px2[wide], rtol=1e-6)
    np.testing.assert_array_equal(narrow.variance_px2[~wide], 1)
    np.testing.assert_array_equal(narrow.positions, full.positions)
    assert np.all(narrow.images <= full.images + 1e-6)
    np.testing.assert_array_equal(narrowed(np.array([0.5]), 0.25), 0.5)  # it is never made wider


def test_a_blur_gives_narrowed_spots_their_width_back():
    asked = PAPER.model_copy(update={"variance_min_px2": 6.4, "variance_max_px2": 10.0, "narrowing": 0.25})
    assert lost_width_px(asked) == pytest.approx(np.sqrt(0.75 * 8), rel=1e-6)
    assert lost_width_px(PAPER) == 0


def test_positions_are_whole_pixels_spread_over_the_crop(clean):
    places = clean.positions[clean.atoms > 0]
    assert np.isnan(clean.positions[clean.atoms == 0]).all()
    np.testing.assert_array_equal(places, np.round(places))
    counts = np.histogram2d(*places.T, bins=4, range=[[0, 128], [0, 128]])[0]
    np.testing.assert_allclose(counts / counts.mean(), 1, atol=0.25)


def test_truth_explains_the_images(clean):
    # Kernels from outside the crop reach 16 px into it.
    for image, places, atoms, variance in zip(
        clean.images[:20], clean.positions, clean.atoms, clean.variance_px2, strict=False
    ):
        there = atoms > 0
        expected = render_spots(*places[there].T, atoms[there] / 2, variance, (128, 128), 16) - 1
        inner = (slice(16, -16), slice(16, -16))
        np.testing.assert_allclose(image[inner], np.minimum(expected, 1)[inner], atol=1e-5)


def test_an_isolated_position_is_as_bright_as_its_atoms():
    sparse = CleanSettings(positions_min=1, positions_max=1)
    clean = simulate_clean(100, sparse, np.random.default_rng(2))
    image, column = np.nonzero(clean.atoms)
    y, x = clean.positions[image, column].astype(int).T
    np.testing.assert_allclose(clean.images[image, y, x], clean.atoms[image, column] / 2 - 1, atol=1e-6)


def test_a_spot_ends_with_its_kernel():
    wide = CleanSettings(positions_min=1, positions_max=1, variance_min_px2=10, variance_max_px2=10, kernel_px=5)
    clean = simulate_clean(50, wide, np.random.default_rng(3))
    assert 0 < (clean.images > -1).sum(axis=(1, 2)).max() <= 25


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_seeds_give_equal_images(seed):
    small = CleanSettings(lattice_px=64, crop_px=32, positions_min=3, positions_max=9)
    one, two, other = (simulate_clean(4, small, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.positions, two.positions)
    assert not np.array_equal(one.images, other.images)


def test_torch_renders_the_same_images_where_it_is_told_to():
    drawn, rendered, elsewhere = (
        simulate_clean(9, PAPER, np.random.default_rng(4), **renderer)
        for renderer in ({}, {"xp": torch}, {"xp": torch, "device": "meta"})
    )
    assert rendered.images.dtype == torch.float32
    np.testing.assert_allclose(rendered.images, drawn.images, atol=1e-5)
    np.testing.assert_array_equal(rendered.positions, drawn.positions)
    assert elsewhere.images.device.type == "meta"
    assert elsewhere.images.shape == drawn.images.shape
