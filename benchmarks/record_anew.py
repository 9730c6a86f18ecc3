"""Record a movie of known truth anew: on a wedge or a crystal, fast or oval atoms, other doses, smoothed, unsteady.

    python benchmarks/record_anew.py FOLDER -o PLACE

FOLDER holds a truth.npz; PLACE gets a folder like it, with noisy.tif and truth.npz, for each condition. `quality.py`
takes their names. So methods meet atoms and films that this package has not simulated, in more than one movie.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from quality_movies import DETECTOR
from scipy.ndimage import binary_dilation, gaussian_filter, gaussian_filter1d, shift

from napari_noise2atom.io import write_movie
from napari_noise2atom.metrics import Truth, load_truth
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
EDGE_PX = 8
"""What is cut off at the edges of frames that jump, as what is beyond them comes in sight."""

Clean = NDArray[np.float32]
Positions = NDArray[np.generic]
Change = Callable[[Clean, Positions], tuple[Clean, Positions]]
Recording = Callable[[Clean, np.random.Generator], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    options = parser.parse_args()
    truth = load_truth(options.folder / "truth.npz")
    for number, (title, condition) in enumerate(CONDITIONS.items(), start=1):
        name = f"{options.folder.name}_{title}"
        simulated = condition.of(truth, np.random.default_rng(number), name)
        place = options.output / name
        place.mkdir(parents=True, exist_ok=True)
        write_movie(simulated.noisy, place / "noisy.tif")
        simulated.save_truth(place / "truth.npz")
        print(f"{place}: {simulated.clean.mean():.3f} electrons per pixel")


def as_it_is(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
    return clean, positions


def recorded(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return frames as they come from the detector."""
    return np.stack([record(frame, DETECTOR, rng) for frame in clean])


@dataclass(frozen=True)
class Condition:
    """What is recorded, how, and what is done with the frames afterwards."""

    change: Change = as_it_is
    record: Recording = recorded

    def of(self, truth: Truth, rng: np.random.Generator, name: str) -> SimulatedMovie:
        clean, positions = self.change(np.asarray(truth.clean, np.float32), np.asarray(truth.positions))
        noisy = self.record(clean, rng).round().astype(np.uint16)
        return SimulatedMovie(Movie(noisy, truth.pixel_size_nm, 1 / FRAMES_PER_S, name=name), clean, positions)


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


def jumping(by_px: float) -> Change:
    """Let whole frames jump to and fro, and atoms with them; by_px is the standard deviation along an axis."""

    def change(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
        return moved(np.random.default_rng(0).normal(0, by_px, (len(clean), 2)), EDGE_PX)(clean, positions)

    return change


def moved(places: NDArray[np.float64], edge_px: int) -> Change:
    """Shift each frame with its atoms to a place of its own, and cut the edges off."""

    def change(clean: Clean, positions: Positions) -> tuple[Clean, Positions]:
        frames = np.stack([_shifted(frame, place, 3) for frame, place in zip(clean, places, strict=True)])
        view = slice(edge_px, -edge_px)
        return np.maximum(frames[:, view, view], 0), positions + places[:, None] - edge_px

    return change


def at_dose(share: float) -> Change:
    """Change the dose."""
    return lambda clean, positions: (np.float32(share) * clean, positions)


def filtered(by_px: float) -> Recording:
    """Let frames go through a Gaussian filter afterwards."""
    return lambda clean, rng: gaussian_filter(recorded(clean, rng), (0, by_px, by_px))


def registered(order: Literal[1, 3]) -> Recording:
    """Let frames jump by parts of a pixel, and shift them back, interpolating with splines of an order."""

    def record(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
        jumps = rng.uniform(-0.5, 0.5, (len(clean), 2))
        jumping = np.stack([_shifted(frame, jump, 3) for frame, jump in zip(clean, jumps, strict=True)])
        noisy = recorded(np.maximum(jumping, 0), rng)
        return np.stack([_shifted(frame, -jump, order) for frame, jump in zip(noisy, jumps, strict=True)])

    return record


def flickering(dose: float = 0.0, offset_e: float = 0.0, lines_e: float = 0.0) -> Recording:
    """Let the dose and the offset of frames jump, and lines have noise of their own."""

    def record(clean: Clean, rng: np.random.Generator) -> NDArray[np.float32]:
        doses = np.maximum(1 + dose * rng.standard_normal((len(clean), 1, 1)), 0).astype(np.float32)
        frames, lines = rng.standard_normal((len(clean), 1, 1)), rng.standard_normal((*clean.shape[:2], 1))
        return recorded(doses * clean, rng) + DETECTOR.gain_counts * (offset_e * frames + lines_e * lines)

    return record


def _shifted(frame: NDArray[np.float32], by: NDArray[np.float64], order: Literal[1, 3]) -> NDArray[np.float32]:
    return shift(frame, by, order=order, mode="mirror")


CONDITIONS = {
    "wedge": Condition(wedge),
    "fast": Condition(fast),
    "low_dose": Condition(at_dose(0.4)),
    "high_dose": Condition(at_dose(5.0)),
    "astigmatic": Condition(astigmatic),
    "crystal": Condition(crystal),
    "filtered": Condition(record=filtered(0.7)),
    "registered": Condition(record=registered(1)),
    "flickering": Condition(record=flickering(dose=0.2, offset_e=0.3, lines_e=0.15)),
    "jumping": Condition(jumping(1.0)),
}
"""By the end of the folder's name."""


if __name__ == "__main__":
    main()
