import numpy as np
import pytest

from napari_noise2atom.settings import DetectorSettings, SceneSettings, Settings, preset
from napari_noise2atom.simulate.pairs import _heights, _motion, _places, simulate_pairs

IDEAL = DetectorSettings(
    offset_counts=0, gain_counts=100, pulse_shape=1e4, afterglow=0, line_jitter_px=0, read_noise_counts=0,
    floor_counts=-1e9, saturation_counts=1e9,
)  # fmt: skip
BRIGHT = SceneSettings(atom_peak_e=1000, background_e=0, walk_px=0.5)
FRAMES = 5
MIDDLE = 2


def settings(scene: SceneSettings = BRIGHT, detector: DetectorSettings = IDEAL) -> Settings:
    compact = preset("compact")
    simulation = compact.simulation.model_copy(update={"narrowing": 1.0})
    network = compact.network.model_copy(update={"frames_in": FRAMES})
    return compact.model_copy(
        update={"scene": scene, "detector": detector, "simulation": simulation, "network": network}
    )


def test_shapes_and_ranges() -> None:
    pairs = simulate_pairs(6, 40, settings(), np.random.default_rng(0))
    assert pairs.noisy.shape == (6, FRAMES, 40, 40)
    assert pairs.clean.shape == (6, 40, 40)
    assert pairs.noisy.dtype == pairs.clean.dtype == np.float32
    assert pairs.clean.min() == pytest.approx(-1)
    assert pairs.clean.max() <= 1


def test_equal_seeds_give_equal_pairs() -> None:
    first, again = (simulate_pairs(3, 32, settings(), np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.noisy, again.noisy)


def test_the_clean_image_is_that_of_the_middle_frame() -> None:
    pairs = simulate_pairs(8, 64, settings(), np.random.default_rng(1))
    agreement = [
        [np.corrcoef(frame.ravel(), clean.ravel())[0, 1] for frame in noisy]
        for noisy, clean in zip(pairs.noisy, pairs.clean, strict=True)
    ]
    assert np.argmax(np.mean(agreement, axis=0)) == MIDDLE
    assert np.mean(agreement, axis=0)[MIDDLE] > 0.98


def test_clean_spots_are_narrower_than_noisy_ones_where_told_to() -> None:
    def drawn(narrowing: float) -> Settings:
        asked = settings()
        # far more atoms in one place than there are: nothing is cut off at an intensity of 1
        clean = asked.simulation.model_copy(update={"narrowing": narrowing, "atoms_per_position": 1000})
        return asked.model_copy(update={"simulation": clean})

    full, narrow = (simulate_pairs(8, 64, drawn(n), np.random.default_rng(1)) for n in (1.0, 0.5))
    np.testing.assert_array_equal(full.noisy, narrow.noisy)
    # the peaks stay: the integral of a spot is proportional to its variance
    assert (narrow.clean + 1).sum() == pytest.approx(0.5 * (full.clean + 1).sum(), rel=0.05)
    assert np.all(narrow.clean <= full.clean + 1e-6)


def test_intensity_is_proportional_to_the_electrons_of_atoms() -> None:
    scene = BRIGHT.model_copy(update={"atom_peak_e": 20.0})
    pairs = simulate_pairs(24, 48, settings(scene), np.random.default_rng(2))
    atoms = (pairs.clean + 1) * 2  # in single atoms of the expected brightness
    middle = pairs.noisy[:, MIDDLE]
    unsaturated = pairs.clean < 0.9
    slope = np.polyfit(atoms[unsaturated], middle[unsaturated], 1)[0]
    assert slope == pytest.approx(20 * 100, rel=0.4)  # the gain varies from batch to batch


def test_the_background_is_not_in_the_clean_image() -> None:
    scene = SceneSettings(atom_peak_e=1e-6, background_e=50)
    sparse = settings(scene)
    pairs = simulate_pairs(150, 32, sparse, np.random.default_rng(3))
    levels = pairs.noisy.mean(axis=(1, 2, 3)) / 100
    assert levels.min() < 35
    assert levels.max() > 70
    assert np.corrcoef(levels, pairs.clean.mean(axis=(1, 2)))[0, 1] < 0.3


def test_motion_is_from_slow_to_fast() -> None:
    pairs = simulate_pairs(60, 64, settings(), np.random.default_rng(5))
    likeness = [
        np.corrcoef(noisy[1].ravel(), noisy[2].ravel())[0, 1]
        for noisy in pairs.noisy
        if noisy[1:3].std(axis=(1, 2)).all()
    ]
    assert min(likeness) < 0.8
    assert max(likeness) > 0.95


def test_atoms_of_a_cluster_are_a_bond_apart() -> None:
    variance = 3.0
    places = _places(60, 96, np.full(60, variance), settings(), np.random.default_rng(6))
    follows = np.argwhere(places.leader != np.arange(places.leader.shape[1]))
    mates = [places.positions[image, places.leader[image] == places.leader[image, atom]] for image, atom in follows]
    own = places.positions[tuple(follows.T)]
    sigmas = [np.sort(np.linalg.norm(m - p, axis=1))[1] / variance**0.5 for m, p in zip(mates, own, strict=True)]
    assert len(sigmas) > 300
    assert 2 < np.median(sigmas) < 5  # bonds of 3.5 to 7, seen from everywhere
    assert np.quantile(sigmas, 0.98) < 8
    assert 0.2 < len(follows) / places.there.sum() < 0.7


def test_a_cluster_moves_as_one_and_trembles() -> None:
    moving = settings(BRIGHT.model_copy(update={"walk_px": 2.0}))
    rng = np.random.default_rng(7)
    places = _places(40, 96, np.full(40, 3.0), moving, rng)
    moved = _motion(places, FRAMES, moving, rng)
    assert moved.shape == (40, FRAMES, places.there.shape[1], 2)
    np.testing.assert_array_equal(moved[:, MIDDLE], 0)
    follows = places.leader != np.arange(places.leader.shape[1])
    of_leader = np.take_along_axis(moved, places.leader[:, None, :, None], axis=2)
    along = np.corrcoef(moved.transpose(0, 2, 1, 3)[follows].ravel(), of_leader.transpose(0, 2, 1, 3)[follows].ravel())
    assert 0.3 < along[0, 1] < 0.95
    alone = ~places.clustered
    steps = np.diff(moved, axis=1).transpose(0, 2, 1, 3)
    # a random walk goes on, a tremble turns back
    onward = [np.corrcoef(steps[kind][:, 0].ravel(), steps[kind][:, 1].ravel())[0, 1] for kind in (alone, follows)]
    assert abs(onward[0]) < 0.15
    assert onward[1] < -0.2


def test_as_many_atoms_as_are_asked_for_and_no_range() -> None:
    one = settings()
    simulation = one.simulation.model_copy(update={"positions_min": 30, "positions_max": 30})
    pairs = simulate_pairs(4, 64, one.model_copy(update={"simulation": simulation}), np.random.default_rng(0))
    assert (pairs.clean.max(axis=(1, 2)) > -0.5).all()


def test_a_wedge_has_no_direction() -> None:
    slopes = []
    for gradient in (-1.5, 1.5):
        wedged = settings(SceneSettings(atom_peak_e=1e-6, background_e=50, background_gradient=gradient))
        noisy = simulate_pairs(40, 32, wedged, np.random.default_rng(3)).noisy.mean(axis=1)
        sides = np.abs(noisy[:, :, 16:].mean(axis=(1, 2)) - noisy[:, :, :16].mean(axis=(1, 2)))
        slopes.append(float((sides / noisy.mean(axis=(1, 2))).mean()))
    assert slopes[0] == pytest.approx(slopes[1], rel=0.05)


@pytest.mark.parametrize("thickest", [2, 7])
def test_columns_have_all_heights_and_thin_ones_are_the_more_common(thickest: int) -> None:
    atoms = _heights((300, 60), thickest, np.random.default_rng(8))
    number = np.bincount(atoms.ravel())[1:]
    assert len(number) == thickest
    np.testing.assert_allclose(number / number[0], 1 / np.arange(1, thickest + 1), rtol=0.1)


def test_without_columns_hardly_any_atom_lies_behind_another() -> None:
    share = np.bincount(_heights((300, 60), 1, np.random.default_rng(8)).ravel()) / 18000
    np.testing.assert_allclose(share, [0, 0.9, 0.08, 0.02], atol=0.01)


def test_columns_are_as_bright_as_their_atoms_together() -> None:
    thick = settings(BRIGHT.model_copy(update={"column_atoms": 7}))
    simulation = thick.simulation.model_copy(update={"atoms_per_position": 14})
    drawn = (simulate_pairs(60, 48, s, np.random.default_rng(9)) for s in (settings(), thick))
    thin, columns = (np.quantile(pairs.noisy[:, MIDDLE], 0.999) for pairs in drawn)
    assert 2 < columns / thin < 7  # of 1 to 7 atoms, and of 1 to 3
    clean = simulate_pairs(60, 48, thick.model_copy(update={"simulation": simulation}), np.random.default_rng(9)).clean
    assert 0 < clean.max() <= 1  # above 7 of 14 atoms, by their brightness
