import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_noise2atom import inference
from napari_noise2atom.cli import console
from napari_noise2atom.inference import denoise_frames
from napari_noise2atom.io import read_movie, write_movie
from napari_noise2atom.metrics import load_truth
from napari_noise2atom.modelfile import save_model
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import MovieSettings, Settings


def assert_refused(ended, code, *words):
    assert ended.code == code, ended.err
    assert not ended.out
    assert "Traceback" not in ended.err
    for word in words:
        assert word in " ".join(ended.err.split()), ended.err


def test_simulate_writes_movie_and_truth(noise2atom, tmp_path):
    ended = noise2atom("simulate", "sim", "--frames", 4, "--size", 40, "--seed", 5, "--set", "scene.walk_px=2")
    assert ended.code == 0
    assert "sim/truth.npz" in ended.out
    settings = MovieSettings.model_validate_json((tmp_path / "sim/settings.json").read_text())
    assert (settings.frames, settings.size_px, settings.seed, settings.scene.walk_px) == (4, 40, 5, 2)
    noisy, clean = read_movie(tmp_path / "sim/noisy.tif"), read_movie(tmp_path / "sim/clean.tif")
    assert noisy.shape == clean.shape == (4, 40, 40)
    assert noisy.pixel_size_nm == pytest.approx(0.03, rel=1e-4)
    assert np.array_equal(clean.frame(2), load_truth(tmp_path / "sim/truth.npz").clean[2])


def test_simulate_replaces_only_when_told(noise2atom, tmp_path):
    words = ("simulate", "sim", "--frames", 2, "--size", 32)
    assert noisy_bytes(noise2atom, tmp_path, words) != b""
    assert_refused(noise2atom(*words, "--seed", 1), 2, "is there already", "--overwrite")
    assert noise2atom(*words, "--seed", 1, "--overwrite").code == 0
    assert '"seed": 1' in (tmp_path / "sim/settings.json").read_text()


def noisy_bytes(noise2atom, folder, words):
    assert noise2atom(*words).code == 0
    return (folder / "sim/noisy.tif").read_bytes()


def test_simulate_refuses_a_wrong_value(noise2atom, tmp_path):
    assert_refused(
        noise2atom("simulate", "sim", "--frames", 1), 2, "frames: got 1; expected greater than or equal to 2"
    )
    assert not (tmp_path / "sim").exists()


def test_denoise_keeps_the_calibration(noise2atom, movie_file, model_file, model, tmp_path):
    ended = noise2atom("denoise", movie_file, "--model", model_file, "-o", "out/denoised.tif", "--device", "cpu")
    assert ended.code == 0
    assert "Denoised 6 frames" in ended.out
    raw, denoised = read_movie(movie_file), read_movie(tmp_path / "out/denoised.tif")
    assert denoised.shape == raw.shape
    assert denoised.pixel_size_nm == pytest.approx(raw.pixel_size_nm)
    assert denoised.frame_time_s == pytest.approx(raw.frame_time_s)
    expected = denoise_frames(raw, model, [4], device="cpu", threads=1)[0]
    np.testing.assert_allclose(denoised.frame(4), expected, atol=1e-5)


def test_denoised_part_has_its_neighbours(noise2atom, movie_file, model_file, model, tmp_path):
    assert noise2atom("denoise", movie_file, "-m", model_file, "-o", "part.zarr", "--frames", "2:5").code == 0
    part = read_movie(tmp_path / "part.zarr")
    assert len(part) == 3
    expected = denoise_frames(read_movie(movie_file), model, [2], device="cpu", threads=1)[0]
    np.testing.assert_allclose(part.frame(0), expected, atol=1e-5)


def test_denoise_resumes_zarr(noise2atom, movie_file, model_file, tmp_path):
    words = ("denoise", movie_file, "-m", model_file, "-o", "out.zarr")
    assert noise2atom(*words).code == 0
    (tmp_path / "out.zarr/0/c/3/0/0").unlink()
    assert_refused(noise2atom(*words), 2, "add --resume")
    assert noise2atom(*words, "--resume").code == 0
    assert (tmp_path / "out.zarr/0/c/3/0/0").exists()


@pytest.mark.parametrize("changed", ["model", "frames"])
def test_denoise_resumes_with_the_same_model_and_frames_only(
    noise2atom, movie_file, model_file, model, tmp_path, changed
):
    words = ("denoise", movie_file, "-o", "out.zarr", "--frames")
    assert noise2atom(*words, "1:4", "-m", model_file).code == 0
    before = read_movie(tmp_path / "out.zarr").frame(0)
    other = {name: weight + 0.01 for name, weight in model.weights.items()}
    save_model(replace(model, weights=other), tmp_path / "other.safetensors")
    frames, chosen = ("1:4", "other.safetensors") if changed == "model" else ("2:5", model_file)
    (tmp_path / "out.zarr/0/c/2/0/0").unlink()
    ended = noise2atom(*words, frames, "-m", chosen, "--resume")
    assert_refused(ended, 1, "begun with another model or another part of the movie")
    assert not (tmp_path / "out.zarr/0/c/2/0/0").exists()
    assert noise2atom(*words, "1:4", "-m", model_file, "--resume").code == 0
    np.testing.assert_array_equal(read_movie(tmp_path / "out.zarr").frame(0), before)


def test_a_folder_for_several_movies_may_have_a_dot(noise2atom, movie_file, model_file, tmp_path):
    (tmp_path / "two.tif").write_bytes(movie_file.read_bytes())
    words = ("denoise", movie_file, "two.tif", "-m", model_file, "--frames", ":2", "-o")
    assert_refused(noise2atom(*words, "out.tif"), 2, "for 2 movies; expected a folder")
    assert noise2atom(*words, "2024.05.01").code == 0
    assert (tmp_path / "2024.05.01/two_denoised.zarr").is_dir()


def test_nothing_is_denoised_if_a_movie_is_missing(noise2atom, movie_file, model_file, tmp_path):
    ended = noise2atom("denoise", movie_file, "absent.tif", "-m", model_file, "-o", "out")
    assert_refused(ended, 1, "absent.tif: there is no such file; check the name")
    assert "Denoising" not in ended.err
    assert not (tmp_path / "out").exists()


def test_denoise_uses_the_threads_that_it_is_told(noise2atom, movie_file, model_file, monkeypatch):
    """Those of the computer on which the model was trained mean nothing here."""
    told = []

    def denoise(movie, model, device, threads):
        told.append(threads)
        return movie

    monkeypatch.setattr(inference, "denoise", denoise)
    for words in ((), ("--threads", 3)):
        assert noise2atom("denoise", movie_file, "-m", model_file, "-o", "out.tif", "--overwrite", *words).code == 0
    assert told == [0, 3]


def test_denoise_takes_a_run_folder_and_warns_of_another_pixel_size(noise2atom, simulated, model_file, tmp_path):
    other = Movie(simulated.noisy.data, pixel_size_nm=0.05)
    write_movie(other, tmp_path / "other.tif")
    ended = noise2atom("denoise", "other.tif", "-m", model_file.parent, "-o", "out.tif", "--frames", ":2")
    assert ended.code == 0
    assert "the pixels of other are 0.05 nm wide" in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-o", "out.png"), "expected a name that ends in .tif or .zarr"),
        (("-o", "movie.tif"), "movie.tif is an input or lies in one"),
        (("-o", "movie.tif", "--overwrite"), "movie.tif is an input or lies in one"),
        (("-o", "there.tif"), "is there already"),
        (("-o", "folder.tif", "--overwrite"), "folder.tif is a folder; choose the name of a file"),
        (("-o", "out.tif", "--resume"), "--resume works with .zarr only"),
        (("-o", "out.tif", "--frames", "3"), "expected A:B"),
        (("-o", "out.tif", "--frames", "a:b"), "expected A:B"),
        (("-o", "out.tif", "--frames", "5:9"), "chooses 1 of the 6 frames"),
        (("-o", "out.tif", "--frames", "9:5"), "chooses 0 of the 6 frames"),
        (("-o", "out.tif", "--device", "gpu"), "run.device: got 'gpu'"),
    ],
)
def test_denoise_refuses_wrong_use(noise2atom, movie_file, model_file, tmp_path, options, sentence):
    (tmp_path / "there.tif").write_bytes(b"precious")
    (tmp_path / "folder.tif").mkdir()
    before = movie_file.read_bytes()
    assert_refused(noise2atom("denoise", "movie.tif", "-m", model_file, *options), 2, sentence)
    assert movie_file.read_bytes() == before
    assert (tmp_path / "there.tif").read_bytes() == b"precious"


def test_denoise_never_writes_over_a_frame_of_the_movie(noise2atom, simulated, model_file, tmp_path):
    (tmp_path / "frames").mkdir()
    for index in range(2):
        tifffile.imwrite(tmp_path / f"frames/{index}.tif", simulated.noisy.data[index])
    before = (tmp_path / "frames/1.tif").read_bytes()
    words = ("denoise", "frames", "-m", model_file, "-o", "frames/1.tif", "--overwrite")
    assert_refused(noise2atom(*words), 2, "frames/1.tif is an input or lies in one")
    assert (tmp_path / "frames/1.tif").read_bytes() == before


def test_denoise_without_a_model_fails(noise2atom, movie_file):
    assert_refused(noise2atom("denoise", movie_file, "-m", "nothing", "-o", "out.tif"), 1, "nothing is not a file")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError("cuda:0 has too little memory; choose the device cpu"), "choose the device cpu"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "choose smaller batches or crops"),
        (OSError(28, "No space left on device", "out.tif"), "out.tif: No space left on device"),
        (KeyError("weights"), "unexpected KeyError: 'weights'; NOISE2ATOM_DEBUG=1 shows where"),
    ],
)
def test_failures_are_sentences(noise2atom, movie_file, model_file, monkeypatch, error, sentence):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(inference, "denoise", fail)
    words = ("denoise", movie_file, "-m", model_file, "-o", "out.tif")
    assert_refused(noise2atom(*words), 1, sentence)
    monkeypatch.setenv("NOISE2ATOM_DEBUG", "1")
    assert "Traceback" in noise2atom(*words).err


def test_interrupt_ends_quietly(noise2atom, movie_file, model_file, monkeypatch, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(inference, "denoise", interrupt)
    assert_refused(noise2atom("denoise", movie_file, "-m", model_file, "-o", "out.tif"), 1, "Aborted.")
    assert not (tmp_path / "out.tif").exists()


def test_score_without_and_with_truth(noise2atom, movie_file, truth_file, tmp_path):
    alone = noise2atom("score", movie_file)
    assert alone.code == 0
    assert "css" in alone.out
    assert "f1" not in alone.out
    against_raw = noise2atom("score", movie_file, "--raw", movie_file)
    assert "or spots narrowed" in " ".join(against_raw.out.split())
    words = ("score", movie_file, "--raw", movie_file, "--truth", truth_file, "-o", "scores.csv", "--json")
    full = noise2atom(*words)
    assert full.code == 0
    (summary,) = full.lines
    assert 0 <= summary["f1"] <= 1
    assert summary["residual_x"] is None
    with (tmp_path / "scores.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    assert_refused(noise2atom(*words), 2, "is there already")


@pytest.mark.parametrize("precious", ["denoised.tif", "movie.tif", "truth.npz"])
def test_score_never_writes_over_what_it_reads(noise2atom, movie_file, truth_file, simulated, tmp_path, precious):
    write_movie(simulated.noisy, tmp_path / "denoised.tif")
    before = (tmp_path / precious).read_bytes()
    words = ("score", "denoised.tif", "--raw", "movie.tif", "--truth", "truth.npz", "--overwrite", "-o")
    assert_refused(noise2atom(*words, precious), 2, f"{precious} is an input or lies in one")
    assert (tmp_path / precious).read_bytes() == before
    (tmp_path / "sim").mkdir()
    assert_refused(noise2atom(*words, "sim"), 2, "sim is a folder; choose the name of a file")


def test_score_of_unequal_movies_fails(noise2atom, movie_file, truth_file, simulated, tmp_path):
    write_movie(Movie(simulated.noisy.data[:4]), tmp_path / "short.tif")
    assert_refused(noise2atom("score", "short.tif", "--truth", truth_file), 1, "expected the same")
    assert_refused(noise2atom("score", "short.tif", "--truth", "none.npz"), 1, "none.npz: No such file")


def test_info_of_a_movie(noise2atom, simulated, tmp_path):
    frames = simulated.noisy.data.copy()
    frames[3] = 7
    write_movie(Movie(frames, pixel_size_nm=0.03), tmp_path / "movie.tif")
    ended = noise2atom("info", "movie.tif")
    assert ended.code == 0
    assert "48 × 48 px" in ended.out
    assert "1: 3" in ended.out
    assert "grey value of one electron" in ended.out
    (facts,) = noise2atom("info", "movie.tif", "--json").lines
    assert facts["shape"] == [6, 48, 48]
    assert facts["bad_frames"] == [3]
    assert facts["estimate"]["gain_counts"] > 0


def test_info_of_a_blank_movie(noise2atom, tmp_path):
    np.save(tmp_path / "blank.npy", np.zeros((12, 32, 32), np.uint8))
    ended = noise2atom("info", "blank.npy")
    assert ended.code == 0
    assert "12: 0, 1" in ended.out
    assert "Measured" not in ended.out


def test_info_of_a_model(noise2atom, model_file):
    ended = noise2atom("info", model_file)
    assert ended.code == 0
    assert "compact" in ended.out
    assert "3 frames in" in ended.out
    assert "sample" in ended.out
    assert "simulation.variance_max_px2 7.0 10.0" in " ".join(ended.out.split())
    (facts,) = noise2atom("info", model_file.parent, "--json").lines
    assert Settings.model_validate(facts["settings"]).network.frames_in == 3
    assert facts["provenance"]["movie"] == "sample"
    assert not facts["resumable"]


@pytest.mark.parametrize("command", ["info", "score", "train -o run"])
def test_unreadable_input_fails(noise2atom, tmp_path, command):
    name, *options = command.split()
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not a movie")
    assert_refused(noise2atom(name, "broken.tif", *options), 1, "Error: broken")
    assert_refused(noise2atom(name, "absent.tif", *options), 1, "there is no such file")


def test_settings_are_listed(noise2atom):
    ended = noise2atom("settings")
    assert ended.code == 0
    assert "[px²]" in ended.out, "units in brackets are not markup"
    rows = {row["name"]: row for row in noise2atom("settings", "--preset", "paper", "--json").lines}
    assert rows["network.architecture"]["allowed"] == "paper | compact"
    assert rows["network.architecture"]["default"] == "paper"
    assert rows["training.batch_size"]["allowed"] == "≥ 1"
    assert rows["training.joint"]["default"] == "false"
    assert "scene.walk_px" in noise2atom("settings", "simulate").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("settings", "score"), "expected train or simulate"),
        (("settings", "--preset", "best"), "preset 'best' is unknown"),
        (("settings", "simulate", "--preset", "paper"), "leave out --preset"),
        (("score",), "Missing argument"),
        (("simulate", "x", "--frame-rate", "3"), "No such option"),
        (("simulate", "x", "--frames", "many"), "Invalid value for '--frames'"),
        (("simulate", "x", "--set", "simulation.x=4"), "one that 'noise2atom settings simulate' lists"),
        (("train", "x.tif", "-o", "run", "--set", "simulation.x=4"), "one that 'noise2atom settings' lists"),
    ],
)
def test_wrong_use(noise2atom, words, sentence):
    assert_refused(noise2atom(*words), 2, sentence)


@pytest.mark.parametrize("command", ["simulate", "train", "denoise", "score", "info", "settings"])
def test_every_command_has_help(noise2atom, command):
    assert command in noise2atom("--help").out
    assert "Usage" in noise2atom(command, "--help").out


def test_help_shows_the_text_and_range_of_a_setting(noise2atom, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(noise2atom("train", "--help").out.split())
    assert "with the best model so far; 0 means no limit [min]. (≥ 0)" in text
    assert "'noise2atom settings' lists" in text
    assert "'noise2atom settings simulate' lists" in " ".join(noise2atom("simulate", "--help").out.split())


def test_numbers_are_short():
    assert [console.number(value, "px") for value in (0.123456, 12.0, 1234.56)] == ["0.123 px", "12 px", "1235 px"]
    assert console.number(float("nan")) == "–"


def test_json_leaves_out_arrays_and_nan(capsys):
    console.print_json({"a": float("inf"), "b": np.zeros(3), "c": (1, {"d": np.zeros(2)})})
    assert json.loads(capsys.readouterr().out) == {"a": None, "c": [1, {}]}
