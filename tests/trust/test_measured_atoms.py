"""The table of atoms: where they are, how sure they are, what is written."""

import csv

import numpy as np
import pytest

from napari_noise2atom.metrics import match_atoms
from napari_noise2atom.movie import Movie
from napari_noise2atom.simulate.spots import render_spots
from napari_noise2atom.trust import measure_atoms
from napari_noise2atom.trust.confidence import confidence, versions

SIZE = (48, 64)


def identity(movie):
    return movie


def spots(*places, weight=0.3, variance=4.0):
    """A clean frame with spots at places (y, x)."""
    y, x = np.array(places, float).reshape(-1, 2).T
    return render_spots(y, x, np.full(len(places), weight), variance, SIZE)


@pytest.mark.parametrize("variance", [1.0, 2.5, 7.0, 14.0])
def test_places_of_clean_spots_are_right_within_a_tenth_of_a_pixel(variance, settings):
    rng = np.random.default_rng(0)
    known = np.array([20.0, 30.0]) + rng.uniform(-0.5, 0.5, (30, 2))
    movie = Movie(np.stack([spots(place, variance=variance) for place in known]))
    atoms = measure_atoms(movie, identity, settings)
    assert atoms.per_frame.tolist() == [1] * 30
    np.testing.assert_allclose(np.stack([atoms.y_px, atoms.x_px], axis=1), known, atol=0.1)
    np.testing.assert_allclose(atoms.intensity, 0.3, rtol=0.25)


def test_versions_are_turned_back():
    """Of a denoiser that treats all places and times alike nothing is seen of the turning."""
    movie = Movie(np.random.default_rng(0).normal(size=(5, 6, 7)))
    for index in range(5):
        frames = [look(index) for look in versions(movie, identity)]
        assert len(frames) == 4
        for frame in frames:
            np.testing.assert_array_equal(frame, movie.frame(index))


def test_x_is_never_mirrored():
    seen = []
    versions(Movie(np.arange(24.0).reshape(2, 3, 4)), lambda movie: seen.append(movie) or movie)
    assert all((np.diff(movie.data, axis=2) > 0).all() for movie in seen)


def test_confidence_is_the_share_of_versions():
    atoms = np.array([[10.0, 10, 1], [20, 20, 1], [30, 30, 1]])
    near, far = atoms + np.array([1.2, 1.2, 0]), atoms + np.array([1.5, 1.5, 0])
    np.testing.assert_allclose(confidence(atoms, [near, near[:1], far, atoms[2:]]), [0.5, 0.25, 0.5])
    assert np.isnan(confidence(atoms, [])).all()


def test_a_lasting_atom_is_surer_than_a_flash(settings):
    steady, flash = (12, 12), (30, 40)
    movie = Movie(np.stack([spots(steady, flash) if index == 2 else spots(steady) for index in range(5)]))
    atoms = measure_atoms(movie, identity, settings)
    at_flash = atoms.x_px > 30
    assert (atoms.confidence[~at_flash] == 1).all()
    assert atoms.confidence[at_flash] == pytest.approx(3 / 5), "not in the frames before and after"
    assert len(np.unique(atoms.track)) == 2
    assert atoms.per_frame.tolist() == [1, 1, 2, 1, 1]


def test_what_moves_as_a_whole_is_as_sure_and_stays_on_its_trajectories(settings):
    rng = np.random.default_rng(0)
    corners = rng.uniform(-4, 4, (8, 2)) + np.array([24.0, 32.0])
    places = np.array([(-12, -16), (-12, 0), (-12, 16), (0, -16), (0, 16), (12, -16), (12, 0), (12, 16)])
    atoms = measure_atoms(Movie(np.stack([spots(*(places + corner)) for corner in corners])), identity, settings)
    assert atoms.per_frame.tolist() == [8] * 8
    assert (atoms.confidence == 1).all()
    assert len(np.unique(atoms.track)) == 8
    seen = np.stack([atoms.y_px, atoms.x_px], axis=1)
    for track in range(8):
        from_corner = seen[atoms.track == track] - corners
        np.testing.assert_allclose(from_corner, np.tile(from_corner.mean(axis=0).round(), (8, 1)), atol=0.15)


def test_a_second_model_has_a_voice(settings):
    movie = Movie(np.stack([spots((12, 12))] * 3))
    blind = measure_atoms(movie, identity, settings, second=lambda movie: movie.with_data(0 * movie.data))
    np.testing.assert_allclose(blind.confidence, [4 / 5, 5 / 6, 4 / 5])


def test_bad_frames_hold_no_atoms_and_say_nothing_of_others(settings):
    frames = np.stack([spots((12, 12))] * 4)
    frames[1, 3, 4] = np.nan
    atoms = measure_atoms(Movie(frames), identity, settings)
    assert atoms.frame.tolist() == [0, 2, 3]
    assert (atoms.confidence == 1).all()
    assert len(set(atoms.track)) == 1


def test_atoms_of_a_noisy_movie_are_the_real_ones(simulated, settings, smooth):
    told = []
    # a crude denoiser leaves high noise
    atoms = measure_atoms(simulated.noisy, smooth, settings, threshold=0.2, progress=lambda *n: told.append(n))
    places = np.stack([atoms.y_px, atoms.x_px], axis=1)
    right = 0
    for index, known in enumerate(simulated.positions):
        right += len(match_atoms(places[atoms.frame == index], known[np.isfinite(known).all(axis=1)]))
    assert right > 0.8 * len(atoms) > 20
    assert told[-1] == (8, 8)
    assert f"{len(atoms) / 8:.1f} atoms a frame" in atoms.sentence


def test_nothing_found_is_said(settings):
    atoms = measure_atoms(Movie(np.random.default_rng(0).uniform(0, 0.1, (3, 20, 20))), identity, settings)
    assert len(atoms) == 0
    assert "No atoms were found" in atoms.sentence
    assert atoms.per_frame.tolist() == [0, 0, 0]


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_table_is_written_in_nm_where_there_is_a_pixel_size(calibrated, settings, tmp_path):
    known = (0.05, 0.02) if calibrated else (None, None)
    movie = Movie(np.stack([spots((12, 20.25))] * 3), *known)
    measure_atoms(movie, identity, settings).write_csv(tmp_path / "atoms.csv")
    with (tmp_path / "atoms.csv").open() as file:
        rows = list(csv.DictReader(file))
    nm = ["time_s", "y_nm", "x_nm"] if calibrated else []
    assert list(rows[0]) == ["frame", *nm, "y_px", "x_px", "intensity", "confidence", "track"]
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert float(rows[2]["x_px"]) == pytest.approx(20.25, abs=0.05)
    if calibrated:
        assert float(rows[2]["time_s"]) == pytest.approx(0.04)
        assert float(rows[2]["x_nm"]) == pytest.approx(0.05 * float(rows[2]["x_px"]))
