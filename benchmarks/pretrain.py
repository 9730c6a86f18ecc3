"""Makes the weights with which a warm start begins: the compact network, trained on simulated movies of all kinds.

Every step draws another movie: width, brightness, density and motion of its atoms, its film and its detector. What a
warm start then learns is a user's movie, not what an atom is.

Those in the package are of two runs, as five frames cost half as much as thirteen:

    python benchmarks/pretrain.py --frames 5 --out five.safetensors
    python benchmarks/pretrain.py --begin five.safetensors --steps 10000
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from napari_noise2atom.modelfile import Normalisation, load_tensors, save_tensors
from napari_noise2atom.networks import build_s2c, limited_threads, mixed_precision
from napari_noise2atom.settings import DetectorSettings, SceneSettings, Settings, preset
from napari_noise2atom.simulate.pairs import simulate_pairs
from napari_noise2atom.spikes import QUANTILES
from napari_noise2atom.training.learner import ADAM_DECAYS
from napari_noise2atom.training.pretrained import FIRST, pretrained_path

REPORT_STEPS = 500
LEARNING_RATE = 1e-3
RAMP_STEPS = 200
AVERAGE_DECAY = 0.999
MOST_GRADIENT = 1.0
"""Norm beyond which a step is shortened: movies differ in it by orders of magnitude."""
LEAST_VARIANCE = 3e-3
"""Of clean images, in units of the intensity squared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60_000, help="60000 take about an hour on one core")
    parser.add_argument("--frames", type=int, default=preset("compact").network.frames_in, help="that the network sees")
    parser.add_argument("--begin", type=Path, help="weights to go on from, of as many frames in, or fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file; where the package looks for it, if not given")
    options = parser.parse_args()
    with limited_threads(1):
        pretrain(options)


def pretrain(options: argparse.Namespace) -> None:
    """Train; the learning rate falls meanwhile."""
    base = preset("compact")
    base = base.model_copy(update={"network": base.network.model_copy(update={"frames_in": options.frames})})
    path = options.out or pretrained_path(base.network)
    torch.manual_seed(options.seed)
    s2c = build_s2c(base.network).to(memory_format=torch.channels_last)
    if options.begin:
        s2c.load_state_dict(widened(load_tensors(options.begin)[0], options.frames))
    average = copy.deepcopy(s2c).requires_grad_(False)
    optimiser = torch.optim.Adam(s2c.parameters(), betas=ADAM_DECAYS)
    losses = []
    for step in range(options.steps):
        noisy, clean = draw(base, np.random.default_rng((options.seed, step)))
        # in units of what there is to be explained: otherwise, movies with many bright atoms drown the others
        with mixed_precision(torch.device("cpu"), base.run.mixed_precision):
            loss = F.mse_loss(s2c(noisy), clean) / (clean.var() + LEAST_VARIANCE)
        falling = 0.5 + 0.5 * np.cos(np.pi * step / options.steps)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / RAMP_STEPS) * falling
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(s2c.parameters(), MOST_GRADIENT)
        optimiser.step()
        follow(average, s2c, min(AVERAGE_DECAY, (step + 1) / (step + 10)))
        losses.append(float(loss.detach()))
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == options.steps:
            print(f"step {step + 1}: unexplained {np.mean(losses[-REPORT_STEPS:]):.3f}", flush=True)
            save(average, step + 1, options.seed, path)


def widened(weights: dict[str, torch.Tensor], frames_in: int) -> dict[str, torch.Tensor]:
    """Return weights for more frames in, whose result is the same: the outer ones do not count yet."""
    first = weights[FIRST]
    more = (frames_in - first.shape[1]) // 2
    return weights | {FIRST: F.pad(first, (0, 0, 0, 0, more, more))}


def draw(base: Settings, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw pairs of a movie that no other step sees."""
    settings = any_movie(base, rng)
    pairs = simulate_pairs(settings.warm_start.batch_size, settings.warm_start.crop_px, settings, rng)
    low, high = np.quantile(pairs.noisy, QUANTILES)
    noisy = torch.from_numpy(Normalisation(float(low), float(high)).apply(pairs.noisy))
    return noisy.contiguous(memory_format=torch.channels_last), torch.from_numpy(pairs.clean[:, None])


@torch.no_grad()
def follow(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    for averaged, present in zip(average.parameters(), network.parameters(), strict=True):
        averaged.lerp_(present, 1 - decay)


def save(network: torch.nn.Module, steps: int, seed: int, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    weights = {name: weight.half().contiguous() for name, weight in network.state_dict().items()}
    save_tensors(path, weights, {"steps": steps, "seed": seed, "torch": torch.__version__})


def any_movie(base: Settings, rng: np.random.Generator) -> Settings:
    """Draw what a movie might tell: of spots of 1 to 5 px, from hardly visible to clear."""

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    variance = log_uniform(1, 25)
    sigma = variance**0.5
    peak = log_uniform(0.5, 20) / sigma
    density = log_uniform(0.004, 0.05) / variance * base.simulation.lattice_px**2
    clean = base.simulation.model_copy(
        update={
            "variance_min_px2": 0.87 * variance,
            "variance_max_px2": 1.15 * variance,
            "positions_min": max(1, round(density / 2)),
            "positions_max": max(2, round(density * 2)),
        }
    )
    background = peak * log_uniform(0.03, 1)
    scene = SceneSettings(
        atom_peak_e=peak,
        background_e=background,
        background_gradient=float(rng.uniform(0, 2) * (rng.random() < 0.5)),
        background_texture=float(rng.uniform(0, 0.3)),
        walk_px=sigma * log_uniform(0.1, 1.3),
    )
    gain = 100.0
    saturates = rng.random() < 0.2
    brightest = (1.2 * peak * log_uniform(1, 3) + background) * gain if saturates else 1e6 * gain
    detector = DetectorSettings(
        offset_counts=0,
        gain_counts=gain,
        pulse_shape=log_uniform(1.5, 20),
        afterglow=float(rng.uniform(0, 0.6)),
        read_noise_counts=gain * log_uniform(0.02, 0.6),
        floor_counts=-1e6 * gain,
        saturation_counts=brightest,
        line_jitter_px=base.detector.line_jitter_px,
    )
    return base.model_copy(update={"simulation": clean, "scene": scene, "detector": detector})


if __name__ == "__main__":
    main()
