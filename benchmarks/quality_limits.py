"""How well an atom can be located at all, whatever the method."""

import numpy as np

from napari_noise2atom.settings import MovieSettings

REACH_SIGMAS = 6


def position_bound_px(movie: MovieSettings, neighbours: int) -> float:
    """Return the least mean distance of a located atom from the true one [px]: a Cramér-Rao bound.

    It holds for a single atom far from others whose width, brightness and background are known, and which walks;
    afterglow, line jitter, hops and drift are left out, as they take information away.

    Parameters
    ----------
    movie : MovieSettings
        The movie.
    neighbours : int
        Frames before and after that are used, too.
    """
    detector, scene, variance = movie.detector, movie.scene, movie.spot_variance_px2
    reach = np.ceil(REACH_SIGMAS * variance**0.5)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    spot = scene.atom_peak_e * np.exp(-(x**2 + y**2) / (2 * variance))
    # Poisson counts, each with a pulse height of a gamma distribution, and read-out noise [electrons squared]
    noise = (1 + 1 / detector.pulse_shape) * (spot + scene.background_e)
    noise += (detector.read_noise_counts / detector.gain_counts) ** 2
    frame = np.sum((spot * x / variance) ** 2 / noise)
    side = 0.0  # what the frames on one side tell, after a step of the atom: from the farthest to the nearest
    for _ in range(neighbours):
        side = 1 / (1 / (frame + side) + scene.walk_px**2)
    return float(np.sqrt(np.pi / 2 / (frame + 2 * side)))
