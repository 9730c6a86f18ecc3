"""The pictures of docs/experiments.md, from the arrays that each cell of paper_experiments.py has left."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from napari_noise2atom.baselines import METHODS
from napari_noise2atom.figure import COLOURS

Case = dict[str, Any]
RECIPES = {
    "compact": "preset compact",
    "cycle alone": "the cycle alone",
    "losses alone": "the paper's losses",
    "published": "the paper's training",
}
USUAL_FRAMES = 120
WINDOW_STEPS = 20
"""Over which the median of a loss is taken: an epoch of 120 frames in batches of 6."""
CROP_PX = 64
"""Side of what is shown of a frame where single atoms matter."""
GREYS = 48
"""In a picture, so that noise does not make large files."""


def case_of(line: Case) -> tuple[Any, ...]:
    """Return what tells a case from the others of its experiment."""
    return line["recipe"], line["sampled_frames"], line["guards"]


def stem(name: str, case: Case, seed: int) -> str:
    """Return the name of a cell's file of arrays."""
    return "-".join(map(str, (name, *case_of(case), seed))).replace(" ", "_")


def label(case: Case) -> str:
    """Return what tables and pictures call a case."""
    recipe, frames, guards = case_of(case)
    if recipe not in RECIPES:
        return METHODS[recipe].title if recipe in METHODS else "the clean movie itself"
    number = f", {frames} frame{'s' if frames > 1 else ''}" if frames != USUAL_FRAMES else ""
    return RECIPES[recipe] + number + ("" if guards else ", without guards")


def kept(name: str, cases: list[Case], arrays: Path) -> dict[tuple[Any, ...], Mapping[str, np.ndarray]]:
    """Return what the first run of each case has left, by case."""
    files = {case_of(case): arrays / f"{stem(name, case, 0)}.npz" for case in cases}
    return {case: np.load(file) for case, file in files.items() if file.exists()}


def draw_losses(name: str, cases: list[Case], arrays: Path, path: Path) -> None:
    """Draw both losses over the steps of the cycle, with the paper's thresholds."""
    there = kept(name, cases, arrays)
    if not there:
        return
    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, loss, threshold in zip(axes, ("cycle", "low-frequency cycle"), (0.05, 0.1), strict=True):
        for case, colour in zip(cases, COLOURS, strict=False):
            if case_of(case) in there:
                curves = there[case_of(case)]
                draw_curve(axis, curves["steps"], curves[loss], colour, label(case))
        axis.axhline(threshold, color="black", ls="--", lw=1, label=f"the paper's threshold, {threshold}")
        axis.set(title=f"{loss} loss", xlabel="step of the cycle", yscale="log")
        axis.grid(color="0.92", which="both")
        axis.legend(fontsize=7, framealpha=0.8, edgecolor="none")
    save(figure, path)


def draw_curve(axis: Any, steps: np.ndarray, values: np.ndarray, colour: str, title: str) -> None:
    """Draw each value faintly, and the median of the last steps."""
    axis.plot(steps, values, color=colour, lw=0.5, alpha=0.3)
    window = min(WINDOW_STEPS, len(values))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, window), axis=1)
    axis.plot(steps[window - 1 :], medians, color=colour, lw=1.4, label=title)


def draw_frames(name: str, cases: list[Case], arrays: Path, path: Path) -> None:
    """Draw a part of two consecutive frames: raw, by each training of one kind, in truth; a pair of rows for each."""
    there = kept(name, cases, arrays)
    raw, *trained, clean = [(label(case), case_of(case)) for case in cases]
    rows = []
    for recipe in dict.fromkeys(case[0] for _, case in trained):
        of_recipe = [raw, *((title, case) for title, case in trained if case[0] == recipe), clean]
        pairs = [(title, there[case]["frames"]) for title, case in of_recipe if case in there]
        rows.append([(title, part(frames[0])) for title, frames in pairs])
        rows.append([("", part(frames[1])) for _, frames in pairs])
    draw_rows(rows, path)


def draw_ends(name: str, cases: list[Case], arrays: Path, path: Path) -> None:
    """Draw the middle frame: raw, as the last weights of each training denoise it, in truth."""
    there = kept(name, cases, arrays)
    shown = [(label(case), there[case_of(case)]) for case in cases if case_of(case) in there]
    draw_rows([[(title, left["end"] if "end" in left else left["frames"][0]) for title, left in shown]], path)


def draw_kept(name: str, cases: list[Case], arrays: Path, path: Path) -> None:
    """Draw the middle frame of each result."""
    there = kept(name, cases, arrays)
    shown = [(label(case), there[case_of(case)]["frames"][0]) for case in cases if case_of(case) in there]
    draw_rows([shown], path)


def part(frame: np.ndarray) -> np.ndarray:
    """Return the middle of a frame."""
    top, left = (max(0, side - CROP_PX) // 2 for side in frame.shape)
    return frame[top : top + CROP_PX, left : left + CROP_PX]


def draw_rows(rows: list[list[tuple[str, np.ndarray]]], path: Path) -> None:
    """Draw rows of images with titles, each in a contrast of its own; nothing if there are none."""
    columns = max(map(len, rows), default=0)
    if not columns:
        return
    figure = Figure(figsize=(1.7 * columns, 2.15 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, images in zip(axes, rows, strict=True):
        for axis, (title, image) in zip(line, images, strict=False):
            low, high = np.percentile(image, (0.5, 99.8))
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(title.replace(", ", ",\n"), fontsize=7.5)
    save(figure, path, GREYS)


def save(figure: Figure, path: Path, greys: int = 0) -> None:
    """Write a small file: a picture in colour, or of so many greys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    figure.savefig(buffer, dpi=100)
    picture = Image.open(buffer).convert("L" if greys else "RGB")
    (picture.quantize(greys) if greys else picture).save(path, optimize=True)


PICTURES = {"losses": draw_losses, "frames": draw_frames, "background": draw_ends, "gradient": draw_kept}
