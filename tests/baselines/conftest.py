import numpy as np
import pytest

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings, DetectorSettings, MovieSettings
from napari_noise2atom.simulate.noisy import simulate_movie


@pytest.fixture(scope="session")
def bright_movie() -> Movie:
    """A movie of 64 × 64 px with bright atoms, computed."""
    scene = MovieSettings().scene.model_copy(update={"atom_peak_e": 5.0})
    detector = DetectorSettings(saturation_counts=65535)
    settings = MovieSettings(frames=8, size_px=64, clusters=1, single_atoms=8, scene=scene, detector=detector)
    movie = simulate_movie(settings).noisy
    return movie.with_data(np.asarray(movie.data))


@pytest.fixture
def one_core() -> CompareSettings:
    """Settings for tests; no method needs all the minutes."""
    return CompareSettings(device="cpu", threads=1, minutes=60, seed=3)
