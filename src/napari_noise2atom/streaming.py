"""Frames in order, some of which are computed ahead of the one that is asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["MOST_AT_ONCE", "compute_ahead", "frames_at_once"]

MOST_AT_ONCE = 4
"""Frames that are computed at a time."""
LARGE_PX = 2**20
"""So many pixels at a time keep all cores busy, and take memory [px]."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def frames_at_once(size_px: tuple[int, int]) -> int:
    """Return how many frames of a size should be computed at a time: one large one, or some small ones."""
    return max(1, min(MOST_AT_ONCE, LARGE_PX // (size_px[0] * size_px[1])))


def compute_ahead(compute: Callable[[Item], Result], items: Iterable[Item], at_once: int) -> Iterator[Result]:
    """Yield what is computed for each item, in their order, in threads.

    While a result is in use, the next ones are computed, no more than `at_once`.

    Parameters
    ----------
    compute : callable
        May be called from any thread; what it raises is raised here, in its turn.
    items : iterable
        What to compute, such as the numbers of frames.
    at_once : int
        Threads, at least 1.

    Yields
    ------
    object
        What `compute` returned.
    """
    following = iter(items)
    pool = ThreadPoolExecutor(at_once, "ahead")
    try:
        waiting = deque(pool.submit(compute, item) for item in islice(following, at_once))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(compute, item) for item in islice(following, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
