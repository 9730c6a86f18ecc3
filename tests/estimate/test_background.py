import numpy as np
import pytest

from napari_noise2atom.estimate.background import measure_background
from napari_noise2atom.estimate.film import find_film
from napari_noise2atom.estimate.sample import sample_runs
from napari_noise2atom.simulate.background import wedge

OFFSET, GAIN = 115, 300


@pytest.mark.parametrize("background_e", [0.6, 2.0])
@pytest.mark.parametrize("gradient", [0.0, 0.5, 1.0])
def test_level_and_gradient_are_found_under_the_atoms(simulated, background_e, gradient):
    movie = simulated(background_e=background_e, background_gradient=gradient).noisy
    runs = sample_runs(movie)
    film = find_film(runs, OFFSET)
    assert film.all()
    found = measure_background(runs, 7, film)
    level = found.level_counts - OFFSET
    assert level == pytest.approx(GAIN * background_e, rel=0.15)
    assert found.gradient_counts / level == pytest.approx(gradient, abs=0.1)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_film_is_found_beside_vacuum_but_for_a_margin(simulated, half_empty, share):
    runs = sample_runs(half_empty(simulated(background_e=0.6), share))
    film = find_film(runs, OFFSET)
    edge = round((1 - share) * 128)
    assert not film[:, edge - 6 :].any()
    assert film[:, : edge - 20].all()
    found = measure_background(runs, 7, film)
    level = found.level_counts - OFFSET
    assert level == pytest.approx(GAIN * 0.6, rel=0.25)
    assert found.gradient_counts / level < 0.7


@pytest.mark.parametrize("angle", [-2.0, 0.0, 1.0, 3.0])
def test_a_plane_without_noise_is_found_exactly(angle):
    runs = np.broadcast_to(100 * wedge((40, 50), 0.6, angle), (1, 2, 40, 50))
    found = measure_background(runs, 0.01, np.ones((40, 50), bool))
    steepest = 60 / (abs(np.cos(angle)) + abs(np.sin(angle)))
    assert found.level_counts == pytest.approx(100, abs=0.1)
    assert found.gradient_counts == pytest.approx(steepest, abs=0.3)
    assert found.angle_rad == pytest.approx(angle, abs=0.01)
    assert found.texture_counts < 0.1
