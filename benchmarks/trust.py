"""How far atoms, noise test and residual can be believed: the figures of docs/trust.md, on movies of known truth.

Trains the preset compact on each movie, and prints what the page shows:

    python benchmarks/trust.py FOLDER... --minutes 8

A folder holds noisy.tif and truth.npz; names of `quality_movies.py` are taken, too.
"""

import argparse
from collections import Counter
from functools import partial

import numpy as np
from quality import load

from napari_noise2atom.baselines.noise2atom import train_to_end
from napari_noise2atom.cli.overrides import override
from napari_noise2atom.estimate import propose
from napari_noise2atom.inference import denoise
from napari_noise2atom.metrics import Truth, find_atoms, match_atoms, score_movie
from napari_noise2atom.metrics.atoms import inside
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import Settings, preset
from napari_noise2atom.simulate.clean import lost_width_px
from napari_noise2atom.trust import Atoms, atom_threshold, measure_atoms, measure_residual, noise_test, null_movie
from napari_noise2atom.trust.confidence import Denoise
from napari_noise2atom.trust.noisetest import MOST_FRAMES, spread_frames
from napari_noise2atom.trust.nulls import shuffle_segments
from napari_noise2atom.trust.residual import LAGS_PX, autocovariance

LOW_THRESHOLD = 0.03
"""One that lets noise through."""
LASTING_FRAMES = 5
SEGMENTS_PX = (1, 2, 4, 8, 16, 32, 64)
NEAR_PX, FAR_PX = 2.5, 5.0


def main() -> None:
    options = parse()
    for name in options.movies:
        movie, truth = load(name)
        print(f"\n{movie.name} of {name}", flush=True)
        run = {"max_minutes": options.minutes, "threads": options.threads, "seed": 0}
        settings = override(propose(movie, preset("compact"))[0], {"run": run})
        model, other = (train(movie, settings, seed, options.threads) for seed in (0, 1))
        denoised = movie.with_data(np.asarray(model(movie).data))
        thresholds(denoised, movie, truth, settings)
        noise(movie, model, denoised, truth, settings)
        segments(movie, model, settings)
        atoms = measure_atoms(movie, model, settings)
        confidence("confidence", atoms, truth)
        confidence(
            f"confidence, threshold {LOW_THRESHOLD}", measure_atoms(movie, model, settings, threshold=0.03), truth
        )
        confidence("confidence with a second model", measure_atoms(movie, model, settings, second=other), truth)
        trajectories(atoms, truth)
        residual(movie, denoised, settings)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("movies", nargs="+")
    parser.add_argument("--minutes", type=float, default=8, help="time of a training")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def train(movie: Movie, settings: Settings, seed: int, threads: int) -> Denoise:
    seeded = override(settings, {"run": {"seed": seed}})
    return partial(denoise, model=train_to_end(movie, seeded, lambda share: None), threads=threads)


def thresholds(denoised: Movie, movie: Movie, truth: Truth, settings: Settings) -> None:
    best = score_movie(denoised, raw=movie, truth=truth).summary
    precision, recall = right_share(denoised, truth, settings, NEAR_PX)
    print(f"best F1 {best['f1']:.3f} at {best['threshold']:.3f}", end="; ")
    print(f"F1 {2 * precision * recall / (precision + recall):.3f} at {atom_threshold(settings):.3f}", end=": ")
    print(f"precision {precision:.3f}, recall {recall:.3f}; error {best['error_px']:.2f} px", flush=True)


def right_share(denoised: Movie, truth: Truth, settings: Settings, radius_px: float) -> tuple[float, float]:
    """Return precision and recall at the threshold of an atom."""
    pairs = found = there = 0
    for index in range(len(denoised)):
        atoms = find_atoms(denoised.frame(index), atom_threshold(settings))
        known = inside(truth.positions[index], denoised.shape[1:])
        pairs += len(match_atoms(atoms, known, radius_px))
        found, there = found + len(atoms), there + len(known)
    return pairs / found, pairs / there


def noise(movie: Movie, model: Denoise, denoised: Movie, truth: Truth, settings: Settings) -> None:
    test = noise_test(movie, model, settings)
    print(f"found {test.real.mean():.1f} a frame", end="")
    for kind, counts in test.nulls.items():
        print(f"; {kind} {counts.mean():.2f}, {test.false_discovery_rate(kind):.1%}", end="")
    near, far = (1 - right_share(denoised, truth, settings, radius)[0] for radius in (NEAR_PX, FAR_PX))
    print(f"; false in truth {near:.1%} at {NEAR_PX} px, {far:.1%} at {FAR_PX} px", flush=True)


def segments(movie: Movie, model: Denoise, settings: Settings) -> None:
    """Print what segments of other lengths keep of the noise, and how many atoms are found in their movies."""
    frames = spread_frames(movie, MOST_FRAMES)
    for length in SEGMENTS_PX:
        shuffled = [
            shuffle_segments(movie.frame(index), np.random.default_rng((settings.run.seed, index)), length)
            for index in range(len(movie))
        ]
        denoised = model(movie.with_data(np.stack(shuffled)))
        found = np.mean([len(find_atoms(denoised.frame(index), atom_threshold(settings))) for index in frames])
        print(f"segments of {length} px: {of_neighbours(autocorrelation(shuffled))}; {found:.1f} atoms a frame")
    print(f"the movie: {of_neighbours(autocorrelation(list(movie.data)))}", flush=True)


def autocorrelation(frames: list[np.ndarray]) -> np.ndarray:
    """Return that of every eighth frame, mean."""
    covariance = np.mean([autocovariance(frame) for frame in frames[::8]], axis=0)
    return np.asarray(covariance / covariance[LAGS_PX, LAGS_PX])


def of_neighbours(correlation: np.ndarray) -> str:
    along_x, along_y = correlation[LAGS_PX, LAGS_PX + 1], correlation[LAGS_PX + 1, LAGS_PX]
    return f"neighbours correlate by {along_x:.2f} along x, {along_y:.2f} along y"


def right_ones(atoms: Atoms, truth: Truth, radius_px: float = NEAR_PX) -> np.ndarray:
    """Return the number of the true atom of each found one, -1 for false ones."""
    partner = np.full(len(atoms), -1)
    for index in range(atoms.frames):
        here = np.flatnonzero(atoms.frame == index)
        numbers = np.flatnonzero(np.isfinite(truth.positions[index]).all(axis=1))
        places = np.stack([atoms.y_px[here], atoms.x_px[here]], axis=1)
        pairs = match_atoms(places, truth.positions[index][numbers], radius_px)
        partner[here[pairs[:, 0]]] = numbers[pairs[:, 1]]
    return partner


def confidence(title: str, atoms: Atoms, truth: Truth) -> None:
    right = right_ones(atoms, truth) >= 0
    levels = np.round(atoms.confidence, 1)
    for level in np.unique(levels):
        print(f"{title} {level}: {right[levels == level].mean():.2f} of {(levels == level).sum()}", flush=True)


def trajectories(atoms: Atoms, truth: Truth) -> None:
    partner = right_ones(atoms, truth)
    belonging = 0
    for track in np.unique(atoms.track):
        real = Counter(partner[(atoms.track == track) & (partner >= 0)].tolist())
        belonging += max(real.values(), default=0)
    lengths = np.bincount(atoms.track)
    lasting = int((lengths >= LASTING_FRAMES).sum())
    print(f"{(lengths > 0).sum()} trajectories, {lasting} of {LASTING_FRAMES} frames or more", end=", ")
    print(f"{truth.positions.shape[1]} atoms, {belonging / len(atoms):.0%} of finds on one of their own", flush=True)


def residual(movie: Movie, denoised: Movie, settings: Settings) -> None:
    found = measure_residual(movie, denoised, blur_px=lost_width_px(settings.simulation)).autocorrelation
    null = np.asarray(null_movie("noise model", movie, settings).data)
    print(f"residual: {of_neighbours(found)}; noise alone: {of_neighbours(autocorrelation(list(null)))}", flush=True)


if __name__ == "__main__":
    main()
