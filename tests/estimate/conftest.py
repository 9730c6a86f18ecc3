from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import DetectorSettings, MovieSettings, SceneSettings
from napari_noise2atom.simulate.detector import record
from napari_noise2atom.simulate.noisy import SimulatedMovie, simulate_movie

UNSATURATED = DetectorSettings(gain_counts=300, saturation_counts=65535)


@pytest.fixture(scope="session")
def simulated() -> Callable[..., SimulatedMovie]:
    """Simulate a movie of an unsaturated detector; fields of all three settings are given by name."""

    @cache
    def make(**values: float) -> SimulatedMovie:
        def changes(group: type) -> dict[str, float]:
            return {name: value for name, value in values.items() if name in group.model_fields}

        scene = SceneSettings(**changes(SceneSettings))
        detector = UNSATURATED.model_copy(update=changes(DetectorSettings))
        return simulate_movie(MovieSettings(**changes(MovieSettings), scene=scene, detector=detector))

    return make


@pytest.fixture(scope="session")
def half_empty() -> Callable[[SimulatedMovie, float], Movie]:
    """Record a simulated movie anew where the sample ends, and a share of the frame is empty."""

    def make(simulated: SimulatedMovie, share: float) -> Movie:
        clean = simulated.clean.copy()
        clean[:, :, round((1 - share) * clean.shape[2]) :] = 0
        rng = np.random.default_rng(0)
        return simulated.noisy.with_data(np.stack([record(frame, UNSATURATED, rng) for frame in clean]))

    return make
