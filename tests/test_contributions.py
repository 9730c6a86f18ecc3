from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

import napari_noise2atom
from napari_noise2atom.contributions import get_reader, read_layers, sample_movie, sample_result, write_layers
from napari_noise2atom.io import READABLE, MovieFileError, read_movie, write_movie
from napari_noise2atom.layerdata import layer_data
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import MovieSettings, preset
from napari_noise2atom.simulate.noisy import simulate_movie

PACKAGE = Path(napari_noise2atom.__file__).parent
FRAMES = np.random.default_rng(4).integers(0, 200, (12, 8, 10)).astype(np.uint8)
FILM = Movie(FRAMES, 0.03, 0.02, "film")


@pytest.fixture
def frames(tmp_path):
    """Paths of single frames whose natural order is not that of the alphabet."""
    folder = tmp_path / "series"
    folder.mkdir()
    paths = [folder / f"frame{i}.tif" for i in range(len(FRAMES))]
    for path, frame in zip(paths, FRAMES, strict=True):
        tifffile.imwrite(path, frame)
    return paths


@pytest.mark.parametrize("ending", [*READABLE, ".TIF", ".ome.tif"])
def test_files_are_known_by_their_ending_and_not_opened(ending):
    assert get_reader(f"nowhere/film{ending}") is read_layers


@pytest.mark.parametrize("name", ["film.txt", "film.png", "film", "film.tif.gz", "model.safetensors", "nowhere/"])
def test_other_files_are_for_others(name):
    assert get_reader(name) is None


def test_folders_are_known_by_what_is_in_them(tmp_path, frames):
    write_movie(FILM, tmp_path / "film.zarr")
    (tmp_path / "film.zarr").rename(tmp_path / "store")
    assert get_reader(str(tmp_path / "store")) is read_layers
    assert get_reader(str(frames[0].parent)) is read_layers
    assert get_reader(str(tmp_path)) is None


def test_the_folder_of_a_run_is_for_the_reader_of_models(tmp_path, frames):
    (frames[0].parent / "model.safetensors").touch()
    assert get_reader(str(frames[0].parent)) is None


def test_a_movie_comes_with_its_calibration(tmp_path):
    write_movie(FILM, tmp_path / "film.tif")
    [(data, meta, kind)] = read_layers(str(tmp_path / "film.tif"))
    np.testing.assert_array_equal(data, FRAMES)
    assert kind == "image"
    assert meta["name"] == "film"
    assert meta["scale"] == pytest.approx((0.02, 0.03, 0.03))
    assert (meta["units"], meta["axis_labels"]) == (("s", "nm", "nm"), ("t", "y", "x"))


def test_notes_are_warnings(tmp_path):
    path = tmp_path / "film.npy"
    np.save(path, FRAMES)
    path.write_bytes(path.read_bytes()[: -2 * FRAMES[0].nbytes])
    with pytest.warns(UserWarning, match="10 of 12 frames"):
        [(data, meta, _)] = read_layers(str(path))
    assert len(data) == 10
    assert "10 of 12 frames" in meta["metadata"]["noise2atom"]["notes"][0]


def test_what_is_no_movie_is_refused_with_one_sentence(tmp_path):
    tifffile.imwrite(tmp_path / "photo.tif", FRAMES[0])
    with pytest.raises(MovieFileError, match=r"^photo\.tif: [^\n]+$"):
        read_layers(str(tmp_path / "photo.tif"))


def test_files_dropped_as_a_stack_are_a_movie_in_natural_order(frames):
    chosen = [str(path) for path in sorted(frames)]
    assert get_reader(chosen) is read_layers
    [(data, meta, _)] = read_layers(chosen)
    np.testing.assert_array_equal(data, FRAMES)
    assert meta["name"] == "series"


def test_a_list_of_one_is_that_one(tmp_path):
    write_movie(FILM, tmp_path / "film.tif")
    path = [str(tmp_path / "film.tif")]
    assert get_reader(path) is read_layers
    np.testing.assert_array_equal(read_layers(path)[0][0], FRAMES)
    assert get_reader([]) is None


@pytest.mark.parametrize("names", [["a.dm4", "b.dm4"], ["frame0.tif", "nothing.tif"]])
def test_files_that_are_no_frames_are_not_stacked(frames, names):
    folder = frames[0].parent
    (folder / "a.dm4").touch()
    (folder / "b.dm4").touch()
    with pytest.raises(MovieFileError, match=r"expected .*open movies one by one"):
        read_layers([str(folder / name) for name in names])


def test_movies_are_not_stacked(tmp_path):
    for name in "ab":
        write_movie(FILM, tmp_path / f"{name}.tif")
    with pytest.raises(MovieFileError, match="expected one frame a file"):
        read_layers([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")])


def layers(*names):
    return [layer_data(Movie(FRAMES + n, 0.03, 0.02, name)) for n, name in enumerate(names)]


def same_film(path, n=0):
    movie = read_movie(path)
    np.testing.assert_array_equal(movie.data, FRAMES + n)
    assert (movie.pixel_size_nm, movie.frame_time_s) == pytest.approx((0.03, 0.02))


@pytest.mark.parametrize("name", ["out.tif", "out.TIFF", "out.zarr"])
def test_a_layer_is_written_with_its_calibration(tmp_path, name):
    assert write_layers(str(tmp_path / name), layers("film")) == [str(tmp_path / name)]
    same_film(tmp_path / name)


def test_without_an_ending_it_is_a_tiff(tmp_path):
    assert write_layers(str(tmp_path / "out"), layers("film")) == [str(tmp_path / "out.tif")]
    with pytest.raises(ValueError, match="is there already"):  # nobody has agreed to replace it
        write_layers(str(tmp_path / "out"), layers("film"))


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"use \.tif"):
        write_layers(str(tmp_path / "out.png"), layers("film"))


@pytest.mark.parametrize("ending", ["tif", "zarr"])
def test_several_layers_are_written_under_their_names(tmp_path, ending):
    written = write_layers(str(tmp_path / f"out.{ending}"), layers("film", "film: a/b"))
    assert written == [str(tmp_path / f"out_film.{ending}"), str(tmp_path / f"out_film- a-b.{ending}")]
    for n, path in enumerate(written):
        same_film(path, n)


def test_layers_whose_files_would_be_the_same_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rename one of them"):
        write_layers(str(tmp_path / "out.tif"), layers("Film/1", "film:1"))
    assert list(tmp_path.iterdir()) == []


def test_the_tiff_that_was_chosen_is_replaced_even_if_it_is_shown(tmp_path):
    path = str(tmp_path / "out.tif")
    write_layers(path, layers("film"))
    write_layers(path, read_layers(path))
    same_film(path)


@pytest.mark.parametrize("taken", ["out.zarr", "out_b.tif"])
def test_what_nobody_agreed_to_replace_stays(tmp_path, taken):
    (tmp_path / taken).mkdir() if taken.endswith("zarr") else (tmp_path / taken).write_text("precious")
    names = ["a"] if taken.endswith("zarr") else ["a", "b"]
    with pytest.raises(ValueError, match=f"{taken}: is there already; delete it, or choose another name"):
        write_layers(str(tmp_path / f"out{Path(taken).suffix}"), layers(*names))
    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_nothing_is_written_if_one_layer_is_no_movie(tmp_path):
    photo = (FRAMES[0], {"name": "photo"}, "image")
    with pytest.raises(ValueError, match="photo: got a single image"):
        write_layers(str(tmp_path / "out.tif"), [*layers("film"), photo])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def simulated():
    return simulate_movie(MovieSettings())


@pytest.mark.parametrize("sample", [sample_movie, sample_result])
def test_layers_of_a_sample_lie_on_one_another(sample):
    made = sample()
    for key in ("scale", "units", "axis_labels"):
        assert len({meta[key] for _, meta, _ in made}) == 1
    assert made[0][1]["units"] == ("s", "nm", "nm")
    shapes = {data.shape for data, _, kind in made if kind == "image"}
    assert shapes == {(64, 128, 128)}
    shown = [meta["name"] for _, meta, _ in made if meta.get("visible", True)]
    assert shown == ["simulated", "simulated denoised"][: len(made) - 2]


def test_the_sample_movie_is_the_simulated_one_with_its_truth(simulated):
    noisy, clean, atoms = sample_movie()
    np.testing.assert_array_equal(noisy[0], simulated.noisy.data)
    np.testing.assert_array_equal(clean[0], simulated.clean)
    there = simulated.positions[np.isfinite(simulated.positions[..., 0])]
    np.testing.assert_array_equal(atoms[0][:, 1:], there)
    counts = np.isfinite(simulated.positions[..., 0]).sum(axis=1)
    np.testing.assert_array_equal(np.bincount(atoms[0][:, 0].astype(int)), counts)


def test_the_result_in_the_package_is_of_the_sample_movie(simulated):
    """Fails when the simulation changes: then a new result must be kept, see CONTRIBUTING.md."""
    [denoised] = [data for data, meta, _ in sample_result() if meta["name"] == "simulated denoised"]
    assert denoised.dtype == np.float32
    assert 0 <= denoised.min() < denoised.max() <= 1
    variance = MovieSettings().spot_variance_px2
    blur_px = (variance * (1 - preset("compact").simulation.narrowing)) ** 0.5  # spots are as wide as the truth's then
    for result, truth, noisy in zip(denoised, simulated.clean, simulated.noisy.data, strict=True):
        correlation = np.corrcoef(gaussian_filter(result, blur_px).ravel(), truth.ravel())[0, 1]
        assert correlation > 0.9
        assert correlation > 2 * np.corrcoef(noisy.ravel(), truth.ravel())[0, 1]


def test_the_sample_s_result_is_known_as_that_of_its_movie():
    raw, result, *_ = [meta["metadata"]["noise2atom"] for _, meta, kind in sample_result() if kind == "image"]
    assert result["of"] == raw["id"]


def test_the_result_in_the_package_is_small():
    assert (PACKAGE / "sample" / "denoised.tif").stat().st_size < 500_000


def test_nothing_is_written_into_the_package(tmp_path):
    def state():
        files = [path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts]
        return {path: path.stat().st_mtime_ns for path in files if path.is_file()}

    before = state()
    write_layers(str(tmp_path / "out.tif"), [layer for layer in sample_movie() if layer[2] == "image"])
    write_layers(str(tmp_path / "out.zarr"), sample_result()[1:2])
    assert state() == before


@pytest.mark.parametrize("detectors", [2, 20])
def test_every_movie_of_a_file_is_a_layer(tmp_path, detectors, recwarn):
    """napari asks no reader which one is meant."""
    path = tmp_path / "film.tif"
    data = np.stack([FRAMES + number for number in range(detectors)], axis=1)
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TCYX"})
    layers = read_layers(str(path))
    names = read_movie(path).signals
    assert len(layers) == min(detectors, 16)
    for number, (shown, meta, _) in enumerate(layers):
        np.testing.assert_array_equal(shown, FRAMES + number)
        assert meta["name"] == f"film {names[number]}"
        assert meta["visible"] == (number == 0)
    told = [str(warning.message) for warning in recwarn if "movies" in str(warning.message)]
    assert len(told) == (detectors > 16), "what is there need not be told"
