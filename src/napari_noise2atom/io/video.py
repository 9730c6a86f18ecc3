"""MP4 videos of movies side by side, for talks and supplements."""

import math
import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

from .frames import MovieFileError, reason
from .videopicture import Layout, Picture, bar_length, bar_text, time_text

__all__ = ["write_mp4"]

_CONTRAST_FRAMES = 5
_CONTRAST_PERCENT = (1.0, 99.8)
_CONTRAST_VALUES = 2**18
"""Grey values of a frame that are looked at: the percentiles of more would cost much and change little."""
_QUALITY = ("-preset", "veryfast", "-crf", "18", "-tune", "grain", "-rc-lookahead", "10")
"""Keeps the noise: smoothed away, the raw panel would look denoised. Looking far ahead would cost 1 GB at 4K."""
_BIT_RATE = ("-maxrate", "60M", "-bufsize", "120M")
"""Noise cannot be compressed: without a limit, a large movie had 440 Mbit/s, which no computer plays smoothly."""
_COLOURS = (
    "scale=in_range=pc:out_range=tv,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)
"""Range and tags of high-definition video, said outright: left to players, black becomes dark grey or the reverse."""


def write_mp4(
    panels: Sequence[tuple[str, Movie]],
    path: str | Path,
    *,
    frames_per_second: float = 15.0,
    contrast_limits: Sequence[tuple[float, float]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write movies side by side as a video: each with its name, all with a scale bar and the time.

    One frame is in memory at a time. Frames that are smaller than 512 pixels are magnified by a whole factor; larger
    ones are reduced until the picture is at most 3840 × 2160 pixels. NaN is black. The file appears under its name when
    it is complete; an existing one is replaced.

    Parameters
    ----------
    panels : sequence of (str, Movie)
        Captions and movies from left to right; the data may be lazy. All have as many frames of the same size. Pixel
        size and frame time are those of the first movie that knows them; without, lengths are in pixels and times are
        frame numbers.
    path : str or Path
        File to write, ``.mp4``.
    frames_per_second : float
        Speed of the video [1/s].
    contrast_limits : sequence of (float, float), optional
        Grey values that become black and white, for each panel. If left out, the 1st and the 99.8th percentile of five
        frames of each movie.
    progress : callable, optional
        Is told the number of frames that are done, and of all; what it raises ends the writing and leaves no file.

    Raises
    ------
    ValueError
        If the movies do not belong side by side, the path cannot be written to, or ffmpeg fails.
    """
    path = Path(path)
    _check_panels(panels)
    _check_path(path)
    rate = _rate(frames_per_second)
    movies = [movie for _, movie in panels]
    limits = _checked(contrast_limits, len(movies)) if contrast_limits is not None else [*map(_contrast, movies)]
    frames, rows, columns = movies[0].shape
    layout = Layout.of(len(movies), rows, columns)
    picture = Picture(layout, [name for name, _ in panels], _scale_bar(movies))
    frame_time_s = next((movie.frame_time_s for movie in movies if movie.frame_time_s), None)
    with _encoder(path, layout.size, rate) as pictures:
        for index in range(frames):
            images = [_grey(movie.frame(index), *limit) for movie, limit in zip(movies, limits, strict=True)]
            pictures.write(picture.draw(images, time_text(index, frames, frame_time_s)).tobytes())
            if progress:
                progress(index + 1, frames)


def _check_panels(panels: Sequence[tuple[str, Movie]]) -> None:
    if not panels:
        raise MovieFileError("no movie to write; pass at least one panel, a name and a movie")
    (first, reference), *others = panels
    for name, movie in others:
        if movie.shape != reference.shape:
            raise MovieFileError(
                f"{name}: {_described(movie)}, but {first} has {_described(reference)}; side by side they need the "
                "same, cut one to the other's size"
            )
    sizes = {name: movie.pixel_size_nm for name, movie in panels if movie.pixel_size_nm}
    if sizes and max(sizes.values()) > 1.001 * min(sizes.values()):
        listed = ", ".join(f"{name} {size:g} nm" for name, size in sizes.items())
        raise MovieFileError(f"the pixel sizes differ ({listed}); one scale bar is for all, correct or rescale them")


def _described(movie: Movie) -> str:
    frames, rows, columns = movie.shape
    return f"{frames} frames of {rows} × {columns} pixels"


def _check_path(path: Path) -> None:
    if path.suffix.lower() != ".mp4":
        raise MovieFileError(f"{path.name}: cannot write videos ending in {path.suffix or 'nothing'!r}; use .mp4")
    if not path.parent.is_dir():
        raise MovieFileError(f"{path.name}: there is no folder {path.parent}; make it, or choose another")
    if path.is_dir():
        raise MovieFileError(f"{path.name}: is a folder; choose another name")


def _rate(frames_per_second: float) -> Fraction:
    """Return the speed as a fraction, which MP4 keeps exactly."""
    if not 0 < frames_per_second <= 1000:
        raise ValueError(f"got {frames_per_second} frames per second; expected more than 0 and at most 1000")
    return Fraction(frames_per_second).limit_denominator(1001)


def _checked(limits: Sequence[tuple[float, float]], panels: int) -> list[tuple[float, float]]:
    if len(limits) != panels:
        raise ValueError(f"got {len(limits)} contrast limits for {panels} panels; expected one pair for each")
    for low, high in limits:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"got the contrast limits {low} and {high}; expected a number and a larger one")
    return [(float(low), float(high)) for low, high in limits]


def _contrast(movie: Movie) -> tuple[float, float]:
    """Measure the grey values for black and white once for the whole movie: from frame to frame it would flicker."""
    values = np.concatenate([_some_values(movie.frame(int(i))) for i in _contrast_frames(len(movie))])
    if not len(values):
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, _CONTRAST_PERCENT))
    return (low, high) if low < high else (low, low + 1)


def _contrast_frames(frames: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, frames - 1, _CONTRAST_FRAMES).round().astype(np.intp))


def _some_values(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return finite grey values from all over a frame."""
    step = math.ceil(math.sqrt(frame.size / _CONTRAST_VALUES))
    some = frame[::step, ::step]
    return some[np.isfinite(some)]


def _grey(frame: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Return a frame in grey values of 0 to 255, NaN as 0."""
    share = (np.clip(np.nan_to_num(frame, nan=low, posinf=high, neginf=low), low, high) - low) / (high - low)
    grey: NDArray[np.uint8] = np.rint(255 * share).astype(np.uint8)
    return grey


def _scale_bar(movies: Sequence[Movie]) -> tuple[float, str]:
    """Return the bar's length relative to a panel's width, and its text."""
    columns = movies[0].shape[2]
    pixel_nm = next((movie.pixel_size_nm for movie in movies if movie.pixel_size_nm), None)
    width = columns * (pixel_nm or 1.0)
    length = bar_length(width)
    return length / width, bar_text(length) if pixel_nm else f"{length:g} px"


@contextmanager
def _encoder(path: Path, size: tuple[int, int], rate: Fraction) -> Iterator[IO[bytes]]:
    """Yield a pipe for one picture after the other; the file is there when all went well, and only then."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with tempfile.TemporaryFile() as said, _ffmpeg(_arguments(partial, size, rate), path.name, said) as process:
            assert process.stdin
            try:
                yield process.stdin
                process.stdin.close()
            except BrokenPipeError as error:
                process.wait()
                raise _failed(path.name, said) from error
            if process.wait():
                raise _failed(path.name, said)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _arguments(path: Path, size: tuple[int, int], rate: Fraction) -> list[str]:
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", str(rate), "-i", "-"]
    # faststart lets a browser begin before it has all; file: keeps ffmpeg from taking a name for an address
    target = ["-movflags", "+faststart", "-f", "mp4", f"file:{path}"]
    return ["-y", "-v", "error", *source, "-vf", _COLOURS, "-c:v", "libx264", *_QUALITY, *_BIT_RATE, *target]


@contextmanager
def _ffmpeg(arguments: list[str], name: str, said: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ffmpeg; whatever happens, it has ended when the context has.

    Not ``imageio_ffmpeg.write_frames``: it hides both what ffmpeg says and that it has failed, so that a video on a
    full disk would count as written.
    """
    # no window of its own on Windows
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        command = [_ffmpeg_program(name), *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, creationflags=flags
        )
    except (OSError, RuntimeError) as error:
        raise MovieFileError(
            f"{name}: ffmpeg cannot be started ({reason(error)}); install imageio-ffmpeg again"
        ) from error
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _ffmpeg_program(name: str) -> str:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise MovieFileError(f'{name}: MP4 needs ffmpeg; pip install "napari-noise2atom[video]"') from error
    return str(get_ffmpeg_exe())


def _failed(name: str, said: IO[bytes]) -> MovieFileError:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else "without a word"
    return MovieFileError(f"{name}: ffmpeg has failed ({last}); check the free space and the rights of the folder")
