"""What unsteady and altered frames do to what is measured of a movie, and to the result: tables of docs/estimates.md.

    python benchmarks/disturbances.py FOLDER

FOLDER holds a truth.npz, whose clean frames are recorded anew in each condition. Without --minutes nothing is trained,
but the weights with which a warm start begins are applied. What is in brackets is without what the program does about
the condition, but with what it measured.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ends import pretrained
from numpy.typing import NDArray
from quality_movies import DETECTOR
from record_anew import (
    Change,
    Clean,
    Condition,
    Positions,
    astigmatic,
    at_dose,
    filtered,
    flickering,
    jumping,
    moved,
    recorded,
    registered,
)
from scipy.ndimage import uniform_filter1d
from scipy.special import expit

from napari_noise2atom.baselines.noise2atom import apply, train_to_end
from napari_noise2atom.cli.overrides import override
from napari_noise2atom.estimate import propose
from napari_noise2atom.metrics import Truth, load_truth, score_movie
from napari_noise2atom.settings import CompareSettings, Settings, preset
from napari_noise2atom.simulate.noisy import SimulatedMovie

FOUND = {
    "spot_variance_px2": ("variance [px²]", ".2f"),
    "atom_peak_e": ("peak [e]", ".2f"),
    "gain_counts": ("gain", ".0f"),
    "step_px": ("step [px]", ".2f"),
    "jump_px": ("jumps [px]", ".2f"),
}
SCORES = {
    "f1": ("F1", ".3f"),
    "error_px": ("error [px]", ".2f"),
    "false_per_frame": ("false atoms a frame", ".2f"),
    "css": ("CSS", ".3f"),
}
"""What is shown, with its heading and the digits."""
FILM_E = 0.9
"""Electrons of more film in a pixel, beside which the flicker of the dose shows."""
SPIKES, SPIKES_E = 3, (15, 150)
"""In a frame, and how bright."""
VIEW_EDGE_PX, SPEED_PX = 16, 1.2
"""Margin within which a view goes to and fro along each axis, and how fast, per frame."""
STAGE_PX, STAGE_FRAMES = 6, 6
"""How far from the middle, along each axis, a stage stays for so many frames, here and there in turn."""
EDGE_WAVE_PX, EDGE_PERIOD_PX, EDGE_BLUR_PX = 6, 20, 1.5
"""How the edge of a sample that ends winds, and how sharp it is."""


@dataclass(frozen=True)
class Disturbance:
    """A condition, and the settings without what the program does about it."""

    condition: Condition
    untreated: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def main() -> None:
    options = parse()
    truth = load_truth(options.folder / "truth.npz")
    headings = [heading for heading, _ in (FOUND | SCORES).values()]
    print("| what |", " | ".join(headings), "| CSS of the truth |")
    print("|---" * (2 + len(headings)) + "|")
    for number, (title, disturbance) in enumerate(DISTURBANCES.items(), start=1):
        if title in options.only:
            movie = disturbance.condition.of(truth, np.random.default_rng(number), title)
            print(f"| {title} |", row(movie, disturbance.untreated, options), "|", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=DISTURBANCES, default=DISTURBANCES, metavar="WHAT")
    parser.add_argument("--minutes", type=float, help="time of a training of compact")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def row(movie: SimulatedMovie, untreated: Mapping[str, Any], options: argparse.Namespace) -> str:
    """Return what is found, and the scores, also without what is done about it."""
    settings, estimate = propose(movie.noisy, preset("compact"))
    found = [format(getattr(estimate, name), digits) for name, (_, digits) in FOUND.items()]
    scores = with_settings(movie, settings, options)
    if untreated:
        without = with_settings(movie, override(settings, untreated), options)
        scores = [f"{value} ({other})" for value, other in zip(scores, without, strict=True)]
    clean = score_movie(movie.noisy.with_data(movie.clean)).summary
    return " | ".join([*found, *scores, format(clean["css"], SCORES["css"][1])])


def with_settings(movie: SimulatedMovie, settings: Settings, options: argparse.Namespace) -> list[str]:
    if options.minutes:
        run = {"max_minutes": options.minutes, "threads": options.threads}
        model = train_to_end(movie.noisy, override(settings, {"run": run}), lambda share: None)
    else:
        model = pretrained(movie.noisy, settings)
    denoised = apply(movie.noisy, model, CompareSettings(threads=options.threads), lambda share: None)
    truth = Truth(movie.clean, movie.positions, movie.noisy.pixel_size_nm)
    summary = score_movie(movie.noisy.with_data(denoised), raw=movie.noisy, truth=truth).summary
    return [format(summary[name], digits) for name, (_, digits) in SCORES.items()]


def both(first: Change, second: Change) -> Change:
    return lambda clean, positions: second(*first(clean, positions))


def more_film(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    return clean + np.float32(FILM_E), positions


def half_empty(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Let the sample end in the middle of the frame, at a wavy edge."""

    def edge(y: NDArray[np.generic]) -> NDArray[np.float64]:
        return clean.shape[2] / 2 + EDGE_WAVE_PX * np.sin(y / EDGE_PERIOD_PX)

    y, x = np.indices(clean.shape[1:])
    there = positions[..., 1] < edge(positions[..., 0])
    share = expit((edge(y) - x) / EDGE_BLUR_PX).astype(np.float32)
    return clean * share, np.where(there[..., None], positions, np.nan)


def half_the_dose_at_last(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    return clean * np.linspace(1, 0.5, len(clean), dtype=np.float32)[:, None, None], positions


def to_and_fro(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Let the view go over the sample at a steady speed, and turn round at the margin."""
    way = SPEED_PX * np.arange(len(clean)) / np.sqrt(2)
    place = VIEW_EDGE_PX - np.abs(way % (4 * VIEW_EDGE_PX) - 2 * VIEW_EDGE_PX)
    return moved(np.stack([place, place], axis=1), VIEW_EDGE_PX)(clean, positions)


def by_the_stage(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Let the sample jump far, and stay there for some frames."""
    place = STAGE_PX * np.where(np.arange(len(clean)) // STAGE_FRAMES % 2, -1.0, 1.0)
    return moved(np.stack([place, place], axis=1), STAGE_PX)(clean, positions)


def spiky(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return frames with single bright pixels, as X-rays make them."""
    noisy = recorded(clean, rng)
    for frame in noisy:
        pixels = rng.choice(frame.size, SPIKES, replace=False)
        frame.flat[pixels] += DETECTOR.gain_counts * rng.uniform(*SPIKES_E, SPIKES)
    return noisy


def running_mean(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    return uniform_filter1d(recorded(clean, rng), 3, axis=0)


def each_twice(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.repeat(recorded(clean[::2], rng), 2, axis=0)[: len(clean)]


JUMPS_LEFT = {"network": {"jump_px": 0}}
LEVELS_LEFT = {"network": {"levelled": False}}
DRIFT_LEFT = {"network": {"aligned": False}}

DISTURBANCES = {
    "nothing": Disturbance(Condition()),
    "0.4 times the dose": Disturbance(Condition(at_dose(0.4))),
    "jumps of 0.5 px": Disturbance(Condition(jumping(0.5)), JUMPS_LEFT),
    "jumps of 1 px": Disturbance(Condition(jumping(1)), JUMPS_LEFT),
    "jumps of 2 px": Disturbance(Condition(jumping(2)), JUMPS_LEFT),
    "jumps of 1 px at 0.4 times the dose": Disturbance(Condition(both(jumping(1), at_dose(0.4))), JUMPS_LEFT),
    "a drift of 1.2 px that turns round": Disturbance(Condition(to_and_fro), DRIFT_LEFT),
    "a stage that moves by 17 px every six frames": Disturbance(Condition(by_the_stage)),
    "an offset that jumps by 0.5 e": Disturbance(Condition(record=flickering(offset_e=0.5)), LEVELS_LEFT),
    "0.9 e more film": Disturbance(Condition(more_film)),
    "the same, and a dose that jumps by 10 %": Disturbance(Condition(more_film, flickering(0.1)), LEVELS_LEFT),
    "the same, and a dose that jumps by 20 %": Disturbance(Condition(more_film, flickering(0.2)), LEVELS_LEFT),
    "a dose that jumps by 20 %": Disturbance(Condition(record=flickering(0.2))),
    "a dose that falls to half": Disturbance(Condition(half_the_dose_at_last)),
    "lines with 0.15 e of noise": Disturbance(Condition(record=flickering(lines_e=0.15))),
    "spikes": Disturbance(Condition(record=spiky)),
    "a Gaussian filter of 0.7 px": Disturbance(Condition(record=filtered(0.7))),
    "registered, linear interpolation": Disturbance(Condition(record=registered(1))),
    "registered, cubic interpolation": Disturbance(Condition(record=registered(3))),
    "a running mean of three frames": Disturbance(Condition(record=running_mean)),
    "each frame twice": Disturbance(Condition(record=each_twice)),
    "a sample that ends in the middle": Disturbance(Condition(half_empty)),
    "0.9 e more film, and the same": Disturbance(Condition(both(more_film, half_empty))),
    "oval atoms": Disturbance(Condition(astigmatic)),
}


if __name__ == "__main__":
    main()
