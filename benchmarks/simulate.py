"""How fast clean images and noisy movies are simulated, on one core, against loops over images and pixels.

Set OMP_NUM_THREADS=1 for one core.
"""

import argparse
import math
import random
import time
from collections.abc import Callable

import numpy as np

from napari_noise2atom.settings import CleanSettings, MovieSettings
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.simulate.noisy import simulate_movie

LATTICE, CROP, KERNEL = 256, 128, 33


def gaussian_kernel(variance_px2: float) -> list[list[float]]:
    """Return the 33×33 kernel of unit peak."""
    centre = KERNEL // 2
    return [
        [math.exp(-((y - centre) ** 2 + (x - centre) ** 2) / (2 * variance_px2)) for x in range(KERNEL)]
        for y in range(KERNEL)
    ]


def image_by_loops(rng: random.Random) -> list[list[float]]:
    """Make one clean image as the paper says, pixel by pixel.

    The convolution is done the cheap way: the kernel is added at each occupied position, not at each of the 65 536 of
    the lattice, and only the part that falls on the crop.
    """
    kernel, reach, start = gaussian_kernel(rng.uniform(1, 10)), KERNEL // 2, (LATTICE - CROP) // 2
    image = [[-1.0] * CROP for _ in range(CROP)]
    for _ in range(rng.randint(75, 150)):
        top, left = (rng.randrange(LATTICE) - start - reach for _ in range(2))
        atoms = rng.randint(1, 4)
        for y in range(max(0, -top), min(KERNEL, CROP - top)):
            for x in range(max(0, -left), min(KERNEL, CROP - left)):
                image[top + y][left + x] += atoms / 2 * kernel[y][x]
    return [[min(value, 1.0) for value in row] for row in image]


def convolved_by_loops(rng: random.Random) -> list[list[float]]:
    """Make one clean image with the convolution as written: a sum over the kernel for each pixel of the crop."""
    kernel, reach, start = gaussian_kernel(rng.uniform(1, 10)), KERNEL // 2, (LATTICE - CROP) // 2
    lattice = [[0] * LATTICE for _ in range(LATTICE)]
    for _ in range(rng.randint(75, 150)):
        lattice[rng.randrange(LATTICE)][rng.randrange(LATTICE)] = rng.randint(1, 4)
    image = []
    for y in range(start - reach, start - reach + CROP):
        row = []
        for x in range(start - reach, start - reach + CROP):
            total = 0.0
            for dy in range(KERNEL):
                for dx in range(KERNEL):
                    total += lattice[y + dy][x + dx] * kernel[dy][dx]
            row.append(min(total / 2 - 1, 1.0))
        image.append(row)
    return image


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several timings [s]."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64, help="clean images per timing")
    parser.add_argument("--loop-images", type=int, default=5, help="clean images made by loops")
    parser.add_argument("--repeats", type=int, default=5, help="timings, of which the shortest counts")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    ours = best_seconds(lambda: simulate_clean(options.images, CleanSettings(), rng), options.repeats) / options.images
    print(f"simulate_clean              {1 / ours:10.1f} images/s")
    loops = {"convolution by loops": convolved_by_loops, "occupied positions by loops": image_by_loops}
    for name, by_loops in loops.items():
        rng_of_loops, start = random.Random(0), time.perf_counter()
        for _ in range(options.loop_images):
            by_loops(rng_of_loops)
        seconds = (time.perf_counter() - start) / options.loop_images
        print(f"{name:27s} {1 / seconds:10.3f} images/s: {seconds / ours:.0f} times slower")
    movie = MovieSettings()
    seconds = best_seconds(lambda: simulate_movie(movie), options.repeats)
    print(f"simulate_movie              {seconds:10.2f} s for {movie.frames} frames of {movie.size_px}² pixels")


if __name__ == "__main__":
    main()
