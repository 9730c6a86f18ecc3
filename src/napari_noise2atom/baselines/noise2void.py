"""Noise2Void (Krull et al. 2019) and struct-N2V (Broaddus et al. 2020) by the package CAREamics.

The package wants other versions of torch than this one may run with, so it works in a process of its own, whose
interpreter may belong to another virtual environment.
"""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

from .method import Progress, UnavailableError

__all__ = ["INTERPRETER", "noise2void", "struct_n2v"]

INTERPRETER = "NOISE2ATOM_CAREAMICS_PYTHON"
"""Environment variable with the path of the Python interpreter in which CAREamics is installed."""
CHILD = Path(__file__).with_name("noise2void_child.py")
MASK_PX = 5
"""Pixels along x that struct-N2V hides: the judged one and two on either side."""
LISTEN_S = 0.2
"""Longest time without a look at whether the user still wants the result [s]."""
ERROR_LINES = 5
"""Of what a failed process wrote, how many are shown."""
MIN_SIDE_PX = 64
"""Of the package's training patches."""


def noise2void(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise by a network that learned to foretell hidden pixels of single frames, as published.

    Parameters
    ----------
    movie : Movie
        Raw movie without bad frames, at least 64 px on each side.
    settings : CompareSettings
        Minutes of the training, seed, device, threads.
    progress : callable
        Is told the share that is done; if it raises, the process is ended.

    Returns
    -------
    array, shape (t, y, x)
        In the movie's grey values.

    Raises
    ------
    UnavailableError
        If CAREamics is not there.
    ValueError
        If the frames are too small.
    ChildProcessError
        If the process failed.
    """
    return _by_careamics(movie, settings, progress, mask_px=1)


def struct_n2v(movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    """Denoise as `noise2void`, but hide the neighbours along x too, to which afterglow carries a pixel's noise.

    Parameters, result and errors are those of `noise2void`.
    """
    return _by_careamics(movie, settings, progress, mask_px=MASK_PX)


def _by_careamics(movie: Movie, settings: CompareSettings, progress: Progress, mask_px: int) -> NDArray[np.float32]:
    if min(movie.shape[1:]) < MIN_SIDE_PX:
        size = f"{movie.shape[1]} × {movie.shape[2]}"
        raise ValueError(f"{movie.name}: got frames of {size} px; Noise2Void needs at least {MIN_SIDE_PX} px a side")
    request = {
        "minutes": settings.minutes,
        "seed": settings.seed,
        "device": settings.device,
        "threads": settings.threads or max(1, (os.cpu_count() or 1) - 1),
        "mask_px": mask_px,
    }
    with TemporaryDirectory(prefix="noise2atom-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        np.save(folder / "movie.npy", np.asarray(movie.data, dtype=np.float32))
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run(folder, progress)
        denoised: NDArray[np.float32] = np.load(folder / "denoised.npy")
    progress(1.0)
    return denoised


def _run(folder: Path, progress: Progress) -> None:
    """Run the child to its end, telling the progress."""
    interpreter = os.environ.get(INTERPRETER) or sys.executable
    errors = folder / "errors.txt"
    with errors.open("w", encoding="utf-8") as file, _started(interpreter, folder, file) as child:
        share = 0.0
        for line in _lines(child):
            message = json.loads(line) if line else {}
            if "unavailable" in message:
                raise UnavailableError(_missing(interpreter, message["unavailable"]))
            share = max(share, message.get("progress", share))
            progress(share)
        status = child.wait()
    if status:
        last = errors.read_text(encoding="utf-8", errors="replace").splitlines()[-ERROR_LINES:]
        raise ChildProcessError("\n".join([f"CAREamics in {interpreter} ended with status {status}:", *last]))


@contextmanager
def _started(interpreter: str, folder: Path, errors: IO[str]) -> Iterator["subprocess.Popen[str]"]:
    """Start the child; whatever happens, it does not outlive this context."""
    # -P: the child's own folder, whose modules could hide packages, is not searched
    command = [interpreter, "-P", str(CHILD), str(folder)]
    try:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8", cwd=folder
        )
    except OSError as error:
        raise UnavailableError(_missing(interpreter, error.strerror or str(error))) from error
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _lines(child: "subprocess.Popen[str]") -> Iterator[str]:
    """Yield what the child says, and an empty text whenever it is silent for a while."""
    said: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                said.put(line)
        said.put(None)

    Thread(target=listen, daemon=True).start()
    while True:
        try:
            line = said.get(timeout=LISTEN_S)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line


def _missing(interpreter: str, why: str) -> str:
    return (
        f"Noise2Void needs the package CAREamics, which {interpreter} cannot load ({why}); install it with "
        f"pip install 'napari-noise2atom[careamics]', or in a virtual environment of its own whose interpreter "
        f"is named by {INTERPRETER}"
    )
