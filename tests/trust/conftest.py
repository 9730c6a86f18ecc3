"""A simulated movie with its truth, and a denoiser that needs no training."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_noise2atom.settings import MovieSettings, Settings
from napari_noise2atom.simulate.noisy import simulate_movie

MOVIE = MovieSettings(frames=8, size_px=64, clusters=1, single_atoms=4, seed=2)


@pytest.fixture(scope="session")
def simulated():
    return simulate_movie(MOVIE)


@pytest.fixture
def settings():
    """What a movie like the simulated one tells."""
    return Settings(scene=MOVIE.scene, detector=MOVIE.detector)


@pytest.fixture
def smooth():
    """Return a movie smoothed along all axes so that a single atom is about a third high; it knows the detector."""
    detector, scene = MOVIE.detector, MOVIE.scene

    def denoise(movie):
        grey = gaussian_filter(movie.frames(range(len(movie))), (1, 2, 2))
        electrons = (grey - detector.offset_counts) / detector.gain_counts - scene.background_e
        return movie.with_data(np.clip(electrons / (2 * scene.atom_peak_e), 0, 1))

    return denoise
