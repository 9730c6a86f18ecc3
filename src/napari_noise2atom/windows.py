"""What a network sees of a movie: a frame and its neighbours."""

import itertools
from collections import OrderedDict
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .alignment import measure_drift, measure_jumps, shift_back
from .edges import fill_edges, image_part
from .movie import Movie, is_bad_frame
from .settings import NetworkSettings
from .spikes import spike_limit, without_spikes

__all__ = ["FrameWindows"]

CACHE_BYTES = 256 * 2**20


class FrameWindows:
    """Windows of neighbouring frames of a movie, whose latest frames are kept; may be used from any thread.

    Parameters
    ----------
    movie : Movie
        The movie.
    network : NetworkSettings
        How many frames are in a window, whether neighbours are shifted to where drift and jumps have taken the sample
        from, and whether all are made equally bright.
    low, high : float
        Grey values between which nearly all pixels lie. Frames in which none is finite become as dark as the first, and
        spikes are far brighter than the second.
    """

    def __init__(self, movie: Movie, network: NetworkSettings, low: float, high: float) -> None:
        self._raw = _RawFrames(movie, network.frames_in)
        self._reach = network.frames_in // 2
        self._network = network
        self._low, self._high = low, high
        # A frame that is in several windows must be the same object in all: it is sent to a GPU once.
        self._cleaned = lru_cache(2 * network.frames_in)(self._without_spikes)

    def __call__(self, index: int) -> list[NDArray[np.generic]]:
        """Return the raw frames around one, each of shape (y, x); float32 where they are made equally bright.

        In place of a neighbour that is bad or beyond an end, the nearest frame that is not in the window yet is seen:
        noise that is seen twice would look as lasting as an atom. A bad frame in the middle stands alone. Empty edges
        of the others show the mirror image of what is next to them, and spikes are taken out.

        Raises
        ------
        ValueError
            If the movie has no such frame.
        """
        if not 0 <= index < len(self._raw):
            raise ValueError(f"got frame {index}; the movie has the frames 0 to {len(self._raw) - 1}")
        reach, centre = self._reach, self._raw[index]
        if centre.bad:
            return [_finite(centre.grey, self._low)] * (2 * reach + 1)
        offsets = sorted((offset for offset in range(-reach, reach + 1) if offset), key=abs)
        seen = {offset: frame for offset in offsets if (frame := self._good(index + offset)) is not None}
        missing = [offset for offset in offsets if offset not in seen]
        further = self._further(index, len(missing))
        substitutes = itertools.chain(further, itertools.cycle([*seen.values(), *further] or [centre]))
        seen |= {0: centre} | dict(zip(missing, substitutes, strict=False))
        window = [seen[offset] for offset in sorted(seen)]
        frames, times = [self._shown(frame) for frame in window], [frame.number - index for frame in window]
        if self._network.levelled:
            frames = _level(frames)
        moved = self._network.aligned or self._network.jump_px
        return self._aligned(frames, times) if moved else frames

    def _aligned(self, frames: list[NDArray[np.generic]], times: list[int]) -> list[NDArray[np.generic]]:
        places = np.outer(times, measure_drift(frames, times))
        if self._network.jump_px:
            places = places + measure_jumps(frames, places, self._network.jump_px)
        return shift_back(frames, places - places[self._reach])

    def image_part(self, index: int) -> tuple[slice, slice]:
        """Return the rows and columns of a frame that hold an image."""
        return self._raw[index].part

    def _shown(self, frame: "_Raw") -> NDArray[np.generic]:
        return self._cleaned(frame.number) if frame.brightest > spike_limit(self._low, self._high) else frame.grey

    def _without_spikes(self, index: int) -> NDArray[np.generic]:
        grey = self._raw[index].grey
        places = (index + side * step for step in range(1, self._reach + 3) for side in (-1, 1))
        near = [frame.grey for place in places if (frame := self._good(place)) is not None][:2]
        return without_spikes(grey, near[0], near[-1], self._low, self._high) if near else grey

    def _good(self, index: int) -> "_Raw | None":
        frame = self._raw[index] if 0 <= index < len(self._raw) else None
        return None if frame is None or frame.bad else frame

    def _further(self, index: int, number: int) -> list["_Raw"]:
        """Return so many good frames from beyond a window, the nearest first, or fewer if there are fewer nearby."""
        places = (index + side * step for step in range(self._reach + 1, 4 * self._reach + 1) for side in (-1, 1))
        good = (frame for place in places if (frame := self._good(place)) is not None)
        return list(itertools.islice(good, number))


class _Raw(NamedTuple):
    """A frame as recorded, shape (y, x)."""

    number: int
    """In the movie."""
    grey: NDArray[np.generic]
    """Empty edges are filled, but of bad frames."""
    bad: bool
    brightest: float
    """Of all its pixels."""
    part: tuple[slice, slice]
    """What is image, and not an empty edge."""


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
            bad = is_bad_frame(grey)
            filled = grey if bad else fill_edges(grey)
            self._kept[index] = _Raw(index, filled, bad, float(filled.max()), image_part(grey))

    def _chunk(self, index: int) -> range:
        """Return the frames that come with a frame, unless they are too many to be kept."""
        if isinstance(self._data, np.ndarray):
            return range(index, index + 1)
        stops = np.cumsum(self._data.chunks[0])
        number = int(np.searchsorted(stops, index, side="right"))
        chunk = range(int(stops[number]) - self._data.chunks[0][number], int(stops[number]))
        # A new chunk must not drive out the frames of the one before that are still in the window.
        return chunk if len(chunk) <= self._capacity - self._window else range(index, index + 1)


def _level(frames: list[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """Return frames that have the same mean, that of all."""
    grey = [frame.astype(np.float32) for frame in frames]
    means = [frame.mean(dtype=np.float64) for frame in grey]
    return [frame + np.float32(np.mean(means) - own) for frame, own in zip(grey, means, strict=True)]


def _finite(frame: NDArray[np.generic], substitute: float) -> NDArray[np.generic]:
    """Return a frame whose NaN and inf are replaced by the median of the rest, or the substitute if there is none."""
    finite = np.isfinite(frame)
    if finite.all():
        return frame
    return np.where(finite, frame, np.median(frame[finite]) if finite.any() else substitute)
