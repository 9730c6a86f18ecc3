import pytest

from napari_noise2atom.estimate import propose
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import DetectorSettings, MovieSettings, Settings, preset
from napari_noise2atom.simulate.noisy import simulate_movie


@pytest.fixture(scope="session")
def movie() -> Movie:
    """A movie of 64 × 64 px with bright atoms."""
    scene = MovieSettings().scene.model_copy(update={"atom_peak_e": 5.0})
    detector = DetectorSettings(saturation_counts=65535)
    settings = MovieSettings(frames=12, size_px=64, clusters=1, single_atoms=8, scene=scene, detector=detector)
    return simulate_movie(settings).noisy


@pytest.fixture(scope="session")
def proposed(movie: Movie) -> Settings:
    """The compact preset as proposed for the movie."""
    return propose(movie, preset("compact"))[0]
