"""Applying a trained model to a movie: lazily, frame by frame, in tiles."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple
from uuid import uuid4

import dask.array as da
import numpy as np
import torch
from dask.delayed import delayed
from numpy.typing import NDArray
from torch import Tensor

from .modelfile import TrainedModel
from .movie import Movie, is_bad_frame
from .networks import Generator, frozen_statistics, resolve_device, translate_tiled, use_threads

__all__ = ["FrameDenoiser", "denoise", "denoise_frames", "translate_window"]

CACHE_BYTES = 256 * 2**20
MIN_TILE_PX = 64
REFERENCE_PX = 128
REFERENCES_PER_AXIS = 3


def denoise(movie: Movie, model: TrainedModel, *, device: str = "auto", threads: int = 0, tile_px: int = 512) -> Movie:
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
    tile_px : int
        Side of the tiles in which large frames are computed, at least 64; the result does not depend on it [px].

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
    tile_px: int = 512,
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
    denoiser = FrameDenoiser(movie, model, device, threads, tile_px)
    chosen = [denoiser(int(index)) for index in indices]
    return np.stack(chosen) if chosen else np.empty((0, *movie.shape[1:]), np.float32)


def translate_window(generator: Generator, window: Tensor, tile_px: int = 512) -> Tensor:
    """Denoise the middle one of some neighbouring frames.

    A network with instance norm takes its statistics from 128×128 crops, the size on which it was trained, at fixed
    places all over the frame, so that they do not depend on the tiles. A frame that is no larger is its own crop.

    Parameters
    ----------
    generator : Generator
        The network s2c, used by no other thread meanwhile.
    window : Tensor, shape (frames_in, y, x)
        Normalised frames on the generator's device.
    tile_px : int
        Side of a tile [px].

    Returns
    -------
    Tensor, shape (y, x)
        In [0, 1].
    """
    images = window[None]
    if generator.needs_statistics and max(window.shape[-2:]) > REFERENCE_PX:
        with frozen_statistics(generator, _reference_crops(window)):
            translated = translate_tiled(generator, images, tile_px)
    else:
        translated = translate_tiled(generator, images, tile_px)
    return (translated[0, 0] + 1) / 2


class FrameDenoiser:
    """Denoises single frames of one movie with one model; may be called from any thread, and pickled.

    The network is built at the first call. It lives in a thread of its own, which serves one call after the other:
    frozen statistics allow no other user, one team of CPU threads is enough, and the caller's torch settings stay.

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
        self, movie: Movie, model: TrainedModel, device: str = "auto", threads: int = 0, tile_px: int = 512
    ) -> None:
        if tile_px < MIN_TILE_PX:
            raise ValueError(f"got tiles of {tile_px} px; expected at least {MIN_TILE_PX} px")
        if threads < 0:
            raise ValueError(f"got {threads} threads; expected 0 for all cores but one, or more")
        self._recipe = (movie, model, device, threads, tile_px)
        self._model = model
        self._device = resolve_device(device)
        self._tile_px = tile_px
        self._raw = _RawFrames(movie, model.settings.network.frames_in)
        self._thread = ThreadPoolExecutor(1, "denoise", use_threads, (threads,))
        self._generator: Generator | None = None

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        # Another process opens the movie and builds the network anew.
        return FrameDenoiser, self._recipe

    def __call__(self, index: int) -> NDArray[np.float32]:
        """Return a denoised frame, shape (y, x), in [0, 1]."""
        window = self._window(index)
        return self._thread.submit(self._translate, window).result()

    def _window(self, index: int) -> list[NDArray[np.generic]]:
        """Return the raw frames that the network sees; beyond the ends of the movie its end frames are repeated."""
        if not 0 <= index < len(self._raw):
            raise ValueError(f"got frame {index}; the movie has the frames 0 to {len(self._raw) - 1}")
        reach = self._model.settings.network.frames_in // 2
        centre = self._raw[index]
        if centre.bad:
            return [_finite(centre.grey, self._model.normalisation.low)] * (2 * reach + 1)
        earlier = self._outward(centre, range(index - 1, index - reach - 1, -1))
        later = self._outward(centre, range(index + 1, index + reach + 1))
        return [*reversed(earlier), centre.grey, *later]

    def _outward(self, centre: "_Raw", indices: Iterable[int]) -> list[NDArray[np.generic]]:
        """Return neighbours from the centre outward; the one before takes the place of a bad one."""
        clamped = (self._raw[min(max(index, 0), len(self._raw) - 1)] for index in indices)
        chain = itertools.accumulate(clamped, lambda before, frame: before if frame.bad else frame, initial=centre)
        return [frame.grey for frame in chain][1:]

    def _translate(self, window: list[NDArray[np.generic]]) -> NDArray[np.float32]:
        """Apply the network; runs in its thread only."""
        if self._generator is None:
            self._generator = self._build()
        # Converted here and not by the callers, so that there is one such copy at a time.
        normalised = np.stack([self._model.normalisation.apply(frame) for frame in window])
        kind = self._device.type
        # Instance norm after instance norm amplifies rounding: bfloat16 would change the paper's result by a tenth.
        safe = kind == "cuda" and not self._generator.needs_statistics
        mixed = safe and self._model.settings.run.mixed_precision
        try:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=mixed):
                frames = torch.from_numpy(normalised).to(self._device)
                return translate_window(self._generator, frames, self._tile_px).float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"{self._device} has too little memory for tiles of {self._tile_px} px; "
                "choose smaller tiles or the device cpu"
            ) from error

    def _build(self) -> Generator:
        generator = self._model.s2c().to(self._device)
        if not generator.needs_statistics:
            # Half as much time on a CPU; but instance norm loses three digits there in this layout.
            generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return generator


class _Raw(NamedTuple):
    """A frame as recorded, shape (y, x)."""

    grey: NDArray[np.generic]
    bad: bool = False


class _RawFrames:
    """Raw frames, the latest of which are kept: each is wanted once for itself and as each neighbour."""

    def __init__(self, movie: Movie, window: int) -> None:
        self._data = movie.data
        self._window = window
        frame_bytes = movie.data.dtype.itemsize * movie.shape[1] * movie.shape[2]
        self._capacity = max(2 * window, CACHE_BYTES // frame_bytes)
        self._kept: OrderedDict[int, _Raw] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> _Raw:
        with self._lock:
            if index not in self._kept:
                self._read(self._chunk(index))
            self._kept.move_to_end(index)
            frame = self._kept[index]
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            return frame

    def _read(self, indices: range) -> None:
        data = self._data[indices.start : indices.stop]
        # In this thread: a scheduler that waits for itself may wait for ever.
        frames = data if isinstance(data, np.ndarray) else data.compute(scheduler="synchronous")
        for index, frame in zip(indices, frames, strict=True):
            # Copies of a longer chunk's frames, lest one kept frame keep them all.
            grey = frame if len(indices) == 1 else frame.copy()
            self._kept[index] = _Raw(grey, is_bad_frame(grey))

    def _chunk(self, index: int) -> range:
        """Return the frames that come with a frame, unless they are too many to be kept."""
        if isinstance(self._data, np.ndarray):
            return range(index, index + 1)
        stops = np.cumsum(self._data.chunks[0])
        number = int(np.searchsorted(stops, index, side="right"))
        chunk = range(int(stops[number]) - self._data.chunks[0][number], int(stops[number]))
        # A new chunk must not drive out the frames of the one before that are still in the window.
        return chunk if len(chunk) <= self._capacity - self._window else range(index, index + 1)


def _denoise_block(denoiser: Callable[[int], NDArray[np.float32]], block_id: tuple[int, ...]) -> NDArray[np.float32]:
    return denoiser(block_id[0])[np.newaxis]


def _finite(frame: NDArray[np.generic], substitute: float) -> NDArray[np.generic]:
    """Return a frame whose NaN and inf are replaced by the median of the rest, or the substitute if there is none."""
    finite = np.isfinite(frame)
    if finite.all():
        return frame
    return np.where(finite, frame, np.median(frame[finite]) if finite.any() else substitute)


def _reference_crops(window: Tensor) -> Tensor:
    """Return crops of shape (n, frames_in, ≤ 128, ≤ 128), evenly spread over the frame."""
    rows, columns = (_spread(length) for length in window.shape[-2:])
    return torch.stack([window[:, y : y + REFERENCE_PX, x : x + REFERENCE_PX] for y in rows for x in columns])


def _spread(length_px: int) -> list[int]:
    count = min(REFERENCES_PER_AXIS, -(-length_px // REFERENCE_PX))
    last = max(0, length_px - REFERENCE_PX)
    return [round(last * number / max(1, count - 1)) for number in range(count)]
