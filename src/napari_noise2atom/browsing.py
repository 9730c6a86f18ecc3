"""Frames that are computed in the background while one browses: whoever asks for display never waits."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from .edges import fill_edges
from .metrics.css import CssTally
from .movie import Movie

__all__ = ["BackgroundFrames", "BrowsedArray", "BrowsedDenoising"]

Frame = NDArray[np.float32]
CACHE_BYTES = 2**30
NEWEST = 3
"""Requests that are kept while one scrubs: what was asked for before is no longer looked at."""
AHEAD = 4
"""Frames that are computed beyond the newest one, in the direction of browsing, so that a movie plays."""


class BackgroundFrames:
    """Computes frames in a thread of its own, the newest request first, and keeps the latest ones.

    Parameters
    ----------
    compute : callable
        Returns the frame of a number, float32 of shape (y, x); is called in one thread only.
    shape : (int, int, int)
        Frames, rows, columns.
    on_ready : callable, optional
        Is told, in that thread, the number of every frame that was computed.
    on_error : callable, optional
        Is told, in that thread, what went wrong; the frame is not tried again until `retry`.
    cache_bytes : int
        Memory for frames [bytes].
    """

    def __init__(
        self,
        compute: Callable[[int], Frame],
        shape: tuple[int, int, int],
        on_ready: Callable[[int], None] = lambda index: None,
        on_error: Callable[[Exception], None] = lambda error: None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.shape = shape
        self._compute, self._on_ready, self._on_error = compute, on_ready, on_error
        self._capacity = max(2 * (AHEAD + NEWEST), cache_bytes // (4 * shape[1] * shape[2]))
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._failed: dict[int, Exception] = {}
        self._seen: deque[int] = deque(maxlen=NEWEST)
        self._ahead: deque[int] = deque(maxlen=AHEAD)
        self._awaited: deque[int] = deque()
        self._previous = 0
        self._closed = False
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def capacity(self) -> int:
        """Number of frames that are kept."""
        return self._capacity

    def look(self, index: int) -> Frame | None:
        """Return a frame if it is there; if not, ask for it and return at once."""
        with self._change:
            there = self._kept.get(index)
            if there is not None:
                self._kept.move_to_end(index)
            self._foresee(index)
            if there is None and index not in self._failed:
                self._ask(self._seen, index)
            self._change.notify_all()  # there may be frames ahead to compute
        return there

    def peek(self, index: int) -> Frame | None:
        """Return a frame if it is there, and ask for nothing."""
        with self._change:
            return self._kept.get(index)

    def wait(self, index: int) -> Frame:
        """Return a frame, computed if need be, behind what is looked at.

        Raises
        ------
        Exception
            What the computation raised.
        ValueError
            If the frames were closed meanwhile.
        """
        with self._change:
            while (there := self._kept.get(index)) is None:
                if index in self._failed:
                    raise self._failed.pop(index)
                if self._closed:
                    raise ValueError("the layer was removed before all its frames were computed; keep it until then")
                self._ask(self._awaited, index)
                self._change.wait(timeout=1)
            return there

    def retry(self) -> None:
        """Forget failures, so that frames are tried again."""
        with self._change:
            self._failed.clear()

    def close(self) -> None:
        """End the thread after the frame that it computes; nothing is computed any more."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _foresee(self, index: int) -> None:
        """Plan the frames that come next if browsing goes on like this."""
        if index == self._previous:
            return
        step = 1 if index > self._previous else -1
        self._previous = index
        ahead = [index + step * number for number in range(AHEAD, 0, -1)]
        self._ahead.clear()
        self._ahead.extend(n for n in ahead if 0 <= n < self.shape[0] and n not in self._kept)

    def _ask(self, queue: deque[int], index: int) -> None:
        if index in queue:
            queue.remove(index)
        queue.append(index)
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._serve, name="browse", daemon=True)
            self._thread.start()
        self._change.notify_all()

    def _serve(self) -> None:
        while (index := self._next()) is not None:
            try:
                frame = self._compute(index)
            except Exception as error:  # any failure must reach the user, and must not end this thread
                with self._change:
                    self._failed[index] = error
                    self._change.notify_all()
                self._on_error(error)
                continue
            self._keep(index, frame)
            self._on_ready(index)

    def _next(self) -> int | None:
        """Wait for the next number to compute: looked at, then awaited, then ahead; None when closed."""
        with self._change:
            while not self._closed:
                for queue in (self._seen, self._awaited, self._ahead):
                    while queue:
                        index = queue.pop() if queue is not self._awaited else queue.popleft()
                        if index not in self._kept and index not in self._failed:
                            return index
                self._change.wait()
            return None

    def _keep(self, index: int, frame: Frame) -> None:
        with self._change:
            self._kept[index] = frame
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            self._change.notify_all()


class BrowsedArray:
    """What a viewer may take for an array of shape (t, y, x): indexed for display, it never waits.

    A viewer asks for two whole axes or all three, with one index or slice for each axis; frames that are not there yet
    are empty (0) then, and are computed meanwhile. Every other use, such as ``array[3]``, ``array[:, 10:50, 10:50]`` or
    ``numpy.asarray(array)``, gives exact values.

    Parameters
    ----------
    frames : BackgroundFrames
        Where frames come from.
    exact : Movie
        The same movie, waiting for every frame; its calibration too.
    """

    def __init__(self, frames: BackgroundFrames, movie: Movie) -> None:
        self.frames = frames
        count, height, width = frames.shape
        data = da.map_blocks(  # type: ignore[no-untyped-call]
            lambda block_id: frames.wait(block_id[0])[np.newaxis],
            chunks=((1,) * count, (height,), (width,)),
            dtype=np.float32,
            meta=np.empty((0, 0, 0), np.float32),
            name=f"browsed-{uuid4().hex}",
        )
        self.exact = movie.with_data(data)
        self.shape, self.ndim, self.dtype = frames.shape, 3, np.dtype(np.float32)
        self.size = count * height * width

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if not self._displays(key):
            return self.exact.data[key]
        time, *place = key
        numbers = range(len(self))[time]
        if isinstance(numbers, int):
            return self._shown(numbers, self.frames.look)[tuple(place)]
        # napari asks for the shown frame as a slice of one, unless its projection is 'none'
        get = self.frames.look if len(numbers) == 1 else self.frames.peek
        return np.stack([self._shown(number, get)[tuple(place)] for number in numbers])

    def _displays(self, key: Any) -> bool:
        if not (isinstance(key, tuple) and len(key) == self.ndim):
            return False
        sides = zip(key, self.shape, strict=True)
        whole = [isinstance(one, slice) and range(side)[one] == range(side) for one, side in sides]
        return sum(whole) >= self.ndim - 1

    def _shown(self, index: int, get: Callable[[int], Frame | None]) -> Frame:
        frame = get(index)
        return np.zeros(self.shape[1:], np.float32) if frame is None else frame

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.exact.data, dtype=dtype)


class BrowsedDenoising:
    """A denoised movie to browse, with the agreement of neighbouring frames (CSS) as far as they are there.

    Parameters
    ----------
    movie : Movie
        The raw movie.
    denoise : callable
        Returns a denoised frame of a number, such as a `napari_noise2atom.inference.FrameDenoiser`.
    on_ready, on_error : callable, optional
        As for `BackgroundFrames`.
    """

    def __init__(
        self,
        movie: Movie,
        denoise: Callable[[int], Frame],
        on_ready: Callable[[int], None] = lambda index: None,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.movie = movie
        self._denoise = denoise
        self.frames = BackgroundFrames(self._compute, movie.shape, on_ready, on_error)
        self.array = BrowsedArray(self.frames, movie)
        self.css = CssTally(len(movie))
        """Of the denoised movie, NaN where a pair is not there yet."""
        self.raw_css = CssTally(len(movie))
        """The same pairs of the raw movie."""

    def _compute(self, index: int) -> Frame:
        frame = self._denoise(index)
        for first in (index - 1, index):
            other = self.frames.peek(first if first != index else index + 1)
            if other is not None:
                self.css.add_pair(first, *((other, frame) if first != index else (frame, other)))
                pair = (fill_edges(self.movie.frame(number)) for number in (first, first + 1))
                self.raw_css.add_pair(first, *pair)
        return frame
