"""Patches that follow what they show through some frames."""

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter
from torch import Tensor

__all__ = ["SMOOTH", "Trajectories", "spread"]

PATCH_PX = 4
STRIDE_PX = 2
BLOCK_PX = 9
"""Blocks that are matched are larger than patches, which hold too few electrons."""
REACH_PX = 2
"""Largest motion from one frame to the next, per axis."""
STAY = 0.9
"""A block that stays may differ that much less: motion must be seen, and not be guessed from noise."""
SMOOTH = (1.0, 1.0, 1.0)
"""Standard deviations, in frames and pixels, of the smoothing before blocks are matched."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Patches of a window of frames.

    Parameters
    ----------
    pixels : Tensor of int, shape (n, t, pixels of a patch)
        Which pixels of the flattened window are in a patch.
    shape : (int, int, int)
        Frames, rows and columns of the window.
    """

    pixels: Tensor
    shape: tuple[int, int, int]

    @classmethod
    def in_frames(cls, frames: Tensor) -> Self:
        """Follow patches of 4 × 4 px from the middle frame to the first and the last one.

        Parameters
        ----------
        frames : Tensor, shape (t, y, x)
            Noisy frames.
        """
        shape = tuple(frames.shape)
        count, rows, columns = shape
        patch = min(PATCH_PX, rows, columns)
        corners = _follow(gaussian_filter(frames.numpy(), SMOOTH), patch)
        inside = np.add.outer(np.arange(patch) * columns, np.arange(patch)).ravel()
        first = np.arange(count) * rows * columns + corners[..., 0] * columns + corners[..., 1]
        return cls(torch.from_numpy(first[..., np.newaxis] + inside), (count, rows, columns))

    def cut(self, frames: Tensor) -> Tensor:
        """Return the patches of frames, shape (n, t, pixels of a patch)."""
        return frames.reshape(-1)[self.pixels]

    def put_back(self, patches: Tensor) -> Tensor:
        """Return frames, shape (t, y, x), in which each pixel is the sum of the patches that cover it."""
        total = torch.zeros(int(np.prod(self.shape)), dtype=patches.dtype)
        return total.index_add_(0, self.pixels.reshape(-1), patches.reshape(-1)).view(self.shape)


def spread(length: int, part: int, hop: int) -> list[int]:
    """Return where parts begin that cover a length, one every `hop`; the last one ends where the length does."""
    last = max(0, length - part)
    return [*range(0, last, hop), last]


def _follow(smooth: NDArray[np.float32], patch: int) -> NDArray[np.int64]:
    """Return the upper left corners of all patches, shape (n, t, 2)."""
    count, *size = smooth.shape
    grid = np.array(list(itertools.product(*(spread(side, patch, STRIDE_PX) for side in size))))
    middle, last = count // 2, np.array(size) - patch
    corners = np.tile(grid, (count, 1, 1))
    for here, there in [(t, t + 1) for t in range(middle, count - 1)] + [(t, t - 1) for t in range(middle, 0, -1)]:
        motion = _motion(smooth[here], smooth[there])
        y, x = (corners[here] + patch // 2).T
        corners[there] = np.clip(corners[here] + motion[y, x], 0, last)
    return corners.transpose(1, 0, 2)


def _motion(here: NDArray[np.float32], there: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for every pixel the shift to where its block is in another frame, shape (y, x, 2)."""
    rows, columns = here.shape
    # First the shift that is none, so that it wins where all are equal.
    shifts = sorted(
        itertools.product(range(-REACH_PX, REACH_PX + 1), repeat=2), key=lambda shift: shift[0] ** 2 + shift[1] ** 2
    )
    padded = np.pad(there, REACH_PX, mode="edge")
    best, motion = np.full(here.shape, np.inf), np.zeros((rows, columns, 2), np.int64)
    for y, x in shifts:
        moved = padded[REACH_PX + y : REACH_PX + y + rows, REACH_PX + x : REACH_PX + x + columns]
        difference = uniform_filter((here - moved) ** 2, BLOCK_PX) * (1 if y or x else STAY)
        better = difference < best
        best[better], motion[better] = difference[better], (y, x)
    return motion
