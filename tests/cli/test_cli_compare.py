import numpy as np
import pytest

from napari_noise2atom.baselines import METHODS, UnavailableError
from napari_noise2atom.inference import denoise_frames
from napari_noise2atom.io import read_movie
from napari_noise2atom.modelfile import save_model

FAST = "raw,gaussian-2d,temporal-mean"


@pytest.fixture
def unavailable(monkeypatch):
    """Make BM3D unavailable."""

    class Missing:
        title = "BM3D"

        def denoise(self, movie, settings, progress):
            raise UnavailableError("BM3D needs the package bm3d")

    monkeypatch.setitem(METHODS, "bm3d", Missing())


def test_compare_leaves_movies_tables_and_a_picture(noise2atom, movie_file, truth_file, tmp_path):
    ended = noise2atom("compare", movie_file, "-o", "out", "--methods", FAST, "--truth", truth_file)
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{name}.tif" for name in FAST.split(",")),
        "scores.csv",
        "css.csv",
        "compare.png",
    }
    assert all(METHODS[name].title in ended.out for name in FAST.split(","))
    assert "error [px]" in ended.out
    raw, same = read_movie(movie_file), read_movie(tmp_path / "out/raw.tif")
    assert same.pixel_size_nm == pytest.approx(raw.pixel_size_nm)
    np.testing.assert_array_equal(same.data, raw.data)


def test_without_truth_there_are_no_columns_that_need_it(noise2atom, movie_file):
    ended = noise2atom("compare", movie_file, "-o", "out", "--methods", "raw")
    assert ended.code == 0
    assert "CSS" in ended.out
    assert "PSNR" not in ended.out


def test_one_failure_is_told_and_the_rest_goes_on(noise2atom, movie_file, unavailable):
    ended = noise2atom("compare", movie_file, "-o", "out", "--methods", "bm3d,raw")
    assert ended.code == 0
    assert "BM3D has no result: BM3D needs the package bm3d" in ended.err
    assert "Raw" in ended.out


def test_no_result_at_all_is_a_failure(noise2atom, movie_file, unavailable):
    ended = noise2atom("compare", movie_file, "-o", "out", "--methods", "bm3d")
    assert ended.code == 1
    assert "Traceback" not in ended.err


def test_json_tells_beginnings_and_ends(noise2atom, movie_file, truth_file, unavailable):
    words = ("--methods", "raw,bm3d", "--truth", truth_file, "--json")
    ended = noise2atom("compare", movie_file, "-o", "out", *words)
    assert [(line["event"], line["name"]) for line in ended.lines] == [
        ("methodbegun", "raw"),
        ("methodfinished", "raw"),
        ("methodbegun", "bm3d"),
        ("methodfailed", "bm3d"),
    ]
    assert 0 < ended.lines[1]["scores"]["summary"]["f1"] <= 1


def test_trained_models_join_in(noise2atom, movie_file, model, tmp_path):
    (tmp_path / "runs").mkdir()
    save_model(model, tmp_path / "runs/model.safetensors")
    words = ("--methods", "raw", "--model", "runs", "--device", "cpu", "--threads", 1)
    ended = noise2atom("compare", movie_file, "-o", "out", *words)
    assert ended.code == 0, ended.err
    denoised = read_movie(tmp_path / "out/noise2atom (runs).tif")
    expected = denoise_frames(read_movie(movie_file), model, [2], device="cpu", threads=1)[0]
    np.testing.assert_allclose(denoised.frame(2), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "raw,best"), "'best'; expected some of raw, gaussian-2d"),
        (("--methods", ","), "--methods got ','; expected some names, or --model"),
        (("--filter-px", "0"), "filter_px: got 0"),
        (("--device", "tpu"), "device"),
        (("--model", "a/x.safetensors", "--model", "b/x.safetensors"), "rename one of them"),
    ],
)
def test_wrong_usage(noise2atom, movie_file, words, said, tmp_path):
    ended = noise2atom("compare", movie_file, "-o", "out", *words)
    assert ended.code == 2
    assert said in " ".join(ended.err.split())
    assert not (tmp_path / "out").exists()


def test_results_are_replaced_only_when_told(noise2atom, movie_file):
    words = ("compare", movie_file, "-o", "out", "--methods", "raw")
    assert noise2atom(*words).code == 0
    assert noise2atom(*words).code == 2
    assert noise2atom(*words, "--overwrite").code == 0


def test_the_movie_itself_is_never_replaced(noise2atom, movie_file, tmp_path):
    movie_file.rename(tmp_path / "raw.tif")
    ended = noise2atom("compare", "raw.tif", "-o", ".", "--methods", "raw", "--overwrite")
    assert ended.code == 2
    assert "is an input or lies in one" in ended.err
