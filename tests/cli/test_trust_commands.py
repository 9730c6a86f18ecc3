"""``noise-test`` and ``atoms``: what they print and write, and what they refuse."""

import csv

import numpy as np
import pytest

from napari_noise2atom.modelfile import save_model


@pytest.fixture
def model_file(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def assert_refused(ended, code, *words):
    assert ended.code == code, ended.err
    assert not ended.out
    for word in words:
        assert word in " ".join(ended.err.split()), ended.err


def test_the_noise_test_is_a_table(noise2atom, movie_file, model_file):
    ended = noise2atom("noise-test", movie_file, "--model", model_file, "--threshold", "0.4")
    assert ended.code == 0, ended.err
    assert "atoms at least 0.4 high" in ended.out
    for kind in ("pixel shuffle", "phase shuffle", "noise model"):
        assert kind in ended.out
    assert "Testing 24/24" in ended.err
    assert "Note" not in ended.err


def test_without_atoms_there_is_no_rate(noise2atom, movie_file, model_file):
    ended = noise2atom("noise-test", movie_file, "-m", model_file, "--threshold", "1")
    assert ended.code == 0, ended.err
    assert "no atoms, so no rate" in ended.out
    assert "nan" not in ended.out


@pytest.mark.parametrize(
    ("options", "doubts"),
    [
        (("noise-test", "-m"), 1),
        (("atoms", "-o", "atoms.csv", "-m"), 1),
        (("atoms", "-o", "atoms.csv", "--second", "model.safetensors", "-m"), 2),
        (("compare", "-o", "out", "--methods", "raw", "-m"), 1),
    ],
)
def test_every_model_is_doubted_for_a_movie_of_other_grey_values(noise2atom, simulated, model_file, options, doubts):
    np.save("scaled.npy", simulated.noisy.data / np.float32(4095))
    command, *options = options
    ended = noise2atom(command, "scaled.npy", *options, model_file)
    assert ended.code == 0, ended.err
    assert ended.err.count("the grey values of scaled lie between") == doubts


def test_the_noise_test_for_programs(noise2atom, movie_file, model_file):
    (summary,) = noise2atom("noise-test", movie_file, "-m", model_file, "--json").lines
    assert summary["frames"] == 6
    assert summary["threshold"] == 0.125
    for null in summary["nulls"].values():
        rate = null["false_discovery_rate"]
        assert rate is None or 0 <= rate <= 1


def test_atoms_are_written(noise2atom, movie_file, model_file, tmp_path):
    words = ("atoms", movie_file, "-m", model_file, "--second", model_file, "-o", "out/atoms.csv")
    ended = noise2atom(*words, "--threshold", "0.01")
    assert ended.code == 0, ended.err
    assert "atoms a frame" in ended.out
    assert "Finding atoms 6/6" in ended.err
    with (tmp_path / "out/atoms.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["frame"] for row in rows} == set("012345")
    assert all(0 <= float(row["confidence"]) <= 1 for row in rows)
    assert_refused(noise2atom(*words), 2, "is there already")
    (summary,) = noise2atom(*words, "--threshold", "0.01", "--overwrite", "--json").lines
    assert summary["atoms_per_frame"] == pytest.approx(len(rows) / 6)


@pytest.mark.parametrize("command", [("noise-test",), ("atoms", "-o", "atoms.csv")])
@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--threshold", "high"), 2, "--threshold got 'high'; expected auto, or a height above 0"),
        (("--threshold", "0"), 2, "--threshold got '0'"),
        (("--device", "gpu"), 2, "run.device: got 'gpu'"),
        (("-m", "nothing"), 1, "nothing is not a file"),
    ],
)
def test_wrong_use_is_refused(noise2atom, movie_file, model_file, tmp_path, command, options, code, sentence):
    assert_refused(noise2atom(command[0], movie_file, "-m", model_file, *command[1:], *options), code, sentence)
    assert not (tmp_path / "atoms.csv").exists()


@pytest.mark.parametrize("precious", ["movie.tif", "model.safetensors", "second/model.safetensors"])
def test_what_is_read_is_never_the_table(noise2atom, movie_file, model_file, tmp_path, precious):
    (tmp_path / "second").mkdir()
    (tmp_path / "second/model.safetensors").write_bytes(model_file.read_bytes())
    before = (tmp_path / precious).read_bytes()
    words = ("atoms", movie_file, "-m", model_file.parent, "--second", "second", "--overwrite", "-o")
    assert_refused(noise2atom(*words, precious), 2, f"{precious} is an input or lies in one")
    assert (tmp_path / precious).read_bytes() == before
    assert noise2atom(*words, "second/atoms.csv").code == 0
    assert noise2atom(*words, "second/atoms.csv").code == 0, "a table in the folder of a run may be replaced"
