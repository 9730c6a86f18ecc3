"""How well a movie's properties are measured: the tables of docs/estimates.md, on simulated movies of known truth."""

import argparse
from collections.abc import Iterator

import numpy as np
from quality_limits import FROM_MEDIAN
from quality_movies import MOVIES, simulated
from quality_movies import movie as quality_movie

from napari_noise2atom.estimate import Estimate, estimate
from napari_noise2atom.settings import DetectorSettings, MovieSettings, SceneSettings
from napari_noise2atom.simulate.noisy import simulate_movie

VARIANCES_PX2 = (1, 2, 3, 5, 7, 10, 14, 20)
PARTICLES = {name: MOVIES[name] for name in ("particle", "dim particle")} | {
    "fine pixels, 256 px": quality_movie(
        12.4, 18.0, 0.0136, atom_peak_e=0.6, background_e=0.3, background_texture=0.2, walk_px=0.8,
        clusters=1, cluster_atoms=19, single_atoms=20,
    ).model_copy(update={"size_px": 256, "frames": 40})
}  # fmt: skip
"""Crystals with single atoms beside them."""
UNSATURATED = DetectorSettings(gain_counts=300, saturation_counts=65535)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="movies per case")
    seeds = range(parser.parse_args().seeds)
    within = []
    for title, movies in cases().items():
        print(f"\nSpot variance, {title}: error [%] of each seed")
        for variance, movie in movies:
            errors = [round(100 * (measure(movie, seed).spot_variance_px2 / variance - 1)) for seed in seeds]
            within += [abs(error) <= 15 for error in errors]
            print(f"  {variance:>2} px²  {errors}", flush=True)
    print(f"\n{sum(within)} of {len(within)} errors are at most 15 %.")
    print("\nDim atoms of variance 2.6 px²: variance [px²], brightness and number relative to the truth, of each seed")
    for title, movie in dim_movies():
        print(f"  {title}: ", *(dim_line(movie, seed) for seed in seeds), flush=True)
    print("\nColumns: atoms in the thickest, brightness of a single atom relative to the truth, of each seed")
    for name, particle in PARTICLES.items():
        for thickest in (1, 2, 3, 4, 7, 10, 15):
            scene = particle.scene.model_copy(update={"column_atoms": thickest})
            columns = particle.model_copy(update={"scene": scene})
            print(f"  {name}, {thickest} atoms: ", *(columns_line(columns, seed) for seed in seeds), flush=True)
    print("\nNumber of spots and motion relative to the truth on the movies of the quality benchmark, of seeds 0 and 1")
    for name, movie in MOVIES.items():
        print(f"  {name}: ", *(numbers(movie, seed) for seed in (0, 1)), flush=True)
    print("\nDrift on these movies [px per frame]")
    for name in MOVIES:
        print(f"  {name}: {estimate(simulated(name).noisy).drift_px:.2f}", flush=True)
    print("\nSample movie, 1 % of its pixels saturated (gain 1200, offset 115, background 0.6 e, variance 7 px²):")
    for seed in seeds:
        found = measure(MovieSettings(), seed)
        print(
            f"  seed {seed}: gain {found.gain_counts:.0f}, offset {found.offset_counts:.0f}, "
            f"background {found.background_e:.2f} e, variance {found.spot_variance_px2:.1f} px²"
        )


def cases() -> dict[str, list[tuple[int, MovieSettings]]]:
    """Return the movies by title, each with its true variance."""
    return {
        "clusters with bonds of 5.8 σ": list(clusters(5.8, VARIANCES_PX2)),
        "crowded clusters with bonds of 4 σ": list(clusters(4.0, VARIANCES_PX2[4:])),
        "20 single atoms": [(v, movie(v, max(2, 5 / v), clusters=0, single_atoms=20)) for v in VARIANCES_PX2],
    }


def clusters(bond_sigmas: float, variances: tuple[int, ...]) -> Iterator[tuple[int, MovieSettings]]:
    for variance in variances:
        yield variance, movie(variance, max(1, 5 / variance), bond_px=max(9.0, bond_sigmas * variance**0.5))


def movie(variance_px2: float, peak_e: float, **fields: float) -> MovieSettings:
    scene = SceneSettings(atom_peak_e=peak_e)
    values = {"spot_variance_px2": variance_px2, "scene": scene, "detector": UNSATURATED}
    return MovieSettings.model_validate(values | fields)


def dim_movies() -> Iterator[tuple[str, MovieSettings]]:
    """Return the movie *slow*, dimmer: on an even background, a wedge, with fast atoms, with large clusters."""
    for peak_e in (0.6, 0.45, 0.35, 0.25, 0.15):
        even, wedge = {"background_e": peak_e / 12}, {"background_e": 0.2, "background_gradient": 1.5}
        fast = even | {"walk_px": 2.0, "hop_probability": 0.02, "drift_px": 0.3}
        large = even | {"clusters": 3, "cluster_atoms": 13, "single_atoms": 6}
        for title, fields in {"even": even, "wedge": wedge, "fast": fast, "large clusters": large}.items():
            yield f"{peak_e} e, {title}", quality_movie(2.6, 9.2, **{"walk_px": 0.35, "atom_peak_e": peak_e} | fields)


def dim_line(settings: MovieSettings, seed: int) -> str:
    found, number, _ = spots_found(settings, seed)
    guess = "" if found.certain else " guessed"
    brightness = found.atom_peak_e / settings.scene.atom_peak_e
    return f"[{found.spot_variance_px2:.1f}, {brightness:.2f}, {number:.2f}{guess}]"


def columns_line(settings: MovieSettings, seed: int) -> str:
    found = measure(settings, seed)
    return f"[{found.column_atoms}, {found.atom_peak_e / settings.scene.atom_peak_e:.2f}]"


def numbers(settings: MovieSettings, seed: int) -> str:
    _, number, motion = spots_found(settings, seed)
    return f"[{number:.2f}, {motion:.2f}]"


def spots_found(settings: MovieSettings, seed: int) -> tuple[Estimate, float, float]:
    """Measure a movie; return with it the number of spots and their motion, relative to those of its atoms."""
    simulated = simulate_movie(settings.model_copy(update={"seed": seed}))
    found = estimate(simulated.noisy)
    atoms = np.isfinite(simulated.positions[..., 0]).sum(axis=1).mean()
    step_px = FROM_MEDIAN * np.nanmedian(np.abs(np.diff(simulated.positions, axis=0)))
    return found, float(found.atoms_per_frame / atoms), float(found.step_px / step_px)


def measure(settings: MovieSettings, seed: int) -> Estimate:
    return estimate(simulate_movie(settings.model_copy(update={"seed": seed})).noisy)


if __name__ == "__main__":
    main()
