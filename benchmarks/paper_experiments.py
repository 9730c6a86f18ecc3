"""The paper's own experiments (fig. 1, 4, 5, 6) on movies whose atoms are known: docs/experiments.md and its pictures.

Each training, filter or truth is a cell, one line in results/experiments.jsonl; what has a line there is not run again.
Then the page is written anew from all lines. Without --minutes a training does all its steps, however busy the
computer is. The preset paper takes days without a GPU; the paper's losses, with the compact network, stand for it.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor
from paper_pictures import WINDOW_STEPS, case_of, stem
from paper_report import write_page
from quality import RESULTS, TRUTH, cells, false_in_halves
from quality_movies import MOVIES

from napari_noise2atom.baselines import METHODS
from napari_noise2atom.baselines.noise2atom import apply
from napari_noise2atom.estimate import propose
from napari_noise2atom.events import Alarm, Finished, Preview, Score
from napari_noise2atom.metrics import Truth, score_movie
from napari_noise2atom.modelfile import load_model
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import LowPass
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import CompareSettings, MovieSettings, Settings, preset
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.training import train
from napari_noise2atom.training.guards import find_failure
from napari_noise2atom.training.probe import ProbeScores
from napari_noise2atom.training.runfolder import RunFolder

THRESHOLDS = {"cycle": 0.05, "low-frequency cycle": 0.1}
"""Below which the paper calls a training converged."""
UPRIGHT = 0.5
"""Correlation of low-passed raw and denoised frames above which a result is upright."""
BLANK_SAMPLES = 256
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A training, a filter, or the truth."""

    recipe: str
    """Key of RECIPES, name of a method that needs no training, or the truth."""
    sampled_frames: int = 120
    guards: bool = True


@dataclass(frozen=True)
class Experiment:
    movie: MovieSettings
    cases: tuple[Case, ...]


def compact(movie: Movie) -> Settings:
    """Return the preset as ``noise2atom train`` uses it."""
    return propose(movie, preset("compact"))[0]


def cycle_alone(movie: Movie) -> Settings:
    """Return the same without warm start, for as many steps as in the paper."""
    return changed(compact(movie), warm_start={"steps": 0}, training={"epochs": preset("paper").training.epochs})


def losses_alone(movie: Movie) -> Settings:
    """Return the same without anything else that is not in the paper, but with the preset's weights and rates."""
    return changed(cycle_alone(movie), network={"frames_in": 1}, training={"masked_weight": 0.0, "pairs_weight": 0.0})


def published(movie: Movie) -> Settings:
    """Return the paper's training and clean images on the compact network; the movie is not asked.

    The clean images are the paper's in all but the size of the crop, with which their density stays the same.
    """
    small = changed(preset("compact"), network={"frames_in": 1}, simulation={"narrowing": 1.0}, warm_start={"steps": 0})
    return small.model_copy(update={"training": preset("paper").training})


RECIPES: dict[str, Callable[[Movie], Settings]] = {
    "compact": compact,
    "cycle alone": cycle_alone,
    "losses alone": losses_alone,
    "published": published,
}
FRAMES = (1, 2, 10, 50, 100)
"""The paper's numbers of images, and the fewest that a training takes."""
NOISY = MOVIES["low dose"]
SLOW = MOVIES["slow"]
BRIGHT = SLOW.model_copy(update={"scene": SLOW.scene.model_copy(update={"background_e": SLOW.scene.atom_peak_e})})
"""A background as bright as the atoms, as in inversion.py."""
RAW, CLEAN, GAUSSIAN = Case("raw"), Case(TRUTH), Case("gaussian-2d")
EXPERIMENTS = {
    "losses": Experiment(NOISY, tuple(map(Case, RECIPES))),
    "frames": Experiment(NOISY, (RAW, *(Case(r, n) for r in ("compact", "losses alone") for n in FRAMES), CLEAN)),
    "background": Experiment(
        BRIGHT,
        (
            RAW,
            Case("compact"),
            *(Case(r, guards=g) for r in ("cycle alone", "losses alone") for g in (True, False)),
            CLEAN,
        ),
    ),
    "gradient": Experiment(MOVIES["wedge"], (RAW, GAUSSIAN, Case("compact"), Case("losses alone"), CLEAN)),
}


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    home = RESULTS / "frames" / "quick" if options.quick else RESULTS
    lines, arrays = home / "experiments.jsonl", home / "frames" / "experiments"
    arrays.mkdir(parents=True, exist_ok=True)
    for name, case, seed in missing(options, cells(lines)):
        print(f"{name}: {case}, seed {seed}", flush=True)
        cell, kept = run_cell(name, case, seed, options)
        if kept:
            np.savez_compressed(arrays / f"{stem(name, asdict(case), seed)}.npz", **kept)
        with lines.open("a") as file:
            file.write(json.dumps(cell) + "\n")
        print(f"  {cell.get('refused') or summary(cell)}", flush=True)
    page = home / "experiments.md" if options.quick else Path(__file__).parents[1] / "docs" / "experiments.md"
    plan = {name: [asdict(case) for case in experiment.cases] for name, experiment in EXPERIMENTS.items()}
    write_page(page, plan, cells(lines), arrays)
    print(f"wrote {page}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", choices=EXPERIMENTS, default=list(EXPERIMENTS), help="without a name: the page only"
    )
    parser.add_argument("--minutes", type=float, default=0, help="most minutes of one training; 0 for all its steps")
    parser.add_argument("--seeds", type=int, default=1, help="runs of a training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="tiny settings and a page elsewhere, to test this file")
    return parser.parse_args()


def missing(options: argparse.Namespace, there: list[dict[str, Any]]) -> Iterator[tuple[str, Case, int]]:
    """Yield what has no line; delete a line to run it again."""
    done = {(cell["experiment"], *case_of(cell), cell["seed"]) for cell in there}
    for name in options.only:
        for case in EXPERIMENTS[name].cases:
            for seed in range(options.seeds if case.recipe in RECIPES else 1):
                if (name, *case_of(asdict(case)), seed) not in done:
                    yield name, case, seed


def summary(cell: dict[str, Any]) -> str:
    state = cell.get("training", {}).get("end_state", "")
    return f"F1 {cell['scores']['f1']:.3f} {state} ({cell['seconds']:.0f} s)"


def run_cell(name: str, case: Case, seed: int, options: argparse.Namespace) -> tuple[dict[str, Any], Arrays]:
    """Denoise and score; return the line, and what pictures need."""
    made = simulate_movie(tiny_movie(EXPERIMENTS[name].movie) if options.quick else EXPERIMENTS[name].movie)
    movie, truth = made.noisy, Truth(made.clean, made.positions, made.noisy.pixel_size_nm)
    start = time.perf_counter()
    cell: dict[str, Any] = {"experiment": name, **asdict(case), "seed": seed}
    arrays: Arrays = {}
    if case.recipe in RECIPES:
        try:
            cell["training"], denoised, arrays = train_and_denoise(movie, case, seed, options)
        except ValueError as error:
            return cell | {"refused": str(error).removeprefix(f"{movie.name}: ")} | conditions(options), {}
    elif case.recipe == TRUTH:
        denoised = np.asarray(truth.clean, np.float32)
    else:
        denoised = METHODS[case.recipe].denoise(movie, CompareSettings(threads=options.threads), lambda share: None)
    seconds = round(time.perf_counter() - start, 1)
    middle = len(denoised) // 2
    arrays["frames"] = denoised[middle : middle + 2].astype(np.float32)
    return cell | {"scores": scores(movie, truth, denoised), "seconds": seconds} | conditions(options), arrays


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "minutes": options.minutes,
        "threads": options.threads,
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{processor()}, torch {torch.__version__}",
        "date": date.today().isoformat(),
    }


def scores(movie: Movie, truth: Truth, denoised: np.ndarray) -> dict[str, float | None]:
    """Return all scores, and the false atoms per nm² and frame in the left half and in the right one."""
    figures = score_movie(movie.with_data(denoised, "denoised"), raw=movie, truth=truth).summary
    half_nm2 = np.prod(movie.shape[1:]) * truth.pixel_size_nm**2 / 2
    halves = false_in_halves(denoised, truth, figures["threshold"])
    figures |= {f"{side}_per_nm2": number / half_nm2 for side, number in halves.items()}
    return {name: float(value) if np.isfinite(value) else None for name, value in figures.items()}


def train_and_denoise(
    movie: Movie, case: Case, seed: int, options: argparse.Namespace
) -> tuple[dict[str, Any], np.ndarray, Arrays]:
    """Train, and denoise the whole movie with the model that is kept."""
    settings = settings_of(movie, case, seed, options)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        told, last_frame = follow(movie, settings, run)
        progress = RunFolder(run).load()[2]
        warm_steps = progress.step if progress.warm_steps is None else progress.warm_steps
        curves = read_curves(run / "history.csv", warm_steps)
        denoised = apply(movie, load_model(run), CompareSettings(threads=options.threads), lambda share: None)
    told |= {"warm_steps": warm_steps, "cycle_steps": progress.step - warm_steps}
    told |= {"repairs": progress.repairs, "losses": judged(curves), "blank": blank_losses(movie, settings)}
    return told, denoised, curves | {"end": last_frame}


def settings_of(movie: Movie, case: Case, seed: int, options: argparse.Namespace) -> Settings:
    """Return the recipe's settings; fewer frames are shown more often, so that the number of steps is the same."""
    settings = RECIPES[case.recipe](movie)
    per_epoch = [-(-frames // settings.training.batch_size) for frames in (120, case.sampled_frames)]
    epochs = round(settings.training.epochs * per_epoch[0] / per_epoch[1])
    run = {"seed": seed, "threads": options.threads, "max_minutes": options.minutes}
    frames = {"sampled_frames": case.sampled_frames, "epochs": epochs, "guards": case.guards}
    settings = changed(settings, training=frames, run=run)
    return tiny_training(settings) if options.quick else settings


def changed(settings: Settings, **groups: dict[str, Any]) -> Settings:
    """Return settings with some fields of some groups changed."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=fields) for name, fields in groups.items()}
    )


def tiny_movie(movie: MovieSettings) -> MovieSettings:
    return movie.model_copy(update={"frames": 16, "size_px": 64, "clusters": 2, "single_atoms": 4})


def tiny_training(settings: Settings) -> Settings:
    steps, epochs = min(4, settings.warm_start.steps), min(2, settings.training.epochs)
    return changed(settings, warm_start={"steps": steps}, training={"epochs": epochs})


def follow(movie: Movie, settings: Settings, run: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Train; return what was told, and the middle frame as the last weights, not the kept ones, denoise it."""
    alarms: Counter[str] = Counter()
    for event in train(movie, settings, run=run, shown=lambda: (len(movie) // 2,)):
        match event:
            case Alarm():
                alarms[event.kind] += 1
            case Score():
                end = event.values
            case Preview():
                last_frame = event.denoised[0]
            case Finished():
                finished = event
    told = {"reason": finished.reason, "alarms": dict(alarms), "end": end, "end_state": state(end, last_frame)}
    return told | {"kept": finished.scores, "kept_step": finished.best_step}, last_frame


def state(end: dict[str, float], last_frame: np.ndarray) -> str:
    """Name the end of a training as the guards would."""
    if failure := find_failure(ProbeScores(end, last_frame)):
        return {"collapse": "blank"}.get(failure.kind, failure.kind)
    return "upright" if end["low-pass correlation"] > UPRIGHT else "unclear"


def read_curves(path: Path, warm_steps: int) -> Arrays:
    """Read the two losses of the cycle from a run's history, by the number of the cycle's step."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "cycle" and row.get("cycle")]
    curves = {name: np.array([float(row[name]) for row in rows], np.float32) for name in THRESHOLDS}
    return curves | {"steps": np.array([int(row["step"]) - warm_steps for row in rows])}


def judged(curves: Arrays) -> dict[str, dict[str, float | None]]:
    """Return when each loss falls below its threshold for good, and its median at the end."""
    return {
        name: {
            "below_from": below_for_good(curves["steps"], curves[name], threshold),
            "at_end": float(np.median(curves[name][-WINDOW_STEPS:])) if len(curves[name]) else None,
        }
        for name, threshold in THRESHOLDS.items()
    }


def below_for_good(steps: np.ndarray, values: np.ndarray, threshold: float) -> int | None:
    """Return the step from which on the median of a window stays below a threshold."""
    if not len(values):
        return None
    window = min(WINDOW_STEPS, len(values))
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, window), axis=1)
    above = np.flatnonzero(medians >= threshold)
    if not len(above):
        return int(steps[0])
    return None if above[-1] == len(medians) - 1 else int(steps[above[-1] + window])


def blank_losses(movie: Movie, settings: Settings) -> dict[str, float]:
    """Return both losses of generators that have learned nothing: black images, and frames of one grey value."""
    clean = simulate_clean(BLANK_SAMPLES, settings.simulation, np.random.default_rng(0)).images
    frames = measure_normalisation(movie).apply(movie.frames(range(0, len(movie), 4)))
    low_pass = LowPass(settings.training.low_pass_px, settings.training.low_pass_variance_px2)
    smooth = low_pass(torch.from_numpy(frames[:, None])).numpy()
    return {
        "cycle": float((clean + 1).mean()),
        "low-frequency cycle": float(np.abs(smooth - np.median(smooth)).mean()),
    }


if __name__ == "__main__":
    main()
