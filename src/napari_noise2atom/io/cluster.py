"""Writing a movie by the workers of a dask cluster, which reach the same files as this computer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask
from dask.delayed import delayed
from distributed import Client, as_completed

from napari_noise2atom.movie import Movie

from .frames import reason
from .omezarr import begin_zarr, write_frame

__all__ = ["connected", "worker_threads", "write_zarr_on_cluster"]

CONNECT_S = 15
"""Until a scheduler that does not answer is given up [s]."""


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Connect to a scheduler.

    Parameters
    ----------
    scheduler : str
        Its address, such as ``tcp://node1:8786``.

    Raises
    ------
    ConnectionError
        If none answers there.
    """
    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no dask scheduler answers at {scheduler} ({reason(error)}); start one with 'dask scheduler', and use the "
            "address that it prints"
        ) from error
    with client:
        yield client


def worker_threads(client: Client) -> int:
    """Return how many threads every worker may use at least, as it was started; 1 while there is no worker."""
    return min(client.nthreads().values(), default=1)  # type: ignore[no-untyped-call]


def write_zarr_on_cluster(
    movie: Movie,
    path: str | Path,
    client: Client,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> None:
    """Write a movie as OME-Zarr as `write_zarr` does; the frames are computed and written by the workers.

    A frame that a lost worker was computing is computed by another one. If this process ends early, the workers stop
    after the frames that they have begun.

    Parameters
    ----------
    movie : Movie
        Lazy data, which can be pickled.
    path : str or Path
        The folder, which all workers reach by this name.
    client : distributed.Client
        The cluster.
    resume, progress, recipe
        As for `write_movie`.

    Raises
    ------
    ValueError
        As for `write_zarr`.
    """
    path = Path(path).absolute()
    missing = begin_zarr(movie, path, resume, recipe)
    done = len(movie) - len(missing)
    if progress:
        progress(done, len(movie))
    # A node of its own in the graph, which each worker unpickles once, and which is not lost with a worker.
    shared = delayed(movie, name=f"movie-{uuid4().hex}", traverse=False)
    task = delayed(_write_frame, pure=False)
    futures = client.compute([task(shared, path, index) for index in missing])  # type: ignore[no-untyped-call]
    try:
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            future.result()
            future.release()  # else it would be computed again if its worker was lost later
            done += 1
            if progress:
                progress(done, len(movie))
    finally:
        client.cancel(futures)  # type: ignore[no-untyped-call]


def _write_frame(movie: Movie, path: Path, index: int) -> None:
    # In this thread: the worker's own threads are the cluster's to share out.
    with dask.config.set(scheduler="synchronous"):
        write_frame(movie, path, index)
