from collections.abc import Callable
from functools import cache

import pytest

from napari_noise2atom.settings import DetectorSettings, MovieSettings, SceneSettings
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
