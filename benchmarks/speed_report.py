"""Writes docs/speed.md from the lines of results/speed.jsonl; which rows there are, and their goals."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speed_timing import number

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
Line = dict[str, Any]

HEAD = """\
# Speed

This page is written by `python benchmarks/speed.py`. What was not measured is called so.

- The **plain port** is the paper's recipe in PyTorch as it reads (`benchmarks/plain_port.py`): float32, eager,
  transposed convolutions as such, each loss in a pass of its own, the critic's fake batch made anew in each of its five
  steps, a dense low-pass, clean images one by one. Before it is timed, some steps on small images in double precision
  make sure that it does the same mathematics as the preset `paper`.
- The **U-Net of Noise2Void's size** has a depth of 2, 32 channels at full resolution and batch norm, as CAREamics makes
  it by default; here it is float32, eager, and sees one frame (`compact` sees 13). Only applying is timed, not the
  training, which both need.
- **PGURE-SVT** is this package's own. It learns nothing, while the training of `compact` is not part of its time.
- What is **compiled** is one generator, by `torch.compile`, to see what that would gain; this package compiles nothing.
  It would have to be done anew for each size of image and each start of the program.
- The **matrix rate** is that of a product of two large square matrices, float32 on a CPU, bfloat16 on a GPU. A share of
  it counts the operations that the mathematics need: a multiplication and an addition are two, those with padding and
  those that are done twice are none. Both presets train in bfloat16 where the processor multiplies such numbers, and
  `compact` is applied so: on a CPU, whose shares are still of the float32 rate, more than 100 % is possible. `paper` is
  applied in float32, on a GPU in float16. Where a processor does not multiply in bfloat16, the goal for a step of
  `paper` is out of reach: at the full matrix rate of the one below it would be 1.7 times as fast as the plain port.

Both sides run in one process, are warmed up, and are timed in turn; each row has a process of its own. The table shows
the median of all repeats, and as spread the smallest and the largest value; how many times as fast, is found in each
repeat. What users wait for is part of a time: drawing crops and simulating images in a step; reading, normalising and
copying a frame when it is denoised. Small frames are denoised several at once, as they are when a movie is written:
four, where they have less than 1024² px; on a GPU two million pixels, while the next ones are read and sent. The U-Net
takes them one by one. Networks that are only applied have random weights.

With a GPU, spare cores still simulate pairs, and draw the atoms of clean images that the GPU renders, some steps ahead.
The generators' passes of `paper` and the work of its critic are launched as CUDA graphs there; a norm and its
activation are one kernel, where Triton works; a warning tells where either failed. A step waits for the GPU once, when
its losses are fetched.

Goals are for two CPU cores, or for one H200, which computes as an H100 does and has faster memory. On the H100 below,
`paper` is **not** applied as fast as it should be: of the goals' frames a second it reaches 94 % at 128² px and 55 % at
1024² px, where a core cannot launch the many small kernels fast enough. Since then a frame of 1024² px takes some 40 %
of the operations, which was not timed on a GPU. `paper` was not trained there for all its epochs, but misses that goal
too: 2000 steps would take 160 s at 0.08 s a step, most of it in some 12 000 kernels of a few microseconds each, on six
small images.
"""
COLUMNS = "| what | goal | measured | spread | against |\n|---|---|---|---|---|"
DEVICES = {"cpu": "CPU", "cuda": "GPU"}
PLAIN_CPU = "plain cpu"
"""A processor without AVX512, which does not multiply in bfloat16 either."""
SECTIONS = {"cpu": "On a CPU with AVX512", PLAIN_CPU: "On a CPU without AVX512", "cuda": "On a GPU"}
MOST_POINTS = 12


@dataclass(frozen=True)
class Entry:
    """A row of the table."""

    what: str
    goals: dict[str, str] = field(default_factory=dict)
    """By device; none where there is no goal."""
    devices: tuple[str, ...] = ("cpu", "cuda")


SHARE = "its share of the matrix rate"
ON_GPU = {"cuda": "≥ 35 %"}
ENTRIES = {
    "paper-step": Entry("`paper`: a step of the training", {"cpu": "≥ 2.5", "cuda": "≥ 6"}),
    "paper-step-share": Entry(SHARE),
    "paper-step-memory": Entry("its memory", {"cuda": "≤ 6144 MiB"}, devices=("cuda",)),
    "paper-training": Entry("`paper` trained for all its 100 epochs", {"cuda": "≤ 60 s"}, devices=("cuda",)),
    "compact-warm-step": Entry("`compact`: a step of the warm start"),
    "compact-cycle-step": Entry("`compact`: a step of the cycle"),
    "paper-128": Entry("`paper` applied to 128 × 128 px", {"cuda": "≥ 4000 frames/s"}),
    "paper-128-share": Entry(SHARE, ON_GPU),
    "paper-1024": Entry("`paper` applied to 1024 × 1024 px", {"cuda": "≥ 60 frames/s"}),
    "paper-1024-share": Entry(SHARE, ON_GPU),
    "compact-128": Entry("`compact` applied to 128 × 128 px", {"cpu": "≥ 25 frames/s"}),
    "compact-128-share": Entry(SHARE),
    "compact-1024": Entry("`compact` applied to 1024 × 1024 px"),
    "compact-1024-share": Entry(SHARE),
    "compiled-paper-trained": Entry("`paper`: a generator compiled, there and back"),
    "compiled-paper-applied": Entry("`paper`: a generator compiled, applied"),
    "compiled-compact-trained": Entry("`compact`: a generator compiled, there and back"),
    "compiled-compact-applied": Entry("`compact`: a generator compiled, applied"),
    "whole-movie": Entry("`compact` applied to a whole movie", devices=("cpu",)),
    "clean-images": Entry(
        "clean images simulated, their atoms drawn by one core",
        {"cpu": "≥ 2000 images/s", "cuda": "≥ 100000 images/s"},
    ),
    "first-preview": Entry("first preview after the start of a training", {"cpu": "≤ 6 s", "cuda": "≤ 3 s"}),
    "useful-result": Entry("`compact` trained until F1 stays within 0.02 of its last value", {"cpu": "≤ 180 s"}),
    "matrix-float32": Entry("matrix product, float32"),
    "matrix-tf32": Entry("matrix product, float32 in TF32", devices=("cuda",)),
    "matrix-bfloat16": Entry("matrix product, bfloat16"),
    "copy": Entry("copy of memory, read and written"),
}
PROFILED = {
    "profile-paper": "`paper`",
    "profile-compact-warm": "`compact`, warm start",
    "profile-compact-cycle": "`compact`, cycle",
}
GROWTH = ((128, 8), (256, 8), (512, 8), (1024, 8), (2048, 8), (256, 32))
"""Side of a frame [px], and frames of the movie."""


def growth_row(size_px: int, frames: int) -> str:
    return f"growth-{size_px}-{frames}"


def goal_of(name: str, device: str) -> str:
    return ENTRIES[name].goals.get(device, "") if name in ENTRIES else ""


def section_of(line: Line) -> str:
    """Return the section a line belongs to."""
    plain = line["device"] == "cpu" and "AVX512" not in line["machine"]
    return PLAIN_CPU if plain else line["device"]


def read_lines(results: Path) -> list[Line]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def write_report(lines: Iterable[Line], page: Path = PAGE) -> None:
    """Write the page from the newest line of each row and section."""
    newest = {(section_of(line), line["name"]): line for line in lines}
    parts = [HEAD]
    for section, title in SECTIONS.items():
        there = {name: line for (where, name), line in newest.items() if where == section}
        parts += [f"\n## {title}\n", conditions(there), table(there, section), curve(there)]
    parts += [profiles({name: line for (where, name), line in newest.items() if where == "cpu"}), growth(newest)]
    page.write_text("\n".join(part for part in parts if part) + "\n")


def conditions(there: dict[str, Line]) -> str:
    """Say under which conditions was measured: those of most rows, then what belongs to others."""
    rows: dict[str, list[str]] = {}
    for name, line in there.items():
        rows.setdefault(condition(line), []).append(name)
    if not rows:
        return "Nothing was measured so far.\n"
    most, *others = sorted(rows, key=lambda text: -len(rows[text]))
    taken = [line["others_cores"] for line in there.values()]
    text = f"{most}. Other programs took {min(taken):g} to {max(taken):g} cores meanwhile.\n"
    return text + "".join(f"\nOtherwise for {', '.join(rows[other])}: {other}.\n" for other in others)


def condition(line: Line) -> str:
    threads = f"{line['threads']} thread" + ("s" if line["threads"] > 1 else "")
    rehearsal = ", a rehearsal with small sizes" if line["quick"] else ""
    return f"{line['machine']}, {threads}, torch {line['torch']}, {line['date']}, {line['repeats']} repeats{rehearsal}"


def table(there: dict[str, Line], section: str) -> str:
    """Write the rows of a section: all that are possible, without AVX512 those that were measured."""
    device = "cpu" if section == PLAIN_CPU else section
    rows = [COLUMNS]
    for name, entry in ENTRIES.items():
        if name in there or (section == device and device in entry.devices):
            cells = [entry.what, entry.goals.get(device, "–"), *figures(there.get(name))]
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def figures(line: Line | None) -> tuple[str, str, str]:
    """Return what was measured, its spread, and what it is compared with."""
    if line is None:
        return "not measured", "–", "–"
    alone = len(line["values"]) == 1
    spread = "one run" if alone else f"{number(line['low'])}–{number(line['high'])}"
    return f"**{number(line['figure'])}** {line['unit']}", spread, line["against"] or "–"


def curve(there: dict[str, Line]) -> str:
    """Write out how F1 rose in the row of the useful result."""
    if "useful-result" not in there:
        return ""
    points = there["useful-result"]["curve"]
    every = -(-len(points) // MOST_POINTS)
    chosen = [*points[:-1:every], points[-1]]
    text = ", ".join(f"{f1:.3f} after {seconds:.0f} s" for seconds, f1 in chosen)
    return f"F1 of atoms in every fourth frame of the movie *slow*, by the model that was kept so far: {text}.\n"


def profiles(there: dict[str, Line]) -> str:
    """Write where the time of training steps goes."""
    lines = {title: there[name] for name, title in PROFILED.items() if name in there}
    parts = [
        "\n## Where the time goes\n",
        "Share of one training step on one CPU core, by kinds of operations. Arithmetic is losses, sums of feature "
        "maps, optimisers and averages; outside PyTorch are Python, drawing crops and simulating images. The profiler "
        "slows what has many small operations.\n",
    ]
    if not lines:
        return "\n".join([*parts, "Not measured.\n"])
    parts += ["| share | " + " | ".join(lines) + " |", "|---" * (len(lines) + 1) + "|"]
    for kind in next(iter(lines.values()))["shares"]:
        parts.append(f"| {kind} | " + " | ".join(f"{line['shares'][kind]:.0f} %" for line in lines.values()) + " |")
    parts.append("| one step | " + " | ".join(f"{number(line['figure'])} s" for line in lines.values()) + " |")
    return "\n".join(parts) + "\n"


def growth(newest: dict[tuple[str, str], Line]) -> str:
    """Write how time and memory grow with the size and the number of frames."""
    parts = [
        "\n## How cost grows\n",
        "`compact` applied. The time per megapixel should not depend on the size of a frame, the time per frame not on "
        "their number. Memory is the most that the process ever had; what it had before there was a movie, mostly "
        "PyTorch itself, stands in brackets.\n",
        "| device | frame [px] | frames of the movie | time per frame [ms] | spread | time per megapixel [s] "
        "| memory [MiB] | GPU memory [MiB] |",
        "|---" * 8 + "|",
    ]
    for device in DEVICES:
        parts += [growth_cells(device, *case, newest.get((device, growth_row(*case)))) for case in GROWTH]
    return "\n".join(parts)


def growth_cells(device: str, size_px: int, frames: int, line: Line | None) -> str:
    label = DEVICES[device]
    if line is None:
        return f"| {label} | {size_px}² | {frames} | not measured | – | – | – | – |"
    gpu = str(line["gpu_mib"]) if device == "cuda" else "–"
    return (
        f"| {label} | {size_px}² | {frames} | {number(line['figure'])} | {number(line['low'])}–{number(line['high'])} "
        f"| {number(line['s_per_mpx'])} | {line['peak_mib']} ({line['before_mib']}) | {gpu} |"
    )
