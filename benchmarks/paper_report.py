"""Writes docs/experiments.md from the lines of results/experiments.jsonl."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from paper_pictures import PICTURES
from quality_report import conditions, spread

from napari_noise2atom.baselines import METHODS

Cell = dict[str, Any]
Cases = list[tuple[Cell, list[Cell]]]
"""Each case of an experiment with its cells, one a seed; none where it was not measured."""

HEAD = """\
# The paper's experiments

This page is written by `python benchmarks/paper_experiments.py`. It repeats the experiments of the paper's fig. 1, 4, 5
and 6 on simulated movies whose atoms are known (`benchmarks/quality_movies.py`, 120 frames of 128 × 128 px). Scores are
those of [Quality](quality.md).

The preset `paper` takes days without a GPU and was not measured here. These trainings stand beside each other:

- **preset compact**: as `noise2atom train` uses it, a warm start of {warm} steps on simulated pairs and {cycle} steps of
  the cycle.
- **the cycle alone**: the same without the warm start, {alone} steps. Simulated pairs and hidden pixels still take part
  in the cycle.
- **the paper's training**: the settings of the paper's training, {alone} steps of the cycle without warm start, pairs
  and hidden pixels, one frame in, the paper's clean images; but with the compact network, on crops of 64 px.

Guards are on where nothing else is said. {runs} {limit}Scores are those of the model that is kept, the best by its
[quality](method.md#quality); *at the end* is what the last weights do, whether they are kept or not.
"""
TITLES = {
    "losses": "Fig. 1: loss curves",
    "frames": "Fig. 4: number of frames in the training",
    "background": "Fig. 5: too much background",
    "gradient": "Fig. 6: a gradient of the background",
}
SAW = {
    "losses": "after 100 epochs, which are 2000 steps, the cycle loss is below 0.05 and the low-frequency cycle loss "
    "below 0.1.",
    "frames": "trained on 1, 10 and 50 images, CSS is 0.45 to 0.48, and peaks are fitted to clusters of bright noisy "
    "pixels. With 100 images it is 0.69, and two consecutive frames show the same atoms.",
    "background": "with too much background, one training in ten ended with a reverted mapping: atoms came out dark, "
    "the background between them bright.",
    "gradient": "at the edge of a droplet the background rises from left to right, and more and more false atoms are "
    "fitted to it.",
}
DONE = {
    "losses": "the movie *low dose*. *Below for good* is the step of the cycle from which on the median over 20 steps "
    "stays below the paper's threshold; the last column is that median at the end. *A blank result* are the losses of "
    "generators that make nothing but black images and grey frames: a threshold above them says little.",
    "frames": "the movie *low dose*. The network is trained on that many frames of the movie, drawn at random, and then "
    "denoises all 120. The paper does not say how long it trained each time; here, few frames are shown more often, so "
    "that the number of steps is the same. With the preset compact, each of these frames is seen with its four "
    "neighbours, and the warm start learns from what the [whole movie tells](estimates.md), whatever the number of "
    "frames; the paper's training sees single frames and is told nothing else but the normalisation.",
    "background": "the movie *slow* with a background as bright as the atoms. A result is upright if its low-passed "
    "frames and those of the raw movie have a correlation above 0.5, inverted or blank by the rules of the "
    "[guards](method.md#guards).",
    "gradient": "the movie *wedge*, whose background is seven times as bright on the right edge as on the left one. "
    "False atoms per nm² and frame are counted in the thin left half and in the thick right one. The goal is a ratio of "
    "at most 1.5.",
}
RECIPES = {"compact": "preset compact", "cycle alone": "the cycle alone", "published": "the paper's training"}
ALARMED = "gradient"
GOAL_RATIO = 1.5
SAME_F1 = 0.02
"""Differences below it are not called any: seeds make as large ones."""
NOT_MEASURED = "not measured"


def write_page(page: Path, plan: dict[str, list[Cell]], lines: list[Cell], arrays: Path) -> None:
    """Write the page with a table, a picture and a sentence for each experiment."""
    measured = [cell for cell in newest(lines) if "refused" not in cell]
    parts = [head(measured)]
    for number, (name, cases) in enumerate(plan.items()):
        found = [(case, [cell for cell in newest(lines) if is_of(cell, name, case)]) for case in cases]
        parts += [f"\n## {TITLES[name]}\n", f"**The paper:** {SAW[name]}\n", f"**Here:** {DONE[name]}\n"]
        parts.append(TABLES[name](found))
        picture = page.parent / "images" / "experiments" / f"{name}.png"
        PICTURES[name]([case for case in cases if label(case)], label, arrays, picture)
        if picture.exists():
            parts.append(f"\n![{TITLES[name]}](images/experiments/{picture.name})")
        parts.append(f"\n{SENTENCES[name](found)}")
    parts.append(conditions(measured) if measured else "")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts).rstrip() + "\n")
