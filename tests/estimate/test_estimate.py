from dataclasses import asdict, replace

import dask.array as da
import numpy as np
import pytest

from napari_noise2atom.estimate import estimate, propose, settings_from
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import PRESETS, Settings

IN_COUNTS = {"offset_counts", "gain_counts", "read_noise_counts", "floor_counts", "saturation_counts"}


@pytest.fixture(scope="module")
def movie(simulated) -> Movie:
    return simulated().noisy


@pytest.fixture(scope="module")
def found(movie):
    return estimate(movie)


def test_shift_and_scale_of_the_grey_values_change_offset_and_gain_only(movie, found):
    scale, shift = 4, 256
    moved = estimate(Movie(np.asarray(movie.data).astype(np.float32) * scale + shift))
    for name in ("gain_counts", "read_noise_counts"):
        assert getattr(moved, name) == pytest.approx(scale * getattr(found, name), rel=0.01)
    for name in ("offset_counts", "saturation_counts"):
        assert getattr(moved, name) == pytest.approx(scale * getattr(found, name) + shift, rel=0.01)
    same = {name: value for name, value in asdict(found).items() if name not in IN_COUNTS}
    assert {name: asdict(moved)[name] for name in same} == pytest.approx(same, rel=0.01)


def test_a_lazy_movie_tells_the_same(movie, found):
    assert estimate(replace(movie, data=da.from_array(movie.data, chunks=(5, 128, 128)))) == found


def test_bad_frames_hardly_matter(movie, found):
    data = np.asarray(movie.data).astype(np.float32)
    data[5], data[30] = np.nan, 7
    spoilt = estimate(Movie(data))
    assert spoilt.certain
    assert spoilt.gain_counts == pytest.approx(found.gain_counts, rel=0.2)
    assert spoilt.spot_variance_px2 == pytest.approx(found.spot_variance_px2, rel=0.2)


def test_fewer_than_two_good_frames_are_refused(movie):
    data = np.asarray(movie.data[:4]).astype(np.float32)
    data[1:] = np.nan
    with pytest.raises(ValueError, match="fewer than two usable frames"):
        estimate(Movie(data))


def test_the_papers_clean_images_are_kept(movie):
    proposed, _ = propose(movie, PRESETS["paper"])
    assert proposed.simulation == PRESETS["paper"].simulation
    assert proposed.training == PRESETS["paper"].training
    assert proposed.detector != PRESETS["paper"].detector


def test_other_clean_images_are_those_of_the_movie(movie):
    proposed, found = propose(movie, PRESETS["default"])
    clean = proposed.simulation
    assert clean.variance_min_px2 < found.spot_variance_px2 < clean.variance_max_px2
    on_lattice = found.atoms_per_frame * (clean.lattice_px / 128) ** 2
    assert clean.positions_min < on_lattice < clean.positions_max
    assert clean.kernel_px // 2 >= 3.5 * np.sqrt(found.spot_variance_px2)
    assert proposed.scene.atom_peak_e == found.atom_peak_e
    assert proposed.detector.gain_counts == found.gain_counts


def test_a_movie_that_drifts_is_aligned(simulated):
    whole = simulated(size_px=224, clusters=15, single_atoms=54)
    still, drifting = (
        Movie(
            np.stack([frame[y : y + 128, x : x + 128] for frame, y, x in zip(whole.noisy.data, *corners, strict=True)])
        )
        for corners in (np.full((2, 64), 40), (np.arange(64), np.arange(64) // 2))
    )
    for preset, movie, aligned in (
        ("compact", still, False),
        ("compact", drifting, True),
        ("paper", drifting, False),
    ):
        proposed, found = propose(movie, PRESETS[preset])
        assert proposed.network.aligned == aligned
        assert found.step_px < 0.7, "what all atoms do is not what each of them does"
    assert found.drift_px == pytest.approx(np.hypot(1, 0.5), abs=0.1)
    aligned = PRESETS["compact"].network.model_copy(update={"aligned": True})
    assert propose(still, PRESETS["compact"].model_copy(update={"network": aligned}))[0].network.aligned


def test_atoms_in_a_corner_of_a_large_frame_are_measured(simulated, movie, found):
    frames = np.array(simulated(size_px=640, clusters=0, single_atoms=0, frames=len(movie)).noisy.data)
    frames[:, 30:158, 470:598] = movie.data
    large = estimate(Movie(frames))
    for name in ("spot_variance_px2", "atom_peak_e", "gain_counts"):
        assert getattr(large, name) == pytest.approx(getattr(found, name), rel=0.15), name


def test_atoms_beside_vacuum_are_measured_as_those_of_a_whole_film(simulated, half_empty):
    whole = simulated(size_px=192, clusters=10, single_atoms=30, background_e=0.6, walk_px=0.35)
    half, all_of_it = estimate(half_empty(whole, 0.5)), estimate(whole.noisy)
    for name in ("spot_variance_px2", "atom_peak_e", "background_e", "atoms_per_frame"):
        assert getattr(half, name) == pytest.approx(getattr(all_of_it, name), rel=0.35), name


@pytest.mark.parametrize("jump_px", [1.0, 2.0])
def test_a_movie_that_jumps_tells_the_same_and_is_steadied(simulated, jump_px):
    whole = simulated(size_px=224, clusters=15, single_atoms=54)
    jumps = np.clip(jump_px * np.random.default_rng(0).standard_normal((64, 2)), -16, 16).round().astype(int)
    still, jumping = (
        Movie(np.stack([frame[y : y + 128, x : x + 128] for frame, (y, x) in zip(whole.noisy.data, at, strict=True)]))
        for at in (np.full((64, 2), 40), 40 + jumps)
    )
    (without, at_rest), (proposed, found) = (propose(each, PRESETS["compact"]) for each in (still, jumping))
    assert at_rest.jump_px < 0.25
    assert without.network.jump_px == 0
    assert proposed.network.jump_px == found.jump_px
    assert found.jump_px == pytest.approx(jumps.std(), rel=0.25)
    assert found.step_px == pytest.approx(at_rest.step_px, abs=0.25)
    assert found.spot_variance_px2 == pytest.approx(at_rest.spot_variance_px2, rel=0.12)
    assert propose(jumping, PRESETS["paper"])[0].network.jump_px == 0


@pytest.mark.parametrize(("column_atoms", "most"), [(1, 4), (3, 4), (7, 10)])
def test_clean_images_reach_to_the_thickest_columns_and_beyond(movie, found, column_atoms, most):
    proposed = settings_from(replace(found, column_atoms=column_atoms), movie, PRESETS["compact"])
    assert proposed.scene.column_atoms == column_atoms
    assert proposed.simulation.atoms_per_position == most


@pytest.mark.parametrize(
    ("length", "name", "frames_in"), [(2, "compact", 1), (6, "compact", 5), (40, "compact", 13), (6, "paper", 1)]
)
def test_a_network_sees_no_more_frames_than_there_are(movie, found, length, name, frames_in):
    short = movie.with_data(movie.data[:length], "short")
    assert settings_from(found, short, PRESETS[name]).network.frames_in == frames_in


@pytest.mark.parametrize(
    ("height", "name", "crop_px"), [(100, "paper", 96), (100, "compact", 64), (40, "compact", 40), (39, "compact", 64)]
)
def test_crops_are_no_larger_than_frames_as_long_as_the_low_pass_fits_in(movie, found, height, name, crop_px):
    low = movie.with_data(movie.data[:, :height], "low")
    assert settings_from(found, low, PRESETS[name]).simulation.crop_px == crop_px


ODD_MOVIES = {
    "two frames": np.random.default_rng(0).poisson(5, (2, 32, 32)).astype(np.uint16),
    "zero and one": np.random.default_rng(1).integers(0, 2, (8, 64, 64)).astype(np.uint8),
    "almost empty": (np.random.default_rng(2).random((16, 64, 64)) < 1e-3).astype(np.uint8),
    "huge values": 1e9 * np.random.default_rng(3).random((8, 64, 64)),
    "tiny frames": np.random.default_rng(4).poisson(5, (8, 16, 16)).astype(np.uint8),
    "wide frames": np.random.default_rng(5).poisson(5, (8, 20, 300)).astype(np.uint8),
    "no noise": np.broadcast_to(np.add.outer(np.arange(64.0), np.arange(48.0)), (8, 64, 48)),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ODD_MOVIES)
def test_proposals_are_valid_settings_for_every_movie(name, preset):
    proposed, _ = propose(Movie(ODD_MOVIES[name]), PRESETS[preset])
    assert Settings.model_validate_json(proposed.model_dump_json()) == proposed


@pytest.mark.parametrize("shift", [-1000, -1e5])
def test_negative_grey_values_are_as_good(movie, found, shift):
    moved = Movie((np.asarray(movie.data).astype(np.float32) + shift) / 1000)
    settings, estimated = propose(moved, PRESETS["compact"])
    assert estimated.spot_variance_px2 == pytest.approx(found.spot_variance_px2, rel=0.02)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_dark_atoms_are_told(movie, found):
    grey = np.asarray(movie.data).astype(np.float32)
    assert estimate(Movie(grey.max() - grey)).dark
    assert not found.dark
