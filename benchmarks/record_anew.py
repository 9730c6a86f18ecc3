"""Record a movie of known truth anew: on a wedge or a crystal, fast or oval atoms, other doses, smoothed, unsteady.

    python benchmarks/record_anew.py FOLDER -o PLACE

FOLDER holds a truth.npz; PLACE gets a folder like it, with noisy.tif and truth.npz, for each condition. `quality.py`
takes their names. So methods meet atoms and films that this package has not simulated, in more than one movie.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from quality_movies import DETECTOR
from scipy.ndimage import binary_dilation, gaussian_filter, gaussian_filter1d, shift

from napari_noise2atom.io import write_movie
from napari_noise2atom.metrics import load_truth
from napari_noise2atom.movie import Movie
from napari_noise2atom.simulate.detector import record
from napari_noise2atom.simulate.noisy import SimulatedMovie

FRAMES_PER_S = 15
WEDGE = 0.5, 4.0
"""Thickness of the film at both edges, relative to what it was."""
EVERY = 6
"""Frames that fast atoms skip."""
ASTIGMATISM_PX = 1.6
"""Width that spots gain along y, where they become twice as wide in variance."""
FRINGE_PX, FRINGES = 7.0, 0.8
"""Distance of the rows of atoms of a crystalline film, and how much of its brightness they take and give."""
SEEN_ATOMS = 1.6
"""A film is not brighter than so many times its median; atoms that hardly moved are."""
MARGIN_PX = 6
ELSEWHERE_PX = 50, 60
"""From where the film below such atoms is taken."""
FILTER_PX = 0.7
"""Standard deviation of the filter through which frames went."""
DOSE, OFFSET_E, LINES_E = 0.2, 0.3, 0.15
"""By how much the dose and the offset of frames and the offset of lines differ where they flicker."""
JUMP_PX, EDGE_PX = 1.0, 8
"""Standard deviation per axis of the jumps of whole frames, and what is cut off at their edges, which come in sight."""

Clean = NDArray[np.float32]
Positions = NDArray[np.generic]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    options = parser.parse_args()
    truth = load_truth(options.folder / "truth.npz")
    for number, (condition, change) in enumerate(CONDITIONS.items(), start=1):
        clean, positions = change(np.asarray(truth.clean, np.float32), np.asarray(truth.positions))
        rng = np.random.default_rng(number)
        name = f"{options.folder.name}_{condition}"
        noisy = RECORDED.get(condition, recorded)(clean, rng).round().astype(np.uint16)
        movie = Movie(noisy, truth.pixel_size_nm, 1 / FRAMES_PER_S, name=name)
        place = options.output / name
        place.mkdir(parents=True, exist_ok=True)
        write_movie(movie, place / "noisy.tif")
        SimulatedMovie(movie, clean, positions).save_truth(place / "truth.npz")
        print(f"{place}: {clean.mean():.3f} electrons per pixel")


def wedge(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Make the film a wedge; atoms stay as they are."""
    film = film_of(clean)
    ramp = np.linspace(*WEDGE, clean.shape[2], dtype=np.float32)
    return clean + (ramp - 1) * film, positions


def film_of(clean: Clean) -> Clean:
    """Return what is always there but atoms."""
    film = np.percentile(clean, 5, axis=0).astype(np.float32)
    atoms = binary_dilation(film > SEEN_ATOMS * np.median(film), iterations=MARGIN_PX)
    return np.where(atoms, np.roll(film, ELSEWHERE_PX, (0, 1)), film)


def fast(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Let atoms move so many times as fast: forwards through each sixth frame, back through those beside them, …"""
    rows = [np.arange(first, len(clean), EVERY)[:: -1 if first % 2 else 1] for first in range(EVERY)]
    order = np.concatenate(rows)
    return clean[order], positions[order]


def astigmatic(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Make atoms oval, which no simulated ones are."""
    return gaussian_filter1d(clean, ASTIGMATISM_PX, axis=1), positions


def crystal(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Give the film a lattice, which no simulated one has; atoms stay as they are."""
    y, x = 2 * np.pi / FRINGE_PX * np.indices(clean.shape[1:], np.float32)
    lattice = np.cos(x) * np.cos(0.5 * x + np.sqrt(0.75) * y)
    return clean + np.float32(FRINGES) * lattice * film_of(clean), positions


def jumping(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    """Let whole frames jump to and fro, and atoms with them."""
    jumps = np.random.default_rng(0).normal(0, JUMP_PX, (len(clean), 2))
    frames = np.stack([_shifted(frame, jump, 3) for frame, jump in zip(clean, jumps, strict=True)])
    view = slice(EDGE_PX, -EDGE_PX)
    return np.maximum(frames[:, view, view], 0), positions + jumps[:, None] - EDGE_PX


def at_dose(share: float) -> Callable[[Clean, Positions], tuple[Clean, Positions]]:
    """Return what changes the dose."""
    return lambda clean, positions: (np.float32(share) * clean, positions)


def recorded(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return frames as they come from the detector."""
    return np.stack([record(frame, DETECTOR, rng) for frame in clean])


def filtered(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return frames that went through a Gaussian filter afterwards."""
    return gaussian_filter(recorded(clean, rng), (0, FILTER_PX, FILTER_PX))


def registered(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return frames that jumped by parts of a pixel, and were shifted back with linear interpolation."""
    jumps = rng.uniform(-0.5, 0.5, (len(clean), 2))
    jumping = np.stack([_shifted(frame, jump, 3) for frame, jump in zip(clean, jumps, strict=True)])
    noisy = recorded(np.maximum(jumping, 0), rng)
    return np.stack([_shifted(frame, -jump, 1) for frame, jump in zip(noisy, jumps, strict=True)])


def flickering(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return frames whose dose and offset jump, and lines that have noise of their own."""
    dose = np.maximum(1 + DOSE * rng.standard_normal((len(clean), 1, 1)), 0).astype(np.float32)
    frames, lines = rng.standard_normal((len(clean), 1, 1)), rng.standard_normal((*clean.shape[:2], 1))
    return recorded(dose * clean, rng) + DETECTOR.gain_counts * (OFFSET_E * frames + LINES_E * lines)


def _shifted(frame: NDArray[np.float32], by: NDArray[np.float64], order: Literal[1, 3]) -> NDArray[np.float32]:
    return shift(frame, by, order=order, mode="mirror")


CONDITIONS = {
    "wedge": wedge,
    "fast": fast,
    "low_dose": at_dose(0.4),
    "high_dose": at_dose(5.0),
    "astigmatic": astigmatic,
    "crystal": crystal,
    "filtered": at_dose(1.0),
    "registered": at_dose(1.0),
    "flickering": at_dose(1.0),
    "jumping": jumping,
}
"""By the end of the folder's name: what is recorded."""

RECORDED = {"filtered": filtered, "registered": registered, "flickering": flickering}
"""By the same: how it is recorded, and what is done with it afterwards."""


if __name__ == "__main__":
    main()
