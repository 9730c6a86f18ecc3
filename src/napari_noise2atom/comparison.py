"""Methods compared on one movie, as one stream of events, without a window."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from .baselines import METHODS, Progress, UnavailableError
from .events import Command
from .io import require_usable
from .metrics import Scores, Truth, score_movie
from .movie import Movie
from .settings import CompareSettings

if TYPE_CHECKING:
    from .modelfile import TrainedModel

__all__ = ["CompareEvent", "MethodBegun", "MethodFailed", "MethodFinished", "MethodProgress", "compare"]

READ_S = 0.1
"""How often the progress of a method is told [s]."""


@dataclass(frozen=True)
class MethodBegun:
    """A method begins."""

    name: str
    title: str
    number: int
    """Of this method, from 1."""
    total: int
    """Number of methods."""


@dataclass(frozen=True)
class MethodProgress:
    """How far a method is; at most ten such events a second, and about as many while nothing changes."""

    name: str
    share: float
    """Done so far, in [0, 1]; 1 while its result is scored."""
    seconds: float
    """Since the method began [s]."""

    @property
    def seconds_left(self) -> float | None:
        """Until the method ends, if it goes on as it did [s]; None before the first percent, which tells too little."""
        return self.seconds * (1 - self.share) / self.share if self.share >= 0.01 else None


@dataclass(frozen=True, eq=False)
class MethodFinished:
    """A method has denoised the movie."""

    name: str
    title: str
    movie: Movie
    """Its result, float32, with the calibration of the raw movie; bad frames are the raw ones."""
    scores: Scores
    """Against the raw movie and the truth, if there is one."""
    seconds: float
    """What denoising took, training included [s]."""


@dataclass(frozen=True)
class MethodFailed:
    """A method has no result; the next one follows."""

    name: str
    title: str
    reason: str
    """One sentence."""
    seconds: float
    """Until then [s]."""


CompareEvent = MethodBegun | MethodProgress | MethodFinished | MethodFailed


def compare(
    movie: Movie,
    methods: Iterable[str],
    settings: CompareSettings,
    *,
    truth: Truth | None = None,
    models: Mapping[str, "TrainedModel"] | None = None,
) -> Generator[CompareEvent, Command | None, None]:
    """Denoise a movie with one method after the other, and score the results.

    Each method runs in a thread of its own. One that fails says why, and the next one follows. Methods see the nearest
    good frame in the place of a bad one.

    Parameters
    ----------
    movie : Movie
        Raw movie.
    methods : iterable of str
        Names in `napari_noise2atom.baselines.METHODS`.
    settings : CompareSettings
        For all methods.
    truth : Truth, optional
        The truth of a simulated movie.
    models : mapping of str to TrainedModel, optional
        Trained models by name; they follow the methods as ``noise2atom (NAME)``.

    Yields
    ------
    CompareEvent
        Of each method `MethodBegun`, some `MethodProgress`, and one of `MethodFinished` and `MethodFailed`.
        `Command.STOP`, sent at any time, ends the present method at its next sign of progress; none follows.

    Raises
    ------
    ValueError
        If a method is unknown, fewer than two frames are usable, or the truth is that of another movie.
    """
    jobs = _jobs(methods, models or {})
    bench = _Bench.of(movie, settings, truth)
    for number, job in enumerate(jobs, 1):
        if (yield from _carry_out(job, bench, MethodBegun(job.name, job.title, number, len(jobs)))):
            return


class _Job(NamedTuple):
    """A method, or a model that is there already."""

    name: str
    title: str
    denoise: Callable[[Movie, CompareSettings, Progress], NDArray[np.float32]]


def _jobs(methods: Iterable[str], models: Mapping[str, "TrainedModel"]) -> list[_Job]:
    names = list(dict.fromkeys(methods))
    if unknown := [name for name in names if name not in METHODS]:
        raise ValueError(f"got the method {unknown[0]!r}; expected some of {', '.join(METHODS)}")
    jobs = [_Job(name, METHODS[name].title, METHODS[name].denoise) for name in names]
    return jobs + [
        _Job(f"noise2atom ({name})", f"Noise2Atom ({name})", partial(_apply, model)) for name, model in models.items()
    ]


def _apply(model: "TrainedModel", movie: Movie, settings: CompareSettings, progress: Progress) -> NDArray[np.float32]:
    from .baselines.noise2atom import apply  # here, because torch takes a second to import

    return apply(movie, model, settings, progress)


@dataclass(frozen=True, eq=False)
class _Bench:
    """What all methods are given."""

    raw: Movie
    seen: Movie
    """The raw movie with good frames in the place of bad ones."""
    bad: tuple[int, ...]
    settings: CompareSettings
    truth: Truth | None

    @classmethod
    def of(cls, movie: Movie, settings: CompareSettings, truth: Truth | None) -> Self:
        if truth is not None and truth.clean.shape != movie.shape:
            raise ValueError(
                f"{movie.name}: has the shape {movie.shape}, the truth {truth.clean.shape}; expected the same"
            )
        bad = require_usable(movie)
        return cls(movie, _without(movie, bad) if bad else movie, bad, settings, truth)

    def denoise(self, job: _Job, progress: Progress) -> Movie:
        """Return a method's result, with raw frames where those are bad."""
        denoised = job.denoise(self.seen, self.settings, progress)
        if denoised.shape != self.raw.shape or not np.isfinite(denoised).all():
            raise ValueError(
                f"its result has the shape {denoised.shape}, {np.isfinite(denoised).mean():.1%} of it finite; "
                f"expected the shape {self.raw.shape} and finite values only"
            )
        for index in self.bad:
            denoised[index] = self.raw.frame(index)
        return self.raw.with_data(denoised.astype(np.float32, copy=False), f"{self.raw.name} {job.name}")

    def score(self, movie: Movie, progress: Callable[[], None]) -> Scores:
        return score_movie(movie, raw=self.raw, truth=self.truth, progress=lambda done, total: progress())


def _without(movie: Movie, bad: tuple[int, ...]) -> Movie:
    """Return the movie with the nearest good frames in the place of bad ones."""
    is_bad = np.zeros(len(movie), bool)
    is_bad[list(bad)] = True
    nearest = distance_transform_edt(is_bad, return_distances=False, return_indices=True)[0]
    return movie.with_data(movie.data[nearest])


class _StoppedError(Exception):
    """The user has ended the method."""

    def __str__(self) -> str:
        return "it was stopped"


class _Work(threading.Thread):
    """A method in a thread, which tells how far it is and can be stopped."""

    def __init__(self, job: _Job, bench: _Bench) -> None:
        super().__init__(name=f"compare {job.name}", daemon=True)
        self.job, self.bench = job, bench
        self.stop = threading.Event()
        self.share = 0.0
        self.event: MethodFinished | MethodFailed | None = None
        """The last one."""

    def run(self) -> None:
        name, title, began = self.job.name, self.job.title, time.monotonic()
        try:
            denoised = self.bench.denoise(self.job, self._tell)
            seconds = time.monotonic() - began
            scores = self.bench.score(denoised, lambda: self._tell(1.0))
            self.event = MethodFinished(name, title, denoised, scores, seconds)
        except BaseException as error:  # raised in this thread, nobody would know of it
            self.event = MethodFailed(name, title, _reason(error), time.monotonic() - began)

    def _tell(self, share: float) -> None:
        if self.stop.is_set():
            raise _StoppedError
        self.share = share


def _carry_out(job: _Job, bench: _Bench, begun: MethodBegun) -> Generator[CompareEvent, Command | None, bool]:
    """Run a method in a thread and tell how far it is and how it ends; return whether a stop was asked for."""
    asked = (yield begun) is Command.STOP
    work, began = _Work(job, bench), time.monotonic()
    work.start()
    try:
        while work.event is None:
            asked |= (yield MethodProgress(job.name, work.share, time.monotonic() - began)) is Command.STOP
            if asked:
                work.stop.set()
            work.join(READ_S)
    finally:  # also when nobody wants to know the rest
        work.stop.set()
        work.join()
    return asked | ((yield work.event) is Command.STOP)


def _reason(error: BaseException) -> str:
    """Say in one sentence why a method failed."""
    text = " ".join(str(error).split())
    known = isinstance(error, ValueError | OSError | MemoryError | UnavailableError | _StoppedError) and text
    return text if known else f"{type(error).__name__}: {text}".rstrip(": ")
