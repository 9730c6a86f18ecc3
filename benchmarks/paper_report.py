"""Writes docs/experiments.md from the lines of results/experiments.jsonl."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from paper_pictures import PICTURES, case_of, label
from quality_report import conditions, spread

from napari_noise2atom.settings import preset

Cell = dict[str, Any]
Cases = list[tuple[Cell, list[Cell]]]
"""Each case of an experiment with its cells, one a seed; none where it was not measured."""

HEAD = """\
# The paper's experiments

This page is written by `python benchmarks/paper_experiments.py`. It repeats the experiments of the paper's fig. 1, 4, 5
and 6 on simulated movies whose atoms are known (`benchmarks/quality_movies.py`, 120 frames of 128 × 128 px). Scores are
those of [Quality](quality.md).

The preset `paper` takes days without a GPU and was not measured here. These trainings stand beside each other:

- **preset compact**: as `noise2atom train` used it on the day below, a warm start on simulated pairs, then at most
  {cycle} steps of the cycle.
- **the cycle alone**: the same without the warm start, {alone} steps. Simulated pairs and hidden pixels still take part
  in the cycle.
- **the paper's losses**: the cycle alone without anything else that is not in the paper: no pairs, no hidden pixels,
  one frame in. The weights of the losses, the learning rate and the clean images are still the preset's.
- **the paper's training**, in fig. 1 only: its weights, learning rate, updates and clean images, too. They are meant
  for the paper's network, which has instance norm; the compact one has none, so that this says little about it.

Guards are on where nothing else is said. {runs} {limit}
Scores are those of the model that is kept, the best by its [quality](method.md#quality); *at the end* is what the last
weights do, whether they are kept or not: it is inverted or blank by the rules of the [guards](method.md#guards),
upright if its low-passed frames and those of the raw movie have a correlation above 0.5, and otherwise unclear. Each
image of a picture has a contrast of its own.
"""
TITLES = {
    "losses": "Fig. 1: loss curves",
    "frames": "Fig. 4: number of frames in the training",
    "background": "Fig. 5: too much background",
    "gradient": "Fig. 6: a gradient of the background",
}
TEXTS = {
    "losses": """
**The paper:** usually after 100 epochs, which are 2000 steps, the cycle loss is below 0.05 and the low-frequency cycle
loss below 0.1.

**Here:** the movie *low dose*. A loss is below its threshold *for good* from the step of the cycle on from which the
median over 20 steps stays below it; *at the end* is that median after the last step. *Of a blank result* are the losses
of generators that make nothing but black images and grey frames: a threshold above them says little.
""",
    "frames": """
**The paper:** trained on 1, 10 and 50 images, CSS is 0.45 to 0.48, and peaks are fitted to clusters of bright noisy
pixels. With 100 images it is 0.69, and two consecutive frames show the same atoms.

**Here:** the movie *low dose*. The network is trained on that many frames of the movie, drawn at random, and then
denoises all 120; two frames were added to the paper's numbers. The paper does not say how long it trained each time;
here, few frames are shown more often, so that the number of steps is about the same. With the preset compact, each of
these frames is seen with its neighbours, and the warm start learns from what the [whole movie tells](estimates.md),
whatever the number of frames. The paper's losses see single frames; width and number of the spots in clean images come
from the whole movie.
""",
    "background": """
**The paper:** with too much background, one training in ten ended with a reverted mapping: atoms came out dark, the
background between them bright.

**Here:** the movie *slow* with a background as bright as the atoms. The picture shows the middle frame at the end of
each training; the correlation of the whole movie and F1 are those of the model that is kept.
""",
    "gradient": """
**The paper:** at the edge of a droplet the background rises from left to right, and more and more false atoms are
fitted to it.

**Here:** the movie *wedge*, whose background is seven times as bright on the right edge as on the left one. False atoms
per nm² and frame are counted in the thin left half and in the thick right one. The goal is a ratio of at most 1.5, with
fewer false atoms than in the raw movie.
""",
}
"""What the paper saw, and what is done here."""
GOAL_RATIO = 1.5
SAME_F1 = 0.02
"""Differences below it are not called any: seeds make as large ones."""


def write_page(page: Path, plan: dict[str, list[Cell]], lines: list[Cell], arrays: Path) -> None:
    """Write the page with a table, a picture and a sentence for each experiment."""
    newest = list({(line["experiment"], *case_of(line), line["seed"]): line for line in lines}.values())
    measured = [cell for cell in newest if "refused" not in cell]
    parts = [head(measured)]
    for name, cases in plan.items():
        found = [(case, [cell for cell in newest if is_of(cell, name, case)]) for case in cases]
        parts += [f"\n## {TITLES[name]}\n", wrapped(TEXTS[name].strip()), ""]
        parts += [TABLES[name](found), *refusals(found)]
        picture = page.parent / "images" / "experiments" / f"{name}.png"
        PICTURES[name](name, cases, arrays, picture)
        if picture.exists():
            parts.append(f"\n![{TITLES[name]}](images/experiments/{picture.name})")
        parts += ["", wrapped(SENTENCES[name](found))]
    parts.append(conditions(measured) if measured else "")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts).rstrip() + "\n")


def wrapped(text: str) -> str:
    """Return paragraphs in lines as long as those of the other pages."""
    return "\n\n".join(fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in text.split("\n\n"))


def is_of(cell: Cell, name: str, case: Cell) -> bool:
    return cell["experiment"] == name and case_of(cell) == case_of(case)


def head(measured: list[Cell]) -> str:
    compact, published = preset("compact"), preset("paper").training
    seeds = {cell["seed"] for cell in measured}
    runs = (
        f"Tables show mean, smallest and largest of {len(seeds)} seeds." if len(seeds) > 1 else "One run each, seed 0."
    )
    minutes = {cell["minutes"] for cell in measured if cell["minutes"] and "training" in cell}
    limit = f"Some trainings were ended after {max(minutes):g} minutes." if minutes else ""
    steps = {"cycle": steps_of(compact.training), "alone": steps_of(published)}
    return HEAD.format(**steps, runs=runs, limit=limit).replace(" \n", "\n")


def steps_of(training: Any) -> int:
    return training.epochs * -(-training.sampled_frames // training.batch_size)


def table(columns: tuple[str, ...], lines: Iterator[list[str]]) -> str:
    """Return a table; short lines are filled up."""
    full = [[*line, *["–"] * (len(columns) - len(line))] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *full))


def rows(found: Cases, values: Callable[[list[Cell]], list[str]], *, each_run: bool = False) -> Iterator[list[str]]:
    """Yield a row for each case, or for each of its runs, or what keeps it from being there."""
    for case, cells in found:
        title = label(case)
        refused = [cell["refused"] for cell in cells if "refused" in cell]
        if refused or not cells:
            yield [title, "not possible" if refused else "not measured"]
        elif each_run:
            yield from ([run_title(cell, cells), *values([cell])] for cell in cells)
        else:
            yield [title, *values(cells)]


def refusals(found: Cases) -> list[str]:
    """Return why something was not possible, in the program's words."""
    words = dict.fromkeys(cell["refused"] for _, cells in found for cell in cells if "refused" in cell)
    return [f"\nNot possible: *{reason}*." for reason in words]


def run_title(cell: Cell, cells: list[Cell]) -> str:
    return label(cell) + (f", seed {cell['seed']}" if len(cells) > 1 else "")


def trained_runs(found: Cases) -> Iterator[tuple[str, Cell]]:
    """Yield title and cell of each training."""
    for _, cells in found:
        yield from ((run_title(cell, cells), cell) for cell in cells if "training" in cell)


def names(titles: list[str]) -> str:
    return "; ".join(titles) or "none"


def losses_table(found: Cases) -> str:
    columns = ["training", "steps of the cycle"]
    for loss, threshold in (("cycle", 0.05), ("low-frequency cycle", 0.1)):
        columns += [f"{loss} loss below {threshold} for good from step", "at the end", "of a blank result"]
    return table((*columns, "repairs", "minutes"), rows(found, losses_values, each_run=True))


def losses_values(cells: list[Cell]) -> list[str]:
    trained = cells[0]["training"]
    values = [str(trained["cycle_steps"])]
    for loss, found in trained["losses"].items():
        from_step, at_end = found["below_from"], found["at_end"]
        values += ["never" if from_step is None else str(from_step), "–" if at_end is None else f"{at_end:.3f}"]
        values.append(f"{trained['blank'][loss]:.3f}")
    return [*values, str(trained["repairs"]), f"{cells[0]['seconds'] / 60:.1f}"]


def losses_sentence(found: Cases) -> str:
    runs = list(trained_runs(found))
    if not runs:
        return "Not measured."
    reached = [
        title for title, cell in runs if None not in (v["below_from"] for v in cell["training"]["losses"].values())
    ]
    missed = [title for title, _ in runs if title not in reached]
    text = f"Both thresholds are reached by: {names(reached)}. Not by: {names(missed)}."
    for loss, threshold in (("cycle", 0.05), ("low-frequency cycle", 0.1)):
        trivial = [title for title, cell in runs if cell["training"]["blank"][loss] < threshold]
        if trivial:
            text += f" A blank result, too, has a {loss} loss below {threshold} in: {names(trivial)}."
    return text


def frames_table(found: Cases) -> str:
    columns = ("trained on", "steps of the cycle", "at the end", "F1", "false atoms per frame", "PSNR [dB]", "CSS")
    return table(columns, rows(found, frames_values))


def frames_values(cells: list[Cell]) -> list[str]:
    steps = str(cells[0]["training"]["cycle_steps"]) if "training" in cells[0] else "–"
    figures = (("f1", 3), ("false_per_frame", 2), ("psnr_db", 1), ("css", 3))
    return [steps, ends(cells), *(spread(cells, *figure) for figure in figures)]


def ends(cells: list[Cell]) -> str:
    """Return what the trainings of a case were at the end."""
    return ", ".join(sorted({cell["training"]["end_state"] for cell in cells})) if is_trained(cells) else "–"


def frames_sentence(found: Cases) -> str:
    """Compare the fewest frames with the most, for each kind of training."""
    texts = []
    for recipe in dict.fromkeys(case["recipe"] for case, _ in found):
        there = {c["sampled_frames"]: cells for c, cells in found if c["recipe"] == recipe and is_trained(cells)}
        if len(there) > 1:
            texts.append(compared(there, recipe))
    return "\n\n".join(texts) or "Not measured."


def is_trained(cells: list[Cell]) -> bool:
    return bool(cells) and all("training" in cell for cell in cells)


def compared(by_frames: dict[int, list[Cell]], recipe: str) -> str:
    few, many = min(by_frames), max(by_frames)
    f1, css, false = (
        [mean(by_frames[number], score) for number in (few, many)] for score in ("f1", "css", "false_per_frame")
    )
    gain = f1[1] - f1[0]
    same = f"F1 stays the same within {SAME_F1}"
    verdict = "more frames help" if gain > SAME_F1 else "fewer frames do better" if gain < -SAME_F1 else same
    title = label({"recipe": recipe, "sampled_frames": few, "guards": True})
    return (
        f"{title[0].upper()}{title[1:]} → {many} frames: F1 {f1[0]:.3f} → {f1[1]:.3f}, "
        f"CSS {css[0]:.3f} → {css[1]:.3f}, false atoms per frame {false[0]:.2f} → {false[1]:.2f}: {verdict}."
    )


def mean(cells: list[Cell], score: str) -> float:
    return float(np.mean([cell["scores"][score] for cell in cells]))


def background_table(found: Cases) -> str:
    columns = (
        "result", "at the end", "low-pass correlation with the raw frames, at the end", "of the whole movie", "F1",
        "repairs", "alarms",
    )  # fmt: skip
    return table(columns, rows(found, background_values, each_run=True))


def background_values(cells: list[Cell]) -> list[str]:
    cell = cells[0]
    trained = cell.get("training")
    kept = [spread(cells, "low_pass_correlation", 2), spread(cells, "f1", 3)]
    if trained is None:
        return ["–", "–", *kept]
    alarms = ", ".join(f"{kind} ({number})" for kind, number in trained["alarms"].items()) or "none"
    return [
        trained["end_state"],
        f"{trained['end']['low-pass correlation']:.2f}",
        *kept,
        str(trained["repairs"]),
        alarms,
    ]


def background_sentence(found: Cases) -> str:
    runs = list(trained_runs(found))
    if not runs:
        return "Not measured."
    states = Counter(cell["training"]["end_state"] for _, cell in runs)
    wrong = [
        f"{title} ({cell['training']['end_state']})"
        for title, cell in runs
        if cell["training"]["end_state"] != "upright"
    ]
    seen = "was seen" if states["inverted"] else "was not seen"
    repairs = sum(cell["training"]["repairs"] for _, cell in runs)
    return (
        f"Upright at the end: {states['upright']} of {len(runs)} trainings. Not upright: {names(wrong)}. "
        f"The reverted mapping of the paper {seen} at the end of a training. Repairs by the guards: {repairs}."
    )


def gradient_table(found: Cases) -> str:
    columns = (
        "result",
        "at the end",
        "F1",
        "false atoms per nm², thin half",
        "thick half",
        "ratio",
        "alarm of a gradient",
    )
    return table(columns, rows(found, gradient_values))


def gradient_values(cells: list[Cell]) -> list[str]:
    figures = (("f1", 3), ("false_left_per_nm2", 3), ("false_right_per_nm2", 3))
    raised = sum("gradient" in cell["training"]["alarms"] for cell in cells if "training" in cell)
    alarm = f"{raised} of {len(cells)} runs" if is_trained(cells) else "–"
    return [ends(cells), *(spread(cells, *figure) for figure in figures), f"{ratio(cells):.1f}", alarm]


def ratio(cells: list[Cell]) -> float:
    """Return the false atoms in the thick half relative to those in the thin one; infinite where that has none."""
    thin, thick = (mean(cells, f"false_{side}_per_nm2") for side in ("left", "right"))
    return thick / thin if thin else float("inf") if thick else 1.0


def gradient_sentence(found: Cases) -> str:
    results = {label(case): cells for case, cells in found if is_trained(cells)}
    if not results:
        return "Not measured."
    raw = [cell for case, cells in found if case["recipe"] == "raw" for cell in cells]
    few = mean(raw, "false_per_frame") if raw else float("inf")
    reached, missed = [], []
    for title, cells in results.items():
        good = ratio(cells) <= GOAL_RATIO and mean(cells, "false_per_frame") < few
        (reached if good else missed).append(f"{title} ({ratio(cells):.1f})")
    return f"The goal is reached by: {names(reached)}. Not by: {names(missed)}."


TABLES = {
    "losses": losses_table,
    "frames": frames_table,
    "background": background_table,
    "gradient": gradient_table,
}
SENTENCES = {
    "losses": losses_sentence,
    "frames": frames_sentence,
    "background": background_sentence,
    "gradient": gradient_sentence,
}
