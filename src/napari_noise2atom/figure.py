"""Figures: a run on a movie with truth, and methods side by side."""

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

__all__ = ["Comparison", "History", "draw_comparison", "draw_methods", "read_history"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of Okabe and Ito, which the colour-blind can tell apart."""
FRAMES_SHOWN = 3
METHODS_PER_ROW = 5
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False}


@dataclass(frozen=True, eq=False)
class History:
    """What a run has written down about its losses."""

    seconds: NDArray[np.float64]
    """Training time of each row [s]."""
    stages: tuple[str, ...]
    """Stage of each row."""
    losses: dict[str, NDArray[np.float64]]
    """By name, NaN in rows that have none."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A movie in some versions, all of the same shape, from raw to truth.

    Parameters
    ----------
    movies : mapping of str to Movie
        By title, in the order in which they are shown.
    css : mapping of str to array, shape (t,)
        Agreement with neighbouring frames, by the same titles.
    """

    movies: Mapping[str, Movie]
    css: Mapping[str, NDArray[np.float64]]


def read_history(path: str | Path) -> History:
    """Read the losses in a run's ``history.csv``.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    History
        Without the rows and columns of scores.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = [name for name in (rows[0] if rows else ()) if name not in ("stage", "step", "seconds")]
    names = [name for name in known if not name.startswith("score_")]
    rows = [row for row in rows if any(row[name] for name in names)]
    return History(
        seconds=np.array([float(row["seconds"]) for row in rows]),
        stages=tuple(row["stage"] for row in rows),
        losses={name: np.array([float(row[name] or "nan") for row in rows]) for name in names},
    )


def draw_comparison(comparison: Comparison, history: History, path: str | Path) -> None:
    """Draw three frames of all versions, the losses and the agreement of neighbouring frames into a picture file.

    Parameters
    ----------
    comparison : Comparison
        Versions of one movie.
    history : History
        Losses of the run.
    path : str or Path
        Picture file, such as ``.png`` or ``.pdf``.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12.5, 7.2), dpi=130, layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.25, 1), wspace=0.03)[0]
        _draw_frames(left, comparison.movies)
        losses, css = right.subplots(2, 1)
        _draw_losses(losses, history)
        _draw_css(css, comparison.css)
        figure.savefig(path)


def draw_methods(
    frames: Mapping[str, NDArray[np.float32]],
    css: Mapping[str, NDArray[np.float64]],
    path: str | Path,
    pixel_size_nm: float | None = None,
) -> None:
    """Draw one frame as each method shows it, as in the paper's fig. 3, and the CSS of all frames, into a picture file.

    Parameters
    ----------
    frames : mapping of str to array, shape (y, x)
        By title, in any grey values: black and white are the 0.1 and 99.9 % quantiles of each.
    css : mapping of str to array, shape (t,)
        Agreement with neighbouring frames, by the same titles.
    path : str or Path
        Picture file, such as ``.png`` or ``.pdf``.
    pixel_size_nm : float, optional
        Side of a pixel, for the scale bar [nm].
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = -(-len(frames) // METHODS_PER_ROW)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12.5, 2.7 * rows + 3.6), dpi=130, layout="constrained")
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.7 * rows, 3.6))[:, 0]
        axes = top.subplots(rows, METHODS_PER_ROW, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, (title, frame) in zip(axes, frames.items(), strict=False):
            low, high = np.nanquantile(frame, (0.001, 0.999))
            axis.imshow(frame, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(title)
            if pixel_size_nm and axis is axes[0]:
                _draw_scale_bar(axis, frame.shape, pixel_size_nm)
        _draw_css(bottom.subplots(), css)
        figure.savefig(path)


def _draw_frames(figure: "SubFigure", movies: Mapping[str, Movie]) -> None:
    """Draw one row a frame and one column a movie, each with one contrast for all of its frames."""
    count = len(next(iter(movies.values())))
    chosen = np.linspace(0, count - 1, FRAMES_SHOWN + 2).round().astype(int)[1:-1]
    axes = figure.subplots(FRAMES_SHOWN, len(movies), squeeze=False)
    for column, (title, movie) in zip(axes.T, movies.items(), strict=True):
        images = movie.frames(chosen)
        low, high = np.nanpercentile(images, (1, 99.8))
        for axis, index, image in zip(column, chosen, images, strict=True):
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if axis in axes[:, 0]:
                axis.set_ylabel(f"frame {index}")
        column[0].set_title(title)
        if movie.pixel_size_nm:
            _draw_scale_bar(column[-1], movie.shape[1:], movie.pixel_size_nm)


def _draw_scale_bar(axis: "Axes", size: Sequence[int], pixel_size_nm: float) -> None:
    """Draw a bar of a round length, about a quarter of the frame, in its lower left corner."""
    rows, columns = size
    length_nm = _round_down(columns * pixel_size_nm / 3)
    left, bottom = 0.05 * columns, 0.94 * rows
    box: dict[str, Any] = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5}
    axis.plot([left, left + length_nm / pixel_size_nm], [bottom, bottom], color="white", lw=3, solid_capstyle="butt")
    axis.text(left, bottom - 0.035 * rows, f"{length_nm:g} nm", color="white", va="bottom", fontsize=9, bbox=box)


def _round_down(value: float) -> float:
    """Return the largest number 1, 2 or 5 times a power of ten that is no larger."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= value * (1 + 1e-9))


def _draw_losses(axis: "Axes", history: History) -> None:
    """Draw curves over time; below 0.1 the scale is linear, because the critic's losses change their sign."""
    minutes = history.seconds / 60
    for number, (name, values) in enumerate(history.losses.items()):
        there = np.isfinite(values)
        if there.any():
            colour, dash = COLOURS[number % len(COLOURS)], ("-", "--")[number // len(COLOURS) % 2]
            axis.plot(minutes[there], values[there], dash, color=colour, lw=1.2, label=name.replace("_", " "))
    for index in range(1, len(minutes)):
        if history.stages[index] != history.stages[index - 1]:
            axis.axvline(minutes[index], color="0.6", lw=1, ls=":")
            axis.text(
                minutes[index],
                1,
                f" {history.stages[index]}",
                color="0.4",
                va="top",
                fontsize=8,
                transform=axis.get_xaxis_transform(),
            )
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set(title="Losses", xlabel="training time [min]", ylabel="loss")
    axis.grid(color="0.92")
    if axis.lines:
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def _draw_css(axis: "Axes", css: Mapping[str, NDArray[np.float64]]) -> None:
    lines = itertools.product(("-", "--", ":"), ("0.6", *COLOURS))
    for (dash, colour), (title, values) in zip(lines, css.items(), strict=False):
        axis.plot(values, dash, color=colour, lw=1.4, label=f"{title}, mean {np.nanmean(values):.2f}")
    axis.set(
        title="Agreement of neighbouring frames (CSS)",
        xlabel="frame",
        ylabel="CSS",
        ylim=(min(0, axis.get_ylim()[0]), 1.02),
    )
    axis.grid(color="0.92")
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=min(len(css), 4), frameon=False, fontsize=8)
