"""BM3D through the package ``bm3d``, in a process of its own: a crash of its native code ends that one only.

The package is free for non-commercial use only; it is called, and not part of this one.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

from .anscombe import anscombe, unbiased_inverse
from .method import Progress, UnavailableError
from .poissongaussian import PoissonGaussian

__all__ = ["bm3d"]

STABILISED, RESULT, MESSAGES = "stabilised.npy", "denoised.npy", "messages.txt"


def bm3d(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise each frame by itself with BM3D, after its variance was stabilised.

    Dabov, Foi, Katkovnik and Egiazarian, IEEE Transactions on Image Processing 16, 2080 (2007). Noise is measured on
    the movie; it is taken for white, though afterglow correlates it along x.

    Raises
    ------
    UnavailableError
        If its process crashes.
    """
    noise = PoissonGaussian.of(movie)
    with tempfile.TemporaryDirectory(prefix="noise2atom-bm3d-") as name:
        folder = Path(name)
        stabilised = np.lib.format.open_memmap(folder / STABILISED, "w+", np.float32, movie.shape)
        for index in range(len(movie)):
            stabilised[index] = anscombe(noise.normalise(movie.frame(index)), noise.read_variance)
        stabilised.flush()
        with _process(folder, settings.threads or max(1, (os.cpu_count() or 1) - 1)) as frames_done:
            for done in frames_done:
                progress(done / len(movie))
        denoised: NDArray[np.float32] = np.load(folder / RESULT)
    for frame in denoised:
        frame[:] = noise.restore(unbiased_inverse(frame, noise.read_variance))
    return denoised


@contextmanager
def _process(folder: Path, threads: int) -> Iterator[Iterator[int]]:
    """Start the process; its frames can be counted as they are done, and it does not outlive this context."""
    words = [sys.executable, "-m", __name__, str(folder), str(threads)]
    with (folder / MESSAGES).open("wb") as messages:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, text=True)
        try:
            yield _frames_done(process, folder / MESSAGES)
        finally:
            process.kill()
            process.communicate()


def _frames_done(process: subprocess.Popen[str], messages: Path) -> Iterator[int]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().isdecimal():
            yield int(line)
    if code := process.wait():
        said = messages.read_text(errors="replace").strip().splitlines()
        reason = said[-1] if said else "no message"
        raise UnavailableError(
            f"BM3D's process ended with code {code} ({reason}); the package bm3d fails on this computer"
        )


def _denoise_folder(folder: Path, threads: int) -> None:
    """Denoise the frames in a folder; runs in the process of its own."""
    from bm3d import BM3DProfile
    from bm3d import bm3d as denoise

    stabilised = np.load(folder / STABILISED, mmap_mode="r")
    denoised = np.lib.format.open_memmap(folder / RESULT, "w+", np.float32, stabilised.shape)
    profile = BM3DProfile()
    profile.num_threads = threads
    for index, frame in enumerate(stabilised):
        denoised[index] = denoise(np.array(frame), 1.0, profile)
        print(index + 1, flush=True)
    denoised.flush()


if __name__ == "__main__":
    _denoise_folder(Path(sys.argv[1]), int(sys.argv[2]))
