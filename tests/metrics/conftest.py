from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Spots = tuple[NDArray[np.float32], NDArray[np.float32]]


def draw(spots: list[tuple[float, float, float]], size: int) -> NDArray[np.float32]:
    """Draw Gaussian spots of variance 3 px² on a background of 1; a spot is y, x, height."""
    y, x = np.mgrid[:size, :size]
    image = np.ones((size, size))
    for row, column, height in spots:
        image += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 6)
    return image.astype(np.float32)


@pytest.fixture
def spot_movie() -> Callable[[int], Spots]:
    """Make frames with 5 bright atoms, 1 faint one, and some spots of middling brightness that are no atoms."""

    def make(false_spots: int) -> Spots:
        rng = np.random.default_rng(3)
        frames, positions = [], []
        for _ in range(4):
            places = np.array([(y, x) for y in (10, 25, 40, 54) for x in (9, 24, 39, 54)], float)
            places = rng.permutation(places) + rng.uniform(-0.4, 0.4, places.shape)
            heights = [10.0] * 5 + [3.0] + [5.0] * false_spots
            frames.append(draw([(y, x, h) for (y, x), h in zip(places, heights, strict=False)], 64))
            absent = np.full((1, 2), np.nan)
            positions.append(np.concatenate([places[:6], absent]))
        return np.stack(frames), np.stack(positions).astype(np.float32)

    return make
