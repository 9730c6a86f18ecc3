"""What a setting gains: trains on movies whose atoms are known, with some settings changed, and scores the results.

Most gains in docs/method.md are differences between two such runs, one of them without --set:

    python benchmarks/ablation.py --movies fast --minutes 4 --set warm_start.share=1 warm_start.batch_size=8
"""

import argparse

from quality import load
from quality_movies import MOVIES

from napari_noise2atom.baselines.noise2atom import apply, train_to_end
from napari_noise2atom.cli.overrides import assigned, override
from napari_noise2atom.estimate import propose
from napari_noise2atom.metrics import Truth, score_movie
from napari_noise2atom.modelfile import TrainedModel
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings, preset

SHOWN = ("f1", "precision", "recall", "error_px", "false_per_frame", "css", "psnr_db")


def main() -> None:
    options = parse()
    run = {"max_minutes": options.minutes, "threads": options.threads, "seed": options.seed}
    for name in options.movies:
        movie, truth = load(name)
        settings = override(propose(movie, preset(options.preset))[0], {"run": run}, assigned(options.set))
        model = train_to_end(movie, settings, lambda share: None)
        changes = " ".join(options.set) or "as it is"
        steps = model.provenance["steps"]
        print(f"{name}, {changes}: {steps} steps, {scores(movie, truth, model, options)}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", nargs="+", default=list(MOVIES), help="names, or folders with noisy.tif, truth.npz")
    parser.add_argument("--preset", default="compact")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="as of noise2atom train")
    parser.add_argument("--minutes", type=float, default=4, help="time of a training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def scores(movie: Movie, truth: Truth, model: TrainedModel, options: argparse.Namespace) -> str:
    denoised = apply(movie, model, CompareSettings(threads=options.threads), lambda share: None)
    summary = score_movie(movie.with_data(denoised, "denoised"), raw=movie, truth=truth).summary
    return ", ".join(f"{name} {summary[name]:.3f}" for name in SHOWN)


if __name__ == "__main__":
    main()
