import re
import stat
import subprocess
import sys
from pathlib import Path

import dask.array as da
import imageio_ffmpeg
import numpy as np
import pytest

from napari_noise2atom.io import MovieFileError, write_mp4
from napari_noise2atom.io.videopicture import MAX_SIZE_PX, Layout, Picture, bar_length, bar_text, time_text
from napari_noise2atom.movie import Movie


def decoded(path: Path) -> tuple[dict[str, str], np.ndarray]:
    """What ffmpeg says of a video, and its frames as red values; imageio_ffmpeg.read_frames leaves pipes open."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", f"file:{path}", "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    pattern = r"Video: (?P<codec>\w+).*?, (?P<format>\w+\(\w+).*?, (?P<width>\d+)x(?P<height>\d+).*?, (?P<fps>\S+) fps"
    about = re.search(pattern, done.stderr.decode())
    assert about
    width, height = int(about["width"]), int(about["height"])
    return about.groupdict(), np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)[..., 0]


def panel(frames: np.ndarray, layout: Layout, index: int) -> np.ndarray:
    left, (width, height) = layout.lefts[index], layout.panel
    return frames[:, layout.top : layout.top + height, left : left + width]


@pytest.fixture
def waves() -> np.ndarray:
    """Seven frames of 48 × 64 smooth values of 0 to 1, with a black and a white corner."""
    t, y, x = np.mgrid[:7, :48, :64]
    waves = (0.5 + 0.5 * np.sin(x / 9 + t / 3) * np.cos(y / 7)).astype(np.float32)
    waves[:, :8, :8], waves[:, -8:, -8:] = 0, 1
    return waves


@pytest.mark.parametrize("rate", [15, 24000 / 1001, 0.5])
def test_every_frame_is_there_in_its_place(tmp_path: Path, waves: np.ndarray, rate: float) -> None:
    steps: list[tuple[int, int]] = []
    panels = [("raw", Movie(waves)), ("turned", Movie(1000 * (1 - waves)))]
    write_mp4(
        panels,
        tmp_path / "film.MP4",
        frames_per_second=rate,
        contrast_limits=[(0, 1), (0, 1000)],
        progress=lambda *step: steps.append(step),
    )
    about, frames = decoded(tmp_path / "film.MP4")
    layout = Layout.of(2, 48, 64)
    assert about["codec"] == "h264"
    assert about["format"] == "yuv420p(tv"
    assert float(about["fps"]) == pytest.approx(rate, abs=0.01)
    assert (int(about["width"]), int(about["height"])) == layout.size
    assert len(frames) == 7
    assert steps == [(i + 1, 7) for i in range(7)]
    assert [file.name for file in tmp_path.iterdir()] == ["film.MP4"]
    expected = 255 * np.kron(waves, np.ones((1, 8, 8)))
    for index, truth in enumerate((expected, 255 - expected)):
        error = panel(frames, layout, index).astype(float) - truth
        assert np.sqrt(np.mean(error**2)) < 2
        # black is black and white is white, whatever the player takes the range to be
        assert np.abs(error[:, 8:56, 8:56]).max() <= 2
        assert np.abs(error[:, -56:-8, -56:-8]).max() <= 2


def test_noise_survives(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).poisson(2.0, (5, 300, 400)).astype(np.uint16)
    write_mp4([("noise", Movie(noise))], tmp_path / "film.mp4", contrast_limits=[(0, 8)])
    shown = panel(decoded(tmp_path / "film.mp4")[1], Layout.of(1, 300, 400), 0)
    expected = np.clip(noise, 0, 8).repeat(2, 1).repeat(2, 2) * 255 / 8
    assert shown.std() == pytest.approx(expected.std(), rel=0.03)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.99


def test_contrast_is_measured_for_each_movie_and_does_not_flicker(tmp_path: Path, waves: np.ndarray) -> None:
    """A still image beside a flash keeps its grey values, and so does the same one in other units."""
    waves[:] = waves[0]
    flash = waves.copy()
    flash[3] *= 50
    write_mp4(
        [("still", Movie(waves)), ("counts", Movie(5000 * waves + 300)), ("flash", Movie(flash))], tmp_path / "film.mp4"
    )
    _, frames = decoded(tmp_path / "film.mp4")
    still, counts, flash = (panel(frames, Layout.of(3, 48, 64), i).astype(float) for i in range(3))
    assert np.ptp(still, axis=0).mean() < 1
    assert np.abs(still - counts).mean() < 1
    assert (still.min(), still.max()) == (pytest.approx(0, abs=3), pytest.approx(255, abs=3))
    assert np.abs(flash[2] - flash[4]).mean() < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 7.0])
@pytest.mark.parametrize("all_of_it", [False, True])
def test_frames_without_an_image_are_drawn(tmp_path: Path, waves: np.ndarray, bad: float, all_of_it: bool) -> None:
    waves[slice(None) if all_of_it else 3] = bad
    waves[5, 20:30, 20:30] = bad
    write_mp4([("bad", Movie(waves))], tmp_path / "film.mp4")
    _, frames = decoded(tmp_path / "film.mp4")
    assert len(frames) == 7
    shown = panel(frames, Layout.of(1, 48, 64), 0)
    black = bad != bad or bad < 0 or (all_of_it and bad == 7)
    assert shown[3].mean() == pytest.approx(0 if black else 255, abs=2)


def test_one_frame_is_computed_at_a_time_and_once(tmp_path: Path) -> None:
    computed: list[tuple[str, int]] = []

    def lazy(name: str) -> Movie:
        def compute(block: np.ndarray, block_info: dict) -> np.ndarray:
            computed.append((name, block_info[0]["array-location"][0][0]))
            return block + np.arange(64, dtype=np.uint16)

        data = da.zeros((30, 48, 64), chunks=(1, -1, -1), dtype=np.uint16)
        return Movie(data.map_blocks(compute, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16)))

    at = []
    panels = [("a", lazy("a")), ("b", lazy("b"))]
    write_mp4(panels, tmp_path / "film.mp4", progress=lambda done, _: at.append(len(computed)))
    in_turn = [(name, i) for i in range(30) for name in "ab"]
    assert computed[-60:] == in_turn
    assert len(computed) <= 60 + 2 * 5
    assert np.all(np.diff(at) == 2)


@pytest.mark.parametrize("rows", [3, 128, 333, 768, 2048])
@pytest.mark.parametrize("columns", [2, 128, 501, 1024, 2048, 4096])
@pytest.mark.parametrize("panels", [1, 2, 3])
def test_pictures_are_large_enough_and_not_too_large(panels: int, rows: int, columns: int) -> None:
    layout = Layout.of(panels, rows, columns)
    width, height = layout.panel
    assert np.all(np.array(layout.size) % 2 == 0)
    assert np.all(np.array(layout.size) <= np.array(MAX_SIZE_PX) + 80)
    assert layout.top + height <= layout.size[1]
    assert layout.lefts[-1] + width <= layout.size[0]
    assert all(b - a >= width for a, b in zip(layout.lefts, layout.lefts[1:], strict=False))
    if width > columns:
        assert width % columns == height % rows == 0
        assert width // columns == height // rows
    elif min(width, height) > 50:
        assert width / height == pytest.approx(columns / rows, rel=0.02)
    if panels == 1:
        assert max(width, height) >= 512


def test_large_frames_are_reduced_without_moire(tmp_path: Path) -> None:
    """A fine chequerboard becomes even grey, as the eye would see it from afar."""
    board = np.indices((2, 2000, 5000)).sum(axis=0) % 2
    write_mp4([("board", Movie(board.astype(np.uint8)))], tmp_path / "film.mp4", contrast_limits=[(0, 1)])
    _, frames = decoded(tmp_path / "film.mp4")
    shown = panel(frames, Layout.of(1, 2000, 5000), 0)[:, 20:-20, 20:-20].astype(float)
    assert frames.shape[2] <= MAX_SIZE_PX[0]
    assert shown.mean() == pytest.approx(127.5, abs=2)
    assert shown.std() < 12


@pytest.mark.parametrize("pixel_size_nm", [None, 0.0012, 0.03, 0.5, 40.0])
@pytest.mark.parametrize("columns", [100, 1024, 2600])
def test_the_bar_is_as_long_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixel_size_nm: float | None, columns: int
) -> None:
    said = []
    monkeypatch.setattr("napari_noise2atom.io.video.bar_text", lambda nm: said.append(bar_text(nm)) or said[-1])
    data = np.zeros((2, columns // 2, columns), np.uint8)
    write_mp4([("raw", Movie(data, pixel_size_nm)), ("other", Movie(data))], tmp_path / "film.mp4")
    _, frames = decoded(tmp_path / "film.mp4")
    layout = Layout.of(2, columns // 2, columns)
    below = frames[0, layout.top + layout.panel[1] :]
    # the rows of the bar are the ones that are white from the panel's left edge on
    white = below[below[:, layout.lefts[0] + 2] > 200][:, layout.lefts[0] :] > 140
    drawn_px = np.median(np.argmin(white, axis=1)) * columns / layout.panel[0]
    if pixel_size_nm:
        number, unit = said[0].split()
        length_nm = float(number) * {"Å": 0.1, "nm": 1, "µm": 1e3}[unit]
        expected_px = length_nm / pixel_size_nm
    else:
        assert not said
        expected_px = bar_length(columns)
    assert drawn_px == pytest.approx(expected_px, abs=1.1 * columns / layout.panel[0])
    assert 1 / 8 < drawn_px / columns < 1 / 3


@pytest.mark.parametrize("width", np.geomspace(1e-4, 1e7, 60))
def test_the_bar_has_a_round_length_near_a_fifth(width: float) -> None:
    length = bar_length(width)
    digit = f"{length:.6e}"
    assert re.fullmatch(r"[125]\.000000e.*", digit)
    assert 0.12 < length / width < 0.32


def test_lengths_are_short_to_read() -> None:
    lengths = (0.05, 0.1, 0.5, 1.0, 2.0, 500.0, 1000.0, 2e4, 1e6)
    expected = ["0.5 Å", "1 Å", "5 Å", "1 nm", "2 nm", "500 nm", "1 µm", "20 µm", "1 mm"]
    assert [bar_text(length) for length in lengths] == expected


@pytest.mark.parametrize("step_s", [2e-6, 1e-4, 1 / 150, 0.04, 1 / 15, 0.25, 1.5, 30.0])
@pytest.mark.parametrize("frames", [2, 37, 1000])
def test_times_are_right_and_all_different(step_s: float, frames: int) -> None:
    texts = [time_text(i, frames, step_s) for i in range(frames)]
    units = {text.split()[1] for text in texts}
    assert len(set(texts)) == frames
    assert len(units) == 1
    seconds = np.array([float(text.split()[0]) for text in texts]) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[units.pop()]
    np.testing.assert_allclose(seconds, step_s * np.arange(frames), atol=0.51 * step_s, rtol=0)
    assert len({len(text.partition(".")[2]) for text in texts}) == 1


def test_examples_of_times() -> None:
    assert [time_text(i, 10, 0.25) for i in (0, 1, 2)] == ["0.00 s", "0.25 s", "0.50 s"]
    assert [time_text(i, 1000, 1 / 15) for i in (1, 15)] == ["0.07 s", "1.00 s"]
    assert time_text(20, 30, 1 / 150) == "133 ms"
    assert time_text(12, 30, None) == "frame 12"


def test_time_is_seen_and_names_stay(tmp_path: Path, waves: np.ndarray) -> None:
    waves[:] = waves[0]
    write_mp4([("raw", Movie(waves, 0.03, 0.1)), ("denoised", Movie(waves))], tmp_path / "film.mp4")
    _, frames = decoded(tmp_path / "film.mp4")
    layout = Layout.of(2, 48, 64)
    above, below = frames[:, : layout.top], frames[:, layout.top + layout.panel[1] :].astype(int)
    middle = layout.size[0] // 2
    for name in (above[..., :middle], above[..., middle:]):
        assert (name[0] > 180).any()
        assert np.ptp(name, axis=0).max() < 12
    changes = np.abs(np.diff(below, axis=0)).max(axis=1) > 60
    assert changes[..., middle:].any(axis=1).all()
    assert not changes[..., :middle].any()


def test_time_and_size_may_be_known_by_any_of_the_movies(tmp_path: Path, waves: np.ndarray) -> None:
    known, unknown = Movie(waves, 0.03, 0.1), Movie(waves)
    write_mp4([("a", known), ("b", unknown)], tmp_path / "a.mp4")
    write_mp4([("a", unknown), ("b", known)], tmp_path / "b.mp4")
    np.testing.assert_array_equal(decoded(tmp_path / "a.mp4")[1], decoded(tmp_path / "b.mp4")[1])


@pytest.mark.parametrize("name", ["", "µ Å é 雪", "two\nlines", "very long " * 30])
def test_any_name_is_drawn_within_its_panel(name: str) -> None:
    layout = Layout.of(2, 64, 64)
    drawn = Picture(layout, [name, ""], (0.2, "1 nm")).draw([np.zeros((64, 64), np.uint8)] * 2, "1 s")
    rows, columns = np.nonzero(drawn[: layout.top] > 60)
    assert bool(name) == bool(len(columns))
    assert np.all(columns < layout.lefts[0] + layout.panel[0] + 2)
    assert np.all((rows > 0) & (rows < layout.top - 1))


def test_odd_paths(tmp_path: Path, waves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ffmpeg could take for an option, an address or a pattern is the name of a file."""
    monkeypatch.chdir(tmp_path)
    for path in ("-i.mp4", "pipe:1.mp4", "50%d é.mp4"):
        write_mp4([("raw", Movie(waves[:2]))], path)
        assert len(decoded(tmp_path / path)[1]) == 2


def fake_ffmpeg(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


@pytest.mark.parametrize(
    "script",
    [
        "echo first >&2; echo No space left >&2; exit 1",
        "cat >/dev/null; echo first >&2; echo No space left >&2; exit 1",
    ],
)
def test_ffmpeg_that_fails_is_heard(
    tmp_path: Path, waves: np.ndarray, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Be it at once, or after all frames."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "film.mp4").write_text("earlier")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", fake_ffmpeg(tmp_path / "ffmpeg", script))
    with pytest.raises(MovieFileError, match=r"film\.mp4: ffmpeg has failed \(No space left\)"):
        write_mp4([("raw", Movie(waves))], folder / "film.mp4")
    assert [file.read_text() for file in folder.iterdir()] == ["earlier"]


def test_without_the_extra(tmp_path: Path, waves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MovieFileError, match=r'pip install "napari-noise2atom\[video\]"'):
        write_mp4([("a", Movie(waves))], tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_no_ffmpeg(tmp_path: Path, waves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(MovieFileError, match="ffmpeg cannot be started"):
        write_mp4([("raw", Movie(waves))], tmp_path / "film.mp4")

    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(MovieFileError, match="No ffmpeg exe could be found"):
        write_mp4([("raw", Movie(waves))], tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("last", [2, 7])
def test_cancelling_leaves_nothing_behind(
    tmp_path: Path, waves: np.ndarray, error: type[BaseException], last: int
) -> None:
    def cancel(done: int, _: int) -> None:
        if done == last:
            raise error

    with pytest.raises(error):
        write_mp4([("raw", Movie(waves))], tmp_path / "film.mp4", progress=cancel)
    assert not list(tmp_path.iterdir())


def test_a_frame_that_cannot_be_read_costs_no_earlier_file(tmp_path: Path, waves: np.ndarray) -> None:
    (tmp_path / "film.mp4").write_text("earlier")

    def fail(block: np.ndarray, block_info: dict) -> np.ndarray:
        if block_info[0]["array-location"][0][0] == 4:
            raise ZeroDivisionError
        return block

    lazy = da.from_array(waves, chunks=(1, -1, -1)).map_blocks(fail, dtype=waves.dtype, meta=waves[:0])
    with pytest.raises(ZeroDivisionError):
        write_mp4([("raw", Movie(lazy))], tmp_path / "film.mp4", contrast_limits=[(0, 1)])
    assert [file.read_text() for file in tmp_path.iterdir()] == ["earlier"]


def test_what_does_not_belong_side_by_side(tmp_path: Path, waves: np.ndarray) -> None:
    path, movie = tmp_path / "film.mp4", Movie(waves, 0.03)
    for other, words in (
        (Movie(waves[:5]), "5 frames of 48 × 64 pixels, but raw has 7 frames"),
        (Movie(waves[:, :40]), "40 × 64"),
        (Movie(waves, 0.06), "raw 0.03 nm, other 0.06 nm"),
    ):
        with pytest.raises(MovieFileError, match=words):
            write_mp4([("raw", movie), ("other", other)], path)
    with pytest.raises(MovieFileError, match="no movie"):
        write_mp4([], path)
    for limits in ([], [(0.0, 1.0)] * 2, [(1.0, 1.0)], [(0.0, np.nan)]):
        with pytest.raises(ValueError, match="contrast limits"):
            write_mp4([("raw", movie)], path, contrast_limits=limits)
    for rate in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="frames per second"):
            write_mp4([("raw", movie)], path, frames_per_second=rate)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [("film.avi", "use .mp4"), ("film", "use .mp4"), ("no/film.mp4", "no folder"), ("d.mp4", "is a folder")],
)
def test_where_nothing_can_be_written(tmp_path: Path, waves: np.ndarray, name: str, words: str) -> None:
    (tmp_path / "d.mp4").mkdir()
    with pytest.raises(MovieFileError, match=words):
        write_mp4([("raw", Movie(waves))], tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["d.mp4"]
