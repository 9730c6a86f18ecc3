"""Crops of the movie itself, and pixels hidden from the network."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from napari_noise2atom.movie import Movie
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import NetworkSettings
from napari_noise2atom.windows import FrameWindows

__all__ = ["Patches", "hidden_places", "hide", "middle_of", "middle_origin"]

SIDE_PX = 256
"""Of larger frames a square of this side is kept, at a place of its own for each frame, so that memory is bounded."""
HIDDEN_REACH = 3
"""Pixels to the left and right of a hidden one that are hidden too: afterglow carries its noise there."""
SPACING = (4, 12)
"""Rows and columns from one hidden pixel to the next."""
BLUR_REACH = 2.5
"""Standard deviations of a blur to which it carries noise."""


@dataclass(frozen=True, eq=False)
class Patches:
    """Windows of neighbouring frames of a movie, normalised.

    Parameters
    ----------
    windows : array, shape (n, frames, y, x), float32
        The middle frame of each is meant.
    indices : tuple of int
        Its number in the movie.
    """

    windows: NDArray[np.float32]
    indices: tuple[int, ...]

    @classmethod
    def of(
        cls,
        movie: Movie,
        indices: tuple[int, ...],
        network: NetworkSettings,
        normalisation: Normalisation,
        rng: np.random.Generator | None = None,
        side_px: int = SIDE_PX,
    ) -> "Patches":
        """Read the windows of chosen frames; from large frames a square at random, or from the middle without `rng`."""
        windows = FrameWindows(movie, network, normalisation.low, normalisation.high)
        height, width = (min(side, side_px) for side in movie.shape[1:])
        free = movie.shape[1] - height, movie.shape[2] - width
        cut = []
        for index in indices:
            top, left = (rng.integers(0, f + 1) if rng else f // 2 for f in free)
            cut.append(np.stack([frame[top : top + height, left : left + width] for frame in windows(index)]))
        return cls(normalisation.apply(np.stack(cut)), indices)

    def draw(self, n: int, size_px: int, augment: bool, rng: np.random.Generator) -> Tensor:
        """Return random crops, shape (n, frames, size, size), flipped at random if `augment`."""
        crops = []
        for _ in range(n):
            window = self.windows[rng.integers(len(self.windows))]
            top, left = (int(rng.integers(0, side - size_px + 1)) for side in window.shape[1:])
            crop = window[:, top : top + size_px, left : left + size_px]
            # time too may run backwards; along x only what has no direction may be flipped, and afterglow has one
            if augment and rng.random() < 0.5:
                crop = crop[:, ::-1]
            if augment and rng.random() < 0.5:
                crop = crop[::-1]
            crops.append(crop)
        return torch.from_numpy(np.stack(crops))


def hidden_places(
    size: tuple[int, int],
    row: int,
    column: int,
    reach: int = HIDDEN_REACH,
    *,
    spacing: tuple[int, int] = SPACING,
    blur_px: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return masks of the pixels that are judged, and of those that are hidden from the network.

    Parameters
    ----------
    size : (int, int)
        Rows and columns.
    row, column : int
        The first judged pixel; the others follow at regular distances.
    reach : int
        Hidden pixels to the left and right of a judged one.
    spacing : (int, int)
        Rows, at least 2, and columns from one judged pixel to the next; with blur, there are more rows between them.
    blur_px : float
        Blur of the recorded frames, which carries noise to the rows above and below, too [px].

    Returns
    -------
    judged, hidden : Tensor of bool, shape (rows, columns)
    """
    rows = _blurred_rows(blur_px)
    judged = torch.zeros(size, dtype=torch.bool)
    judged[row :: spacing[0] + 4 * rows, column :: spacing[1]] = True
    margin = 1 + 3 * rows
    judged[:margin] = judged[-margin:] = False  # the lines above and below are needed
    side = 2 * rows + 1, 2 * (reach + rows) + 1
    hidden = max_pool2d(judged[None].float(), side, stride=1, padding=(rows, reach + rows))[0] > 0
    return judged, hidden


def _blurred_rows(blur_px: float) -> int:
    """Return how many rows up and down noise is carried."""
    return round(BLUR_REACH * blur_px)


def hide(windows: Tensor, hidden: Tensor, blur_px: float = 0.0) -> Tensor:
    """Replace hidden pixels of the middle frames by the mean of scan lines above and below, which know nothing of them.

    Parameters
    ----------
    windows : Tensor, shape (n, frames, h, w)
        Normalised frames.
    hidden : Tensor of bool, shape (h, w)
        As from `hidden_places`.
    blur_px : float
        As there.

    Returns
    -------
    Tensor, shape (n, frames, h, w)
    """
    middle = windows.shape[1] // 2
    frame = windows[:, middle]
    around = frame.clone()
    lines = 1 + 2 * _blurred_rows(blur_px)
    around[:, lines:-lines] = (frame[:, : -2 * lines] + frame[:, 2 * lines :]) / 2
    blind = windows.clone()
    blind[:, middle] = torch.where(hidden, around, frame)
    return blind


def middle_of(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of a frame, shape (y, x), that `Patches.of` keeps without random numbers."""
    top, left = middle_origin((frame.shape[0], frame.shape[1]))
    return frame[top : top + SIDE_PX, left : left + SIDE_PX]


def middle_origin(size: tuple[int, int]) -> tuple[int, int]:
    """Return the first row and column of the middle of a frame of that size."""
    top, left = (max(0, side - SIDE_PX) // 2 for side in size)
    return top, left
