"""What a training shows of itself: chosen frames, raw and as the present model denoises them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.events import Preview
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import NetworkSettings

from .patches import Patches, middle_of, middle_origin
from .probe import Probe

__all__ = ["MOST_FRAMES", "Previews"]

MOST_FRAMES = 3


class Previews:
    """Makes previews of the frames that are asked for, or else of the first probe frames.

    Parameters
    ----------
    movie : Movie
        The movie.
    probe : Probe
        Has frames of its own, and denoises.
    normalisation : Normalisation
        The movie's.
    network : NetworkSettings
        How many neighbouring frames the network sees, and how.
    shown : callable, optional
        Is asked for the frames of each preview.
    """

    def __init__(
        self,
        movie: Movie,
        probe: Probe,
        normalisation: Normalisation,
        network: NetworkSettings,
        shown: Callable[[], Sequence[int]] | None,
    ) -> None:
        self._movie, self._probe, self._normalisation = movie, probe, normalisation
        self._network, self._shown = network, shown

    def __call__(self, step: int, generator: Generator, probed: NDArray[np.float32]) -> Preview:
        """Return a preview; `probed` are the probe frames as the generator denoises them, shape (n, y, x)."""
        indices, images = self._probe.patches.indices[:MOST_FRAMES], probed[:MOST_FRAMES]
        if self._shown is not None and (chosen := tuple(self._shown()[:MOST_FRAMES])):
            windows = Patches.of(self._movie, chosen, self._network, self._normalisation)
            indices, images = chosen, self._probe.denoise(generator, windows)
        raw = np.stack([middle_of(self._movie.frame(index)) for index in indices])
        return Preview(step, indices, raw, images, middle_origin(self._movie.shape[1:]))
