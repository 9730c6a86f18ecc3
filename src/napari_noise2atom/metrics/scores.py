"""All scores of a movie in one pass: without truth, against the raw movie, against the truth."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.edges import fill_edges
from napari_noise2atom.movie import Movie, is_bad_frame

from .css import CssTally
from .detection import DetectionTally, ratio
from .moments import pair_moments
from .reference import low_pass_correlation, psnr_of_moments, residual_autocorrelation, ssim
from .truth import Truth

__all__ = ["Scores", "score_movie", "write_columns", "write_csv"]

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a movie, frame by frame and as a whole; NaN where a score is undefined, as in bad frames."""

    columns: Columns
    """One value per frame, by name; see `score_movie`."""
    summary: dict[str, float]
    """One value for the movie, by name; see `score_movie`."""


def score_movie(
    movie: Movie,
    *,
    raw: Movie | None = None,
    truth: Truth | None = None,
    radius_px: float = 2.5,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a movie, with what there is to compare it with.

    Frames are read once and one at a time, so that a lazy movie of any length fits.

    Parameters
    ----------
    movie : Movie
        The movie to score, usually a denoised one.
    raw : Movie, optional
        The raw movie from which it was made.
    truth : Truth, optional
        The truth of a simulated movie.
    radius_px : float
        Largest distance of a found atom from its real one [px].
    progress : callable, optional
        Called after every frame with the number of frames done and of all frames.

    Returns
    -------
    Scores
        Columns and, under the same name, means over the movie in the summary:

        - always ``css`` (of a frame: mean with its two neighbours; of the movie: mean over all pairs) and ``mean``
          (intensity in [0, 1] of the movie's range);
        - with a raw movie ``raw_css``, ``low_pass_correlation``, ``residual_x``, ``residual_y``; the residual of spots
          that a model has narrowed holds their rims, which `napari_noise2atom.trust.measure_residual` takes away;
        - with truth ``psnr_db`` (one affine fit for all frames), ``ssim`` (one for each frame), ``precision``,
          ``recall``, ``f1``, ``error_px`` and, if the pixel size is known, ``error_pm``; one height threshold, the
          one of the highest F1, holds for all frames, and counts are summed before the movie's figures are formed.

        Only columns: ``frame``, ``found``, ``real``, ``matched``. Only summary: ``frames``, ``bad_frames``,
        ``false_per_frame``, ``threshold``.

    Raises
    ------
    ValueError
        If movie, raw movie and truth differ in the number or size of their frames, or the radius is not positive.
    """
    parts: list[_Part] = [_Consistency(len(movie))]
    if raw is not None:
        _check_shape(movie, raw.shape, "the raw movie")
        parts.append(_AgainstRaw(raw))
    if truth is not None:
        _check_shape(movie, truth.clean.shape, "the truth")
        parts.append(_AgainstTruth(truth, radius_px, movie.pixel_size_nm or truth.pixel_size_nm))
    for index in range(len(movie)):
        frame = movie.frame(index)
        for part in parts:
            part.add(index, frame)
        if progress is not None:
            progress(index + 1, len(movie))
    columns: Columns = {"frame": np.arange(len(movie), dtype=np.float64)}
    summary: dict[str, float] = {"frames": len(movie)}
    for part in parts:
        more, figures = part.result()
        columns |= more
        summary |= figures
    return Scores(columns, summary)


def write_csv(scores: Scores, path: str | Path) -> None:
    """Write the columns to a CSV file with one header line; a file of that name is replaced only when all is written.

    Parameters
    ----------
    scores : Scores
        From `score_movie`.
    path : str or Path
        The file; its folder must be there.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_columns(scores.columns, path)


def write_columns(columns: Mapping[str, NDArray[np.generic]], path: str | Path) -> None:
    """Write columns of one length to a CSV file, which is replaced only when all is written.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,)
        By the name in the header line.
    path : str or Path
        The file; its folder must be there.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        np.savetxt(
            part,
            np.stack(list(columns.values()), axis=1),
            fmt="%.8g",
            delimiter=",",
            header=",".join(columns),
            comments="",
        )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _check_shape(movie: Movie, other: tuple[int, ...], what: str) -> None:
    if movie.shape != other:
        frames, rows, columns = movie.shape
        raise ValueError(
            f"{movie.name}: has {frames} frames of {rows} × {columns} px, but {what} has {other[0]} of "
            f"{other[1]} × {other[2]} px; expected the same"
        )


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of what is not NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


class _Part(Protocol):
    """A group of scores that is fed frame by frame."""

    def add(self, index: int, frame: NDArray[np.float32]) -> None: ...

    def result(self) -> tuple[Columns, dict[str, float]]: ...


class _Consistency:
    """What needs nothing but the movie."""

    def __init__(self, frames: int) -> None:
        self._tally = CssTally(frames)

    def add(self, index: int, frame: NDArray[np.float32]) -> None:
        self._tally.add(frame)

    def result(self) -> tuple[Columns, dict[str, float]]:
        means = self._tally.means()
        bad = float(np.isnan(means).sum())
        figures = {"bad_frames": bad, "css": _mean(self._tally.per_pair()), "mean": _mean(means)}
        return {"css": self._tally.per_frame(), "mean": means}, figures


class _AgainstRaw:
    """What the raw movie tells."""

    def __init__(self, raw: Movie) -> None:
        self._raw = raw
        self._tally = CssTally(len(raw))
        self._rows: list[tuple[float, float, float]] = []

    def add(self, index: int, frame: NDArray[np.float32]) -> None:
        raw = fill_edges(self._raw.frame(index))  # what a registration left empty agrees with nothing
        self._tally.add(raw)
        if is_bad_frame(raw) or is_bad_frame(frame):
            self._rows.append((np.nan, np.nan, np.nan))
        else:
            self._rows.append((low_pass_correlation(raw, frame), *residual_autocorrelation(raw, frame)))

    def result(self) -> tuple[Columns, dict[str, float]]:
        names = ("low_pass_correlation", "residual_x", "residual_y")
        columns = dict(zip(names, np.array(self._rows).T, strict=True))
        figures = {"raw_css": _mean(self._tally.per_pair())} | {name: _mean(columns[name]) for name in names}
        return {"raw_css": self._tally.per_frame()} | columns, figures


class _AgainstTruth:
    """What the truth tells; bad frames are left out."""

    def __init__(self, truth: Truth, radius_px: float, pixel_size_nm: float | None) -> None:
        self._truth = truth
        self._span = float(np.ptp(truth.clean))
        self._pixel_pm = None if pixel_size_nm is None else 1000 * pixel_size_nm
        self._tally = DetectionTally(radius_px)
        self._good: list[int] = []
        self._moments: list[NDArray[np.float64]] = []
        self._ssim: list[float] = []

    def add(self, index: int, frame: NDArray[np.float32]) -> None:
        if is_bad_frame(frame):
            return
        clean = self._truth.clean[index]
        self._good.append(index)
        self._moments.append(pair_moments(frame, clean))
        self._ssim.append(ssim(frame, clean, self._span))
        self._tally.add(index, frame, self._truth.positions[index])

    def result(self) -> tuple[Columns, dict[str, float]]:
        psnr, whole_psnr = psnr_of_moments(np.array(self._moments).reshape(-1, 5), float(self._truth.clean.max()))
        atoms = self._tally.result()
        good: Columns = {
            "psnr_db": psnr,
            "ssim": np.array(self._ssim),
            "found": atoms.found.astype(np.float64),
            "real": atoms.real.astype(np.float64),
            "matched": atoms.matched.astype(np.float64),
            "precision": ratio(atoms.matched, atoms.found),
            "recall": ratio(atoms.matched, atoms.real),
            "f1": ratio(2 * atoms.matched, atoms.found + atoms.real),
            "error_px": atoms.error_px,
        }
        figures = {
            "psnr_db": whole_psnr,
            "ssim": _mean(good["ssim"]),
            "precision": atoms.precision,
            "recall": atoms.recall,
            "f1": atoms.f1,
            "false_per_frame": atoms.false_per_frame,
            "threshold": atoms.threshold,
            "error_px": atoms.mean_error_px,
        }
        if self._pixel_pm is not None:
            good["error_pm"] = self._pixel_pm * atoms.error_px
            figures["error_pm"] = self._pixel_pm * atoms.mean_error_px
        columns = {name: np.full(len(self._truth.clean), np.nan) for name in good}
        for name, values in good.items():
            columns[name][self._good] = values
        return columns, figures
