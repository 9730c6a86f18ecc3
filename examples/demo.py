"""The whole way on a simulated movie: simulate, train, denoise, score against the truth, draw.

Everything is left in one folder. The first three steps are commands that can be typed just as well; they are shown.
"""

import argparse
import shlex
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from napari_noise2atom import cli
from napari_noise2atom.figure import Comparison, draw_comparison, read_history
from napari_noise2atom.io import read_movie
from napari_noise2atom.metrics import Scores, load_truth, score_movie, write_csv
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import MovieSettings

RUN_FILES = (
    "settings.json",
    "model.safetensors",
    "checkpoint.safetensors",
    "history.csv",
    "previews.tif",
    "environment.json",
)
COLUMNS = {"f1": "F1", "psnr_db": "PSNR (dB)", "css": "CSS", "false_per_frame": "false atoms per frame"}


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description="Simulate a movie, train on it, denoise, score and draw it.")
    parser.add_argument("--max-minutes", type=float, default=4.5, help="training time [min]")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything is left")
    options = parser.parse_args()
    folder: Path = options.folder
    movie, run, denoised = folder / "movie", folder / "run", folder / "denoised.tif"
    start = time.monotonic()

    for name in RUN_FILES:  # of an earlier demo; training never writes over a run
        (run / name).unlink(missing_ok=True)
    command("simulate", movie, "--overwrite")
    command("train", movie / "noisy.tif", "-o", run, "--preset", "compact", "--max-minutes", options.max_minutes)
    command("denoise", movie / "noisy.tif", "--model", run, "-o", denoised, "--overwrite")

    versions = load_versions(movie, denoised)
    truth = load_truth(movie / "truth.npz")
    scores = {title: score_movie(version, raw=versions["raw"], truth=truth) for title, version in versions.items()}
    write_csv(scores["denoised"], folder / "scores.csv")
    shown = ("raw", "denoised", "truth")
    comparison = Comparison({t: versions[t] for t in shown}, {t: scores[t].columns["css"] for t in shown})
    draw_comparison(comparison, read_history(run / "history.csv"), folder / "demo.png")

    print_summary(scores)
    print(f"\nDone in {(time.monotonic() - start) / 60:.1f} min. What is left:")
    for path, what in {
        folder / "demo.png": "frames, losses, CSS",
        folder / "scores.csv": "scores of every denoised frame",
        denoised: "denoised movie, opens in ImageJ and napari",
        run: "model, losses, previews, settings",
        movie: "noisy movie, clean movie, truth",
    }.items():
        print(f"  {path!s:<20} {what}")


def command(*words: object) -> None:
    """Show and run a command; a failure ends the demo."""
    arguments = [str(word) for word in words]
    print(f"\n$ noise2atom {shlex.join(arguments)}", flush=True)
    try:
        cli.main(arguments)
    except SystemExit as end:
        if end.code:
            raise


def load_versions(movie: Path, denoised: Path) -> dict[str, Movie]:
    """Return the movie raw, blurred as wide as an atom's spot, denoised, and as it is in truth."""
    raw = read_movie(movie / "noisy.tif")
    sigma_px = float(np.sqrt(MovieSettings().spot_variance_px2))
    blurred = gaussian_filter(raw.frames(range(len(raw))), (0, sigma_px, sigma_px))
    return {
        "raw": raw,
        "Gaussian 2-D": raw.with_data(blurred),
        "denoised": read_movie(denoised),
        "truth": read_movie(movie / "clean.tif"),
    }


def print_summary(scores: dict[str, Scores]) -> None:
    """Print the scores of all versions; the PSNR of the truth is infinite."""
    table = Table(title="Against the truth", title_justify="left")
    for heading in ("movie", *COLUMNS.values()):
        table.add_column(heading, justify="left" if heading == "movie" else "right")
    for title, score in scores.items():
        values = (score.summary[name] for name in COLUMNS)
        table.add_row(title, *("∞" if np.isinf(value) else f"{value:.3g}" for value in values))
    Console().print(table)


if __name__ == "__main__":
    main()
