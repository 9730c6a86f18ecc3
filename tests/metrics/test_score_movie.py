import dask.array as da
import numpy as np
import pytest

from napari_noise2atom.metrics import (
    Truth,
    css_per_pair,
    detection_scores,
    low_pass_correlation,
    psnr_affine,
    residual_autocorrelation,
    score_movie,
    ssim,
    write_csv,
)
from napari_noise2atom.movie import Movie


@pytest.fixture
def scene(spot_movie):
    frames, positions = spot_movie(0)
    noise = np.random.default_rng(5).standard_normal((2, *frames.shape))
    raw = Movie((100 + 10 * (frames + noise[0])).astype(np.float32), name="raw")
    denoised = Movie((frames + 0.1 * noise[1]).astype(np.float32), name="denoised")
    return denoised, raw, Truth(frames, positions, pixel_size_nm=0.02)


def test_without_anything_to_compare_css_still_has_its_mean_beside_it(scene):
    movie = scene[0]
    scores = score_movie(movie)
    assert list(scores.columns) == ["frame", "css", "mean"]
    assert scores.summary["css"] == pytest.approx(css_per_pair(movie).mean())
    unit = (movie.data - movie.data.min()) / np.ptp(movie.data)
    np.testing.assert_allclose(scores.columns["mean"], unit.mean(axis=(1, 2)), rtol=1e-5)


def test_everything_agrees_with_the_single_functions(scene):
    movie, raw, truth = scene
    scores = score_movie(movie, raw=raw, truth=truth)
    columns, summary = scores.columns, scores.summary
    assert summary["raw_css"] == pytest.approx(css_per_pair(raw).mean())
    pairs = list(zip(raw.data, movie.data, strict=True))
    np.testing.assert_allclose(columns["low_pass_correlation"], [low_pass_correlation(*pair) for pair in pairs])
    residual = np.array([residual_autocorrelation(*pair) for pair in pairs])
    np.testing.assert_allclose(np.stack([columns["residual_x"], columns["residual_y"]], axis=1), residual)
    assert summary["residual_y"] == pytest.approx(residual[:, 1].mean())
    assert summary["psnr_db"] == pytest.approx(psnr_affine(movie.data, truth.clean))
    span = float(np.ptp(truth.clean))
    expected = [ssim(*pair, span) for pair in zip(movie.data, truth.clean, strict=True)]
    np.testing.assert_allclose(columns["ssim"], expected)
    atoms = detection_scores(movie.data, truth.positions, every=1)
    assert (summary["f1"], summary["precision"], summary["recall"]) == (atoms.f1, atoms.precision, atoms.recall)
    assert summary["error_pm"] == pytest.approx(20 * atoms.mean_error_px)
    np.testing.assert_array_equal(columns["found"], atoms.found)


def test_a_lazy_movie_is_read_once_frame_by_frame(scene):
    movie, _, truth = scene
    read = []

    def load(block_info=None):
        index = block_info[None]["array-location"][0][0]
        read.append(index)
        return movie.data[index : index + 1]

    lazy = da.map_blocks(load, chunks=((1,) * 4, (64,), (64,)), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    seen = []
    scores = score_movie(Movie(lazy), truth=truth, progress=lambda done, total: seen.append((done, total, len(read))))
    assert seen == [(n, 4, n) for n in range(1, 5)]
    assert scores.summary["f1"] == score_movie(movie, truth=truth).summary["f1"]


def test_bad_frames_are_nan_and_leave_the_rest_alone(scene):
    movie, raw, truth = scene
    spoilt = movie.data.copy()
    spoilt[1, 3, 3] = np.inf
    scores = score_movie(Movie(spoilt), raw=raw, truth=truth)
    assert scores.summary["bad_frames"] == 1
    for name in set(scores.columns) - {"frame", "raw_css"}:
        assert np.isnan(scores.columns[name]).tolist() == [False, True, False, False] or name == "css", name
    assert np.isnan(scores.columns["css"]).tolist() == [True, True, False, False]
    assert np.isfinite(list(scores.summary.values())).all()


def test_a_collapsed_movie_scores_nothing(scene):
    movie, raw, truth = scene
    scores = score_movie(movie.with_data(np.zeros_like(movie.data)), raw=raw, truth=truth)
    assert scores.summary["bad_frames"] == 4
    for name in ("css", "mean", "low_pass_correlation", "psnr_db", "ssim", "f1", "error_px"):
        assert np.isnan(scores.summary[name]), name


def test_the_movies_own_pixel_size_comes_first(scene):
    movie, _, truth = scene
    unknown = score_movie(movie, truth=Truth(truth.clean, truth.positions))
    assert "error_pm" not in unknown.columns | unknown.summary
    known = score_movie(Movie(movie.data, pixel_size_nm=0.5), truth=truth)
    assert known.summary["error_pm"] == pytest.approx(500 * unknown.summary["error_px"])


def test_other_sizes_are_refused(scene):
    movie, raw, truth = scene
    with pytest.raises(ValueError, match="has 4 frames of 64 × 64 px, but the raw movie has 3 of 64 × 64 px"):
        score_movie(movie, raw=raw.with_data(raw.data[:3]))
    with pytest.raises(ValueError, match="but the truth has 4 of 64 × 60 px"):
        score_movie(movie, truth=Truth(truth.clean[..., :60], truth.positions))


def test_csv_is_read_back_by_numpy(scene, tmp_path):
    movie, raw, truth = scene
    scores = score_movie(movie, raw=raw, truth=truth)
    path = tmp_path / "scores.csv"
    path.write_text("old")
    write_csv(scores, path)
    table = np.genfromtxt(path, delimiter=",", names=True)
    assert list(table.dtype.names) == list(scores.columns)
    for name, values in scores.columns.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-7)
    assert path.read_text().splitlines()[1].startswith("0,")
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]


def test_a_failed_write_keeps_the_earlier_file(scene, tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def fail(file, *_, **__):
        file.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savetxt", fail)
    with pytest.raises(OSError, match="disk full"):
        write_csv(score_movie(scene[0]), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]
