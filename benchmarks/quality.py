"""How well methods denoise movies whose atoms are known: the tables and the picture of docs/quality.md.

Each method on each movie, trained ones with several seeds, runs in a process of its own and adds a line to
results/quality.jsonl; what has a line there is not run again. Then the page is written anew from all lines. A whole run
takes hours; --movies, --methods and --seeds choose parts of it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor
from quality_limits import position_bound_px
from quality_movies import DETECTOR, MOVIES, simulated
from quality_report import write_report

from napari_noise2atom.baselines import METHODS
from napari_noise2atom.io import read_movie
from napari_noise2atom.metrics import Truth, find_atoms, load_truth, match_atoms, score_movie
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

RESULTS = Path(__file__).parent / "results"
TRUTH = "truth"
"""The clean movie itself, scored as if it were a method's result."""
NEIGHBOURS = 0, 6
"""Frames before and after one from which atoms could be located; `compact` sees six."""


def main() -> None:
    options = parse()
    if options.cell:
        print(json.dumps(run_cell(*options.cell, options)))
        return
    RESULTS.mkdir(exist_ok=True)
    for movie, method, seed in missing(options):
        print(f"{movie}, {method}, seed {seed}", flush=True)
        command = [sys.executable, __file__, *sys.argv[1:], "--cell", movie, method, str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"  failed: {done.stderr.strip().splitlines()[-1:]}", flush=True)
            continue
        line = done.stdout.strip().splitlines()[-1]
        with options.results.open("a") as file:
            file.write(line + "\n")
        print(f"  F1 {json.loads(line)['scores']['f1']:.3f}", flush=True)
    write_report(cells(options.results), RESULTS / "frames")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", nargs="+", default=list(MOVIES), help="names, or folders with noisy.tif, truth.npz")
    parser.add_argument("--methods", nargs="+", default=[TRUTH, *METHODS])
    parser.add_argument("--seeds", type=int, default=3, help="runs of a method that is trained")
    parser.add_argument("--minutes", type=float, default=8, help="time that a method may train")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "quality.jsonl")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def cells(results: Path) -> list[dict[str, Any]]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def missing(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    there = {(cell["movie"], cell["method"], cell["seed"]) for cell in cells(options.results)}
    for movie in options.movies:
        for method in options.methods:
            trained = method in METHODS and METHODS[method].trained
            for seed in range(options.seeds if trained else 1):
                if (Path(movie).name, method, seed) not in there:
                    yield movie, method, seed


def load(name: str) -> tuple[Movie, Truth]:
    if name in MOVIES:
        result = simulated(name)
        return result.noisy, Truth(result.clean, result.positions, result.noisy.pixel_size_nm)
    return read_movie(Path(name) / "noisy.tif"), load_truth(Path(name) / "truth.npz")


def run_cell(name: str, method: str, seed: str, options: argparse.Namespace) -> dict[str, Any]:
    """Denoise and score; return all that the report needs."""
    movie, truth = load(name)
    settings = CompareSettings(seed=int(seed), minutes=options.minutes, threads=options.threads)
    start = time.perf_counter()
    if method == TRUTH:
        denoised = np.asarray(truth.clean, np.float32)
    else:
        denoised = METHODS[method].denoise(movie, settings, lambda share: None)
    seconds = time.perf_counter() - start
    result = movie.with_data(denoised, method)
    scores = score_movie(result, raw=movie, truth=truth).summary
    more = false_in_halves(denoised, truth, scores["threshold"])
    if method == TRUTH:
        detector = MOVIES[name].detector if name in MOVIES else DETECTOR
        more |= {f"bound_{2 * n + 1}_px": position_bound_px(truth, detector, n) for n in NEIGHBOURS}
    frame = RESULTS / "frames" / f"{Path(name).name}-{method}-{seed}.npy"
    frame.parent.mkdir(parents=True, exist_ok=True)
    np.save(frame, denoised[len(denoised) // 2].astype(np.float16 if method != "raw" else np.float32))
    area_nm2 = np.prod(movie.shape[1:]) * truth.pixel_size_nm**2
    figures = scores | {"false_per_nm2": scores["false_per_frame"] / area_nm2} | more
    return {
        "movie": Path(name).name,
        "method": method,
        "seed": int(seed),
        "scores": {key: value if np.isfinite(value) else None for key, value in figures.items()},
        "seconds": round(seconds, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "minutes": options.minutes,
        "threads": options.threads,
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{processor()}, torch {torch.__version__}",
        "date": date.today().isoformat(),
    }


def false_in_halves(denoised: np.ndarray, truth: Truth, threshold: float) -> dict[str, float]:
    """Count false atoms per frame in the left half, where a wedge is thin, and in the right one."""
    middle = denoised.shape[2] / 2
    left = right = 0
    for frame, there in zip(denoised, truth.positions, strict=True):
        found = find_atoms(frame, threshold)
        known = there[np.isfinite(there[:, 0])]
        false = np.delete(found, match_atoms(found, known)[:, 0], axis=0)
        left += int((false[:, 1] < middle).sum())
        right += int((false[:, 1] >= middle).sum())
    return {"false_left": left / len(denoised), "false_right": right / len(denoised)}


if __name__ == "__main__":
    main()
