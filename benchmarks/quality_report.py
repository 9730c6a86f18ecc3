"""Writes docs/quality.md and its picture from the lines of results/quality.jsonl."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from quality_movies import ABOUT, title

from napari_noise2atom.baselines import METHODS

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """\
# Quality on movies of known truth

This page is written by `python benchmarks/quality.py`. The movies are simulated (`benchmarks/quality_movies.py`),
except A and B, which are physically simulated (multislice) and not part of this repository, and the variants of A,
which were recorded anew from its clean frames (`benchmarks/record_anew.py`). All have 120 frames of 128 × 128 px, the
sample movie 64. *Drifting* is a view of a larger movie that goes over it.

Every method runs in a process of its own, trained ones for at most eight minutes, but the preset `default` to its end.
Where a method ran with several seeds, the table shows the mean and, in brackets, the smallest and the largest value. A
method that is not in a table was not measured on that movie. `default` differs from `compact` by a longer warm start,
and does the same when both have eight minutes. `paper` does some fifty of its 2000 steps in eight minutes on a CPU,
which teaches it nothing: it needs a GPU. The times of `default` on A, B and the variants of A contain pauses.

How far a training gets in eight minutes depends on the processor and on what else runs there: *high dose* had F1 0.956
on one without AVX512 (seed 0), and 0.966 and 0.964 on one with it (the other seeds).

Noise2Self sees five frames, `compact` thirteen: with as many, Noise2Self has F1 0.794 on *quarter dose*. It takes a
pixel's noise to be its own, which in *A, filtered* and *A, registered* it is not. In *A, flickering* all methods but
Noise2Atom see the frames as they are.

- **F1** of atoms within 2.5 px of true ones, at the threshold that is best for each result; precision and recall at
  the same threshold. **Gap closed** is the share of the difference between the raw frames' F1 and the clean movie's
  own.
- **False** atoms per nm² and frame; on the movie with a wedge also in the thin half and in the thick half of the
  frame.
- **Error** is the mean distance of paired atoms. What noise and overlap allow is the Cramér-Rao bound for atoms each of
  which walks by itself (`benchmarks/quality_limits.py`). Where they move as one, in clusters or with the whole frame
  (*A, jumping*), they tell of one another, and it is less.
- **PSNR** after the best affine fit to the clean movie, SSIM to it. Noise2Atom's presets draw narrower spots than
  the movie's (`simulation.narrowing`), which costs several dB; a blur gives them back.
- **CSS** is the agreement of neighbouring frames. It is good when it is near the truth's own, not when it is high:
  what lies above the truth's smears motion.
"""
COLUMNS = (
    "method", "F1", "gap closed", "precision", "recall", "false per nm²", "error [pm]", "PSNR [dB]", "SSIM", "CSS",
    "time [s]", "memory [MiB]",
)  # fmt: skip


F1_COLUMNS = "F1", "raw", "best filter", "PGURE-SVT", "Noise2Self, five frames", "`compact`", "truth"
OTHER_COLUMNS = (
    "`compact`", "false atoms a frame", "others, at least", "places off by [px]", "at least [px]", "CSS, raw",
    "CSS, denoised", "CSS, truth",
)  # fmt: skip
OVERVIEW = """\
The other scores of `compact`: its false atoms beside the fewest of the other methods above, its error beside the bound
for who sees thirteen frames, as it does.
"""
COMPACT = "noise2atom-compact"
COMPARED = "raw", "pgure-svt", "noise2self"
FILTERS = "gaussian-2d", "gaussian-3d", "temporal-mean", "median", "bm3d"

Scores = dict[str, float]
ByMethod = dict[str, list[dict[str, Any]]]


def write_report(cells: list[dict[str, Any]], frames: Path) -> None:
    """Write the page: what matters of all movies, then a table and a picture for each."""
    there = {cell["movie"] for cell in cells}
    movies = {movie: by_method(cells, movie) for movie in (*ABOUT, *sorted(there - ABOUT.keys())) if movie in there}
    parts = [HEAD, overview(movies)]
    for movie, methods in movies.items():
        parts += [f"\n## {title(movie)}\n", f"`{movie}`: {ABOUT.get(movie, 'a movie of your own')}.\n", table(methods)]
        parts += [line for line in (bound_line(methods), wedge_line(movie, methods)) if line]
        picture = DOCS / "images" / "quality" / f"{movie.replace(' ', '-')}.png"
        if draw(movie, list(methods), frames, picture) or picture.exists():
            parts.append(f"\n![The middle frame of the movie {movie}](images/quality/{picture.name})\n")
    parts.append(conditions(cells))
    (DOCS / "quality.md").write_text("\n".join(parts))


def conditions(cells: list[dict[str, Any]]) -> str:
    lines = sorted({f"- {c['threads']} thread, {c['machine']}, {c['date']}" for c in cells})
    loads = [cell["load"] for cell in cells]
    busy = f"The load of the computer, two cores, was {min(loads):g} to {max(loads):g}: times above are upper bounds.\n"
    return "\n## Conditions\n\n" + "\n".join(lines) + f"\n\n{busy}"


def by_method(cells: list[dict[str, Any]], movie: str) -> ByMethod:
    """Return the runs on a movie, from the simplest method to the truth."""
    chosen = [cell for cell in cells if cell["movie"] == movie]
    there = {name: [cell for cell in chosen if cell["method"] == name] for name in (*METHODS, "truth")}
    return {name: runs for name, runs in there.items() if runs}


def overview(movies: dict[str, ByMethod]) -> str:
    """Return what matters of the movies on which all that is compared here has run: F1, and the other scores."""
    means = {movie: {name: average(runs) for name, runs in methods.items()} for movie, methods in movies.items()}
    whole = {movie: mean for movie, mean in means.items() if {COMPACT, "truth", *COMPARED} <= mean.keys()}
    f1 = markdown(F1_COLUMNS, (f1_row(movie, mean) for movie, mean in whole.items()))
    return f"\n## All movies\n\n{f1}\n\n{OVERVIEW}\n{markdown(OTHER_COLUMNS, map(other_row, whole, whole.values()))}\n"


def f1_row(movie: str, mean: dict[str, Scores]) -> list[str]:
    raw, *others = (mean[name]["f1"] for name in COMPARED)
    best_filter = max(mean[name]["f1"] for name in FILTERS if name in mean)
    figures = [f"{score:.3f}" for score in (raw, best_filter, *others)]
    return [link(movie), *figures, f"**{mean[COMPACT]['f1']:.3f}**", f"{mean['truth']['f1']:.3f}"]


def other_row(movie: str, mean: dict[str, Scores]) -> list[str]:
    own, raw, truth = mean[COMPACT], mean["raw"], mean["truth"]
    others = min(mean[name]["false_per_frame"] for name in (*FILTERS, *COMPARED) if name in mean)
    figures = own["false_per_frame"], others, own["error_px"], truth["bound_13_px"]
    agreement = raw["css"], own["css"], truth["css"]
    return [link(movie), *(f"{score:.2f}" for score in figures), *(f"{score:.3f}" for score in agreement)]


def average(runs: list[dict[str, Any]]) -> Scores:
    """Return the mean of each score over the seeds."""
    scores = [run["scores"] for run in runs]
    return {
        key: float(np.mean([s[key] for s in scores]))
        for key in scores[0]
        if all(s.get(key) is not None for s in scores)
    }


def link(movie: str) -> str:
    return f"[{title(movie)}](#{title(movie).lower().replace(',', '').replace(' ', '-')})"


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def table(methods: ByMethod) -> str:
    rows = []
    f1 = {name: average(cells)["f1"] for name, cells in methods.items()}
    for name, cells in methods.items():
        row = [
            METHODS[name].title if name in METHODS else "the clean movie itself",
            spread(cells, "f1", 3),
            gap(name, f1),
        ]
        row += [spread(cells, "precision", 2), spread(cells, "recall", 2), spread(cells, "false_per_nm2", 3)]
        row += [spread(cells, "error_pm", 0), spread(cells, "psnr_db", 1), spread(cells, "ssim", 3)]
        row += [spread(cells, "css", 3), f"{np.mean([c['seconds'] for c in cells]):.0f}"]
        rows.append([*row, f"{max(c['peak_mib'] for c in cells)}"])
    return markdown(COLUMNS, rows)


def spread(cells: list[dict[str, Any]], score: str, digits: int) -> str:
    values = [cell["scores"][score] for cell in cells if cell["scores"].get(score) is not None]
    if not values or not np.isfinite(values).all():
        return "–"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def gap(name: str, f1: Scores) -> str:
    if name in ("raw", "truth") or not {"raw", "truth"} <= f1.keys():
        return "–"
    if f1["truth"] <= f1["raw"]:  # noise splits what is one spot in the clean movie: there is nothing to be closed
        return "–"
    return f"{100 * (f1[name] - f1['raw']) / (f1['truth'] - f1['raw']):.0f} %"


def bound_line(methods: ByMethod) -> str:
    if "truth" not in methods:
        return ""
    scores = methods["truth"][0]["scores"]
    pm_per_px = scores["error_pm"] / scores["error_px"]
    one, many = (f"{pm_per_px * px:.0f} pm ({px:.2f} px)" for px in (scores["bound_1_px"], scores["bound_13_px"]))
    return f"\nNo unbiased method is off by less than {one} in one frame, {many} in 13.\n"


def wedge_line(movie: str, methods: ByMethod) -> str:
    if not movie.endswith("wedge"):
        return ""
    halves = [
        f"{METHODS[name].title} {np.mean([c['scores']['false_left'] for c in cells]):.2f} and "
        f"{np.mean([c['scores']['false_right'] for c in cells]):.2f}"
        for name, cells in methods.items()
        if name in METHODS
    ]
    return "\nFalse atoms per frame in the thin and in the thick half: " + "; ".join(halves) + ".\n"


def draw(movie: str, methods: list[str], frames: Path, path: Path) -> bool:
    """Draw the middle frame of all results; return whether there is any."""
    images = {name: frames / f"{movie}-{name}-0.npy" for name in methods}
    there = {name: np.load(file).astype(np.float32) for name, file in images.items() if file.exists()}
    if not there:
        return False
    columns = min(5, len(there))
    rows = -(-len(there) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.3 * columns, 2.55 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, image) in zip(axes.flat, there.items(), strict=False):
        low, high = np.percentile(image, (0.5, 99.8))
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(METHODS[name].title if name in METHODS else "the clean movie", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True
