"""Writes docs/quality.md and its picture from the lines of results/quality.jsonl."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from quality_movies import MOVIES

from napari_noise2atom.baselines import METHODS

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """\
# Quality on movies of known truth

This page is written by `python benchmarks/quality.py`. The movies are simulated (`benchmarks/quality_movies.py`),
except those named `pt_on_carbon`, which are physically simulated (multislice) and not part of this repository.
Recorded anew from its clean frames (`benchmarks/record_anew.py`) are `pt_on_carbon_wedge`, on a film that grows eight
times as thick from left to right, `pt_on_carbon_fast`, whose atoms move six times as fast, `pt_on_carbon_low_dose` with
0.4 times its electrons, and `pt_on_carbon_high_dose` with five times as many. Two more show what no simulated pair of
this package does: oval atoms in `pt_on_carbon_astigmatic`, a lattice under them in `pt_on_carbon_crystal`. *Particle*
is a crystal of up to seven atoms along the beam, and single atoms beside it. All have 120 frames of 128 × 128 px, the
sample movie 64.

Every method runs in a process of its own, trained ones for at most eight minutes, but the preset `default` to its end.
Where a method ran with several seeds, the table shows the mean and, in brackets, the smallest and the largest value. A
method that is not in a table was not measured on that movie. `default` differs from `compact` by a longer warm start,
and does the same when both have eight minutes. `paper` does some fifty of its 2000 steps in eight minutes on a CPU,
which teaches it nothing: it needs a GPU. The times of `default` on `pt_on_carbon` and its variants contain pauses.

- **F1** of atoms within 2.5 px of true ones, at the threshold that is best for each result; precision and recall at
  the same threshold. **Gap closed** is the share of the difference between the raw frames' F1 and the clean movie's
  own.
- **False** atoms per nm² and frame; on the movie with a wedge also in the thin half and in the thick half of the
  frame.
- **Error** is the mean distance of paired atoms. What noise and overlap allow is said below the tables: the Cramér-Rao
  bound for atoms each of which walks by itself (`benchmarks/quality_limits.py`). In clusters that move as one, they
  tell of one another, and it is less.
- **PSNR** after the best affine fit to the clean movie, SSIM to it. Noise2Atom's presets draw narrower spots than
  the movie's (`simulation.narrowing`), which costs several dB; a blur gives them back.
- **CSS** is the agreement of neighbouring frames. It is good when it is near the truth's own, not when it is high:
  what lies above the truth's smears motion.
"""
COLUMNS = (
    "method", "F1", "gap closed", "precision", "recall", "false per nm²", "error [pm]", "PSNR [dB]", "SSIM", "CSS",
    "time [s]", "memory [MiB]",
)  # fmt: skip


def write_report(cells: list[dict[str, Any]], frames: Path) -> None:
    """Write the page with a table and a picture for each movie."""
    parts = [HEAD]
    for movie in dict.fromkeys(cell["movie"] for cell in cells):
        chosen = [cell for cell in cells if cell["movie"] == movie]
        by_method = {name: [c for c in chosen if c["method"] == name] for name in order(chosen)}
        title = movie.capitalize() if movie in MOVIES else f"`{movie}`"
        parts += [f"\n## {title}\n", table(by_method)]
        parts += [line for line in (bound_line(by_method), wedge_line(movie, by_method)) if line]
        picture = DOCS / "images" / "quality" / f"{movie.replace(' ', '-')}.png"
        if draw(movie, list(by_method), frames, picture) or picture.exists():
            parts.append(f"\n![The middle frame of the movie {movie}](images/quality/{picture.name})\n")
    parts.append(conditions(cells))
    (DOCS / "quality.md").write_text("\n".join(parts))


def conditions(cells: list[dict[str, Any]]) -> str:
    lines = sorted({f"- {c['threads']} thread, {c['machine']}, {c['date']}" for c in cells})
    loads = [cell["load"] for cell in cells]
    busy = f"The load of the computer, two cores, was {min(loads):g} to {max(loads):g}: times above are upper bounds.\n"
    return "\n## Conditions\n\n" + "\n".join(lines) + f"\n\n{busy}"


def order(cells: list[dict[str, Any]]) -> list[str]:
    there = {cell["method"] for cell in cells}
    return [name for name in (*METHODS, "truth") if name in there]


def table(by_method: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    f1 = {name: np.mean([c["scores"]["f1"] for c in cells]) for name, cells in by_method.items()}
    for name, cells in by_method.items():
        title = METHODS[name].title if name in METHODS else "the clean movie itself"
        row = [title, spread(cells, "f1", 3), gap(name, f1)]
        row += [spread(cells, "precision", 2), spread(cells, "recall", 2), spread(cells, "false_per_nm2", 3)]
        row += [spread(cells, "error_pm", 0), spread(cells, "psnr_db", 1), spread(cells, "ssim", 3)]
        row += [spread(cells, "css", 3), f"{np.mean([c['seconds'] for c in cells]):.0f}"]
        row.append(f"{max(c['peak_mib'] for c in cells)}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def spread(cells: list[dict[str, Any]], score: str, digits: int) -> str:
    values = [cell["scores"][score] for cell in cells if cell["scores"].get(score) is not None]
    if not values or not np.isfinite(values).all():
        return "–"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def gap(name: str, f1: dict[str, Any]) -> str:
    if name in ("raw", "truth") or not {"raw", "truth"} <= f1.keys():
        return "–"
    if f1["truth"] <= f1["raw"]:  # noise splits what is one spot in the clean movie: there is nothing to be closed
        return "–"
    return f"{100 * (f1[name] - f1['raw']) / (f1['truth'] - f1['raw']):.0f} %"


def bound_line(by_method: dict[str, list[dict[str, Any]]]) -> str:
    if "truth" not in by_method:
        return ""
    scores = by_method["truth"][0]["scores"]
    pm_per_px = scores["error_pm"] / scores["error_px"]
    one, many = (f"{pm_per_px * px:.0f} pm ({px:.2f} px)" for px in (scores["bound_1_px"], scores["bound_13_px"]))
    return f"\nNo unbiased method is off by less than {one} in one frame, {many} in 13.\n"


def wedge_line(movie: str, by_method: dict[str, list[dict[str, Any]]]) -> str:
    if not movie.endswith("wedge"):
        return ""
    halves = [
        f"{METHODS[name].title} {np.mean([c['scores']['false_left'] for c in cells]):.2f} and "
        f"{np.mean([c['scores']['false_right'] for c in cells]):.2f}"
        for name, cells in by_method.items()
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
