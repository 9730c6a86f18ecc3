"""What a comparison leaves: a movie for each method, tables of scores, and what its picture shows."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .comparison import MethodFinished
from .io import write_movie
from .metrics import Truth, score_movie
from .movie import Movie, is_bad_frame

__all__ = ["SCORE_COLUMNS", "ComparisonFolder"]

SCORE_COLUMNS = (
    "f1",
    "precision",
    "recall",
    "false_per_frame",
    "error_px",
    "psnr_db",
    "ssim",
    "css",
    "raw_css",
    "low_pass_correlation",
)
"""Of `score_movie`, in ``scores.csv``; those that need a truth are empty without one."""
PANEL_PX = 128


class ComparisonFolder:
    """Writes the results of methods as they come, so that nothing is lost when a later one fails.

    Parameters
    ----------
    folder : Path
        Where to; it is made, and files in it are replaced.
    movie : Movie
        The raw movie.
    truth : Truth, optional
        Its truth, which joins the picture.
    """

    def __init__(self, folder: Path, movie: Movie, truth: Truth | None = None) -> None:
        self.folder = folder
        self.pixel_size_nm = movie.pixel_size_nm
        self.frame = _shown_frame(movie)
        """Number of the frame in the picture."""
        self.panels: dict[str, NDArray[np.float32]] = {}
        """By title: the middle of that frame, shape (≤ 128, ≤ 128)."""
        self.css: dict[str, NDArray[np.float64]] = {}
        """By title: CSS of each frame."""
        self.scores: dict[str, dict[str, float]] = {}
        """By title: those of `SCORE_COLUMNS`, NaN where there is none, and the seconds."""
        self._names: list[str] = []
        self._css_columns: dict[str, NDArray[np.float64]] = {"frame": np.arange(len(movie), dtype=np.float64)}
        if truth is not None:
            clean = movie.with_data(truth.clean, "truth")
            self._show("Truth", clean, score_movie(clean).columns["css"])
            self._css_columns["truth"] = self.css["Truth"]
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, event: MethodFinished) -> Path:
        """Write a result as ``NAME.tif``, and ``scores.csv`` and ``css.csv`` with all results so far.

        Parameters
        ----------
        event : MethodFinished
            From `napari_noise2atom.comparison.compare`.

        Returns
        -------
        Path
            Of the movie.

        Raises
        ------
        OSError
            If something cannot be written.
        """
        path = self.folder / f"{event.name}.tif"
        write_movie(event.movie, path)
        css = event.scores.columns["css"]
        self._show(event.title, event.movie, css)
        scores = {name: event.scores.summary.get(name, float("nan")) for name in SCORE_COLUMNS}
        self.scores[event.title] = scores | {"seconds": event.seconds}
        self._names.append(event.name)
        rows: list[list[str | float]] = [
            [name, *row.values()] for name, row in zip(self._names, self.scores.values(), strict=True)
        ]
        _write_csv(self.folder / "scores.csv", ("method", *SCORE_COLUMNS, "seconds"), rows)
        self._css_columns[event.name] = css
        _write_csv(self.folder / "css.csv", list(self._css_columns), zip(*self._css_columns.values(), strict=True))
        return path

    def _show(self, title: str, movie: Movie, css: NDArray[np.float64]) -> None:
        frame = movie.frame(self.frame)
        top, left = (max(0, side - PANEL_PX) // 2 for side in frame.shape)
        self.panels[title] = frame[top : top + PANEL_PX, left : left + PANEL_PX].copy()
        self.css[title] = css


def _shown_frame(movie: Movie) -> int:
    """Return the good frame that is nearest to the middle."""
    middle = len(movie) // 2
    outward = sorted(range(len(movie)), key=lambda index: abs(index - middle))
    return next((index for index in outward if not is_bad_frame(movie.frame(index))), middle)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[str | float]]) -> None:
    """Write a table; numbers that are undefined are left out, and an older file is there until all is written."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
    part.replace(path)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if np.isfinite(value) else ""
