"""How often a training ends inverted or blank, over many seeds: with the warm start, and by the cycle alone.

The warm start begins with the weights in the package, or with random ones; the cycle alone begins with random ones.

The paper saw one inverted mapping in ten runs (fig. 5), where the background was too strong. The movie here is such
a one: a background as bright as the atoms.
"""

import argparse

from quality_movies import MOVIES

from napari_noise2atom.cli.overrides import override
from napari_noise2atom.estimate import propose
from napari_noise2atom.events import Alarm, Finished
from napari_noise2atom.settings import Settings, preset
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.training import train

CASES = {
    "warm start of 150 steps, cycle of 40": {"steps": 150, "epochs": 2},
    "the same with random weights": {"steps": 150, "epochs": 2, "pretrained": False},
    "cycle of 200 alone": {"steps": 0, "epochs": 10},
    "the same without guards": {"steps": 0, "epochs": 10, "guards": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    slow = MOVIES["slow"]
    scene = slow.scene.model_copy(update={"background_e": slow.scene.atom_peak_e})
    movie = simulate_movie(slow.model_copy(update={"scene": scene})).noisy
    proposed, _ = propose(movie, preset("compact"))
    for title in options.cases:
        case = CASES[title]
        ends = [end(movie, shortened(proposed, seed, **case)) for seed in range(options.seeds)]
        correlations, repairs = zip(*ends, strict=True)
        inverted = sum(correlation < 0 for correlation in correlations)
        span = f"{min(correlations):.2f} to {max(correlations):.2f}"
        print(f"{title}: {inverted} of {len(ends)} inverted, correlation {span}, {sum(repairs)} repairs", flush=True)


def shortened(
    proposed: Settings, seed: int, steps: int, epochs: int, pretrained: bool = True, guards: bool = True
) -> Settings:
    changes = {
        "warm_start": {"steps": steps, "pretrained": pretrained},
        "training": {"epochs": epochs, "guards": guards},
        "run": {"seed": seed, "threads": 1},
    }
    return override(proposed, changes)


def end(movie, settings: Settings) -> tuple[float, int]:
    """Train; return the best model's low-pass correlation, and how often a useless mapping was repaired."""
    repairs = 0
    for event in train(movie, settings):
        repairs += isinstance(event, Alarm) and "; repaired: " in event.message
        if isinstance(event, Finished):
            last = event
    print(f"  seed {settings.run.seed}: {last.scores['low-pass correlation']:.3f}, {repairs} repairs", flush=True)
    return last.scores["low-pass correlation"], repairs


if __name__ == "__main__":
    main()
