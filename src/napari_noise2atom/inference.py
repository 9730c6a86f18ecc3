"""Applying a trained model to a movie: lazily, frame by frame, in tiles."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import torch
from dask.delayed import delayed
from numpy.typing import NDArray
from torch import Tensor

from .modelfile import TrainedModel
from .movie import Movie
from .networks import (
    Generator,
    frozen_statistics,
    memory_layout,
    mixed_precision,
    precision,
    resolve_device,
    round_weights,
    spare_threads,
    translate_tiled,
    use_threads,
)
from .streaming import compute_ahead, frames_at_once
from .windows import FrameWindows

__all__ = ["FrameDenoiser", "denoise", "denoise_frames", "translate_windows"]

MIN_TILE_PX = 64
REFERENCE_PX = 128
REFERENCES_PER_AXIS = 3
SMALL_PX = 192**2
"""Up to here, one CPU thread is faster than several on a frame of the compact network [px]."""
BATCH_PX = 2**21
"""Small frames of so many pixels in all are one batch on a GPU, which is idle between the operations on few [px]."""
BATCHES_AT_ONCE = 2
"""While a GPU computes one, the next is read and sent, and the last fetched."""


def denoise(
    movie: Movie, model: TrainedModel, *, device: str = "auto", threads: int = 0, tile_px: int | None = None
) -> Movie:
    """Return the denoised movie; nothing is read or computed until a frame is asked for.

    Parameters
    ----------
    movie : Movie
        Raw movie; its frames may be larger or smaller than those of the training.
    model : TrainedModel
        What to apply.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    threads : int
        CPU threads; 0 means all cores but one.
    tile_px : int, optional
        Side of the tiles in which large frames are computed, at least 64; if left out, the one that is fast. They are
        halved where a GPU has too little memory. The result does not depend on it [px].

    Returns
    -------
    Movie
        Dask data of one chunk a frame, float32 in [0, 1], with the calibration of the raw movie.

    Raises
    ------
    ValueError
        If the device is not there, the tiles are too small, or the threads are fewer than 0.
    """
    denoiser = FrameDenoiser(movie, model, device, threads, tile_px)
    frames, height, width = movie.shape
    name = f"denoised-{uuid4().hex}"
    data = da.map_blocks(  # type: ignore[no-untyped-call]
        _denoise_block,
        # A node of its own in the graph, which every process unpickles once and not once a frame.
        denoiser=delayed(denoiser, name=f"{name}-denoiser", traverse=False),
        chunks=((1,) * frames, (height,), (width,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
        name=name,
    )
    return movie.with_data(data, f"{movie.name} denoised")


def denoise_frames(
    movie: Movie,
    model: TrainedModel,
    indices: Iterable[int],
    *,
    device: str = "auto",
    threads: int = 0,
    tile_px: int | None = None,
) -> NDArray[np.float32]:
    """Denoise chosen frames now.

    Parameters
    ----------
    movie, model, device, threads, tile_px
        As for `denoise`.
    indices : iterable of int
        Frames, from 0.

    Returns
    -------
    array, shape (n, y, x)
        In [0, 1].

    Raises
    ------
    ValueError
        As for `denoise`, and if the movie has no such frame.
    """
    chosen = list(FrameDenoiser(movie, model, device, threads, tile_px).stream(indices))
    return np.stack(chosen) if chosen else np.empty((0, *movie.shape[1:]), np.float32)


def translate_windows(generator: Generator, windows: Tensor, tile_px: int | None = None) -> Tensor:
    """Denoise the middle frame of each of some windows of neighbouring frames.

    A network with instance norm takes its statistics from 128×128 crops, the size on which it was trained, at fixed
    places all over the frame, so that they do not depend on the tiles. A frame that is no larger is its own crop.

    Parameters
    ----------
    generator : Generator
        The network s2c, used by no other thread meanwhile.
    windows : Tensor, shape (n, frames_in, y, x)
        Normalised frames on the generator's device.
    tile_px : int, optional
        Side of a tile; the generator's own if left out [px].

    Returns
    -------
    Tensor, shape (n, y, x)
        In [0, 1].
    """
    if generator.needs_statistics and _has_crops(windows.shape[-2:]):
        translated = torch.cat([_translate_by_crops(generator, window, tile_px) for window in windows])
    else:
        translated = translate_tiled(generator, windows, tile_px)
    return ((translated[:, 0] + 1) / 2).clamp(0, 1)


def _blank_edges(frame: NDArray[np.float32], part: tuple[slice, slice]) -> None:
    """Leave nothing where the raw frame has empty edges."""
    rows, columns = part
    frame[: rows.start] = frame[rows.stop :] = 0
    frame[:, : columns.start] = frame[:, columns.stop :] = 0


def _has_crops(size_px: Sequence[int]) -> bool:
    """Whether frames are larger than those of the training."""
    return max(size_px) > REFERENCE_PX


def _translate_by_crops(generator: Generator, window: Tensor, tile_px: int | None) -> Tensor:
    with frozen_statistics(generator, _reference_crops(window)):
        return translate_tiled(generator, window[None], tile_px)


class FrameDenoiser:
    """Denoises single frames of one movie with one model; may be called from any thread, and pickled.

    Networks are built when they are needed first. They live in threads of their own: frozen statistics allow no other
    user, and the caller's torch settings stay. On a CPU, several frames that are asked for at once share the CPU
    threads, as each is done faster by few; a GPU, or a large frame, does one after the other.

    Parameters
    ----------
    movie, model, device, threads, tile_px
        As for `denoise`.

    Raises
    ------
    ValueError
        As for `denoise`.
    """

    def __init__(
        self, movie: Movie, model: TrainedModel, device: str = "auto", threads: int = 0, tile_px: int | None = None
    ) -> None:
        if tile_px is not None and tile_px < MIN_TILE_PX:
            raise ValueError(f"got tiles of {tile_px} px; expected at least {MIN_TILE_PX} px")
        if threads < 0:
            raise ValueError(f"got {threads} threads; expected 0 for all cores but one, or more")
        self._recipe = (movie, model, device, threads, tile_px)
        self._model = model
        self._mixed = model.settings.run.mixed_precision
        self._device = resolve_device(device)
        self._tile_px = tile_px
        self._size_px: tuple[int, int] = movie.shape[1:]
        self._windows = FrameWindows(movie, model.settings.network, model.normalisation.low, model.normalisation.high)
        self._threads = spare_threads(threads)
        alone = self._device.type != "cpu"
        pixels = self._size_px[0] * self._size_px[1]
        self._batch = max(1, BATCH_PX // pixels) if alone else 1
        batches = BATCHES_AT_ONCE if self._batch > 1 else 1
        self.at_once = batches if alone else min(self._threads, frames_at_once(self._size_px))
        """Frames, on a GPU batches of them, that are computed at a time, if so many are asked for."""
        self._small = pixels <= SMALL_PX
        self._pool = ThreadPoolExecutor(self.at_once, "denoise")
        self._of_thread = threading.local()
        self._asked = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        # Another process opens the movie and builds the network anew.
        return FrameDenoiser, self._recipe

    def __call__(self, index: int) -> NDArray[np.float32]:
        """Return a denoised frame, shape (y, x), in [0, 1]."""
        frame: NDArray[np.float32] = self._many([index])[0]
        return frame

    def stream(self, indices: Iterable[int]) -> Iterator[NDArray[np.float32]]:
        """Yield denoised frames in the order of their numbers, several of which are computed at once."""
        numbers = [int(index) for index in indices]
        batches = [numbers[start : start + self._batch] for start in range(0, len(numbers), self._batch)]
        with self._counted(max(0, min(self.at_once, len(batches)) - 1)):
            # one more than at once, so that reading does not interrupt the computation
            for frames in compute_ahead(self._many, batches, self.at_once + 1):
                yield from frames

    def _many(self, indices: list[int]) -> NDArray[np.float32]:
        windows = [self._windows(index) for index in indices]
        with self._counted(1):
            denoised = self._pool.submit(self._translate, windows).result()
        for frame, index in zip(denoised, indices, strict=True):
            _blank_edges(frame, self._windows.image_part(index))
        return denoised

    @contextmanager
    def _counted(self, frames: int) -> Iterator[None]:
        with self._lock:
            self._asked += frames
        try:
            yield
        finally:
            with self._lock:
                self._asked -= frames

    def _translate(self, windows: list[list[NDArray[np.generic]]]) -> NDArray[np.float32]:
        """Apply the network to so many windows at once as there is memory for; runs in the pool's threads only."""
        try:
            return self._translate_at_once(windows)
        except torch.OutOfMemoryError as error:
            if len(windows) == 1 and not self._halve_tiles():
                raise MemoryError(
                    f"{self._device} has too little memory even for tiles of {MIN_TILE_PX} px; choose the device cpu"
                ) from error
        # Only here is free again what the attempt held.
        if len(windows) == 1:
            return self._translate(windows)
        half = len(windows) // 2
        return np.concatenate([self._translate(part) for part in (windows[:half], windows[half:])])

    def _translate_at_once(self, windows: list[list[NDArray[np.generic]]]) -> NDArray[np.float32]:
        with self._stream():
            generator = self._generator()
        # Instance norm after instance norm amplifies rounding: bfloat16 would change the paper's result by a tenth.
        fine = generator.needs_statistics
        use_threads(max(1, self._threads // min(self.at_once, self._asked)) if fine or not self._small else 1)
        with torch.inference_mode(), self._stream():
            # Converted here and not by the callers, so that there are no more such copies than threads.
            frames = self._normalised(windows)
            with mixed_precision(self._device, self._mixed, fine=fine):
                translated = translate_windows(generator, frames, self._tile_px)
            if fine and not translated.isfinite().all():  # too large a number for float16
                translated = translate_windows(self._generator(rounded=False), frames, self._tile_px)
            return translated.float().cpu().numpy()

    def _halve_tiles(self) -> bool:
        """Compute in smaller tiles from now on; return False if that is no help."""
        halved = min(self._tile_px or self._generator().tile_px, max(self._size_px)) // 2
        if halved < MIN_TILE_PX:
            return False
        self._tile_px = halved
        return True

    def _normalised(self, windows: list[list[NDArray[np.generic]]]) -> Tensor:
        """Return windows on the device, shape (n, frames_in, y, x); a frame that is in several of them is sent once."""
        frames = [frame for window in windows for frame in window]
        different = {id(frame): frame for frame in frames}
        grey = np.stack([*different.values()], dtype=np.float32, casting="unsafe")
        there = self._model.normalisation.overwrite(torch.from_numpy(grey).to(self._device))
        if len(different) < len(frames):
            numbers = {key: number for number, key in enumerate(different)}
            there = there[[numbers[id(frame)] for frame in frames]]
        return there.reshape(len(windows), -1, *there.shape[1:])

    def _stream(self) -> AbstractContextManager[object]:
        """Return a context whose thread, on a CUDA GPU, does not wait for what others have launched."""
        if self._device.type != "cuda":
            return nullcontext()
        if not hasattr(self._of_thread, "stream"):
            self._of_thread.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._of_thread.stream)

    def _generator(self, rounded: bool = True) -> Generator:
        """Return the network of the calling thread, its weights as they are multiplied or as they were trained."""
        generators: dict[bool, Generator] = self._of_thread.__dict__.setdefault("generators", {})
        if rounded not in generators:
            generator = self._model.s2c()
            layout = memory_layout(generator, self._device, frozen=_has_crops(self._size_px))
            if rounded:
                round_weights(generator, precision(self._device, self._mixed, fine=generator.needs_statistics))
            generators[rounded] = generator.to(self._device, memory_format=layout)  # type: ignore[call-overload]
        return generators[rounded]


def _denoise_block(denoiser: Callable[[int], NDArray[np.float32]], block_id: tuple[int, ...]) -> NDArray[np.float32]:
    return denoiser(block_id[0])[np.newaxis]


def _reference_crops(window: Tensor) -> Tensor:
    """Return crops of shape (n, frames_in, ≤ 128, ≤ 128), evenly spread over the frame."""
    rows, columns = (_spread(length) for length in window.shape[-2:])
    return torch.stack([window[:, y : y + REFERENCE_PX, x : x + REFERENCE_PX] for y in rows for x in columns])


def _spread(length_px: int) -> list[int]:
    count = min(REFERENCES_PER_AXIS, -(-length_px // REFERENCE_PX))
    last = max(0, length_px - REFERENCE_PX)
    return [round(last * number / max(1, count - 1)) for number in range(count)]
