"""Which frames of a movie are used."""

import numpy as np

from napari_noise2atom.io import find_bad_frames
from napari_noise2atom.movie import Movie
from napari_noise2atom.normalisation import Normalisation
from napari_noise2atom.settings import CROP_STEP_PX, Settings

from .patches import SIDE_PX, Patches

__all__ = ["probe_frames", "sample_frames", "sample_patches"]


def sample_frames(movie: Movie, settings: Settings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw the frames for training; return them and the bad ones that were met."""
    crop, low_pass = settings.simulation.crop_px, settings.training.low_pass_px
    if settings.training.epochs and crop < low_pass:
        raise ValueError(
            f"simulation.crop_px {crop} is smaller than training.low_pass_px {low_pass}; "
            f"set training.low_pass_px={_low_pass_within(crop)}, or choose larger crops"
        )
    if min(movie.shape[1:]) < crop:
        size, fitting = f"{movie.shape[1]} × {movie.shape[2]}", min(movie.shape[1:]) // CROP_STEP_PX * CROP_STEP_PX
        low_pass_too = f" and training.low_pass_px={_low_pass_within(fitting)}" if fitting < low_pass else ""
        raise ValueError(
            f"{movie.name}: frames of {size} px are smaller than a training crop of {crop} px; "
            f"set simulation.crop_px={fitting}{low_pass_too}"
        )
    wanted = min(settings.training.sampled_frames, len(movie))
    order = np.random.default_rng((settings.run.seed, 98)).permutation(len(movie))
    good: list[int] = []
    bad: list[int] = []
    looked_at = max(2, wanted)  # a movie has two, though a training may do with one
    for start in range(0, len(order), looked_at):
        batch = [int(i) for i in order[start : start + looked_at]]
        bad += find_bad_frames(movie, batch)
        good += [i for i in batch if i not in bad]
        if len(good) >= looked_at:
            break
    if len(good) < 2:
        raise ValueError(f"{movie.name}: found {len(good)} usable frames; expected at least two that are not blank")
    return tuple(sorted(good[:wanted])), tuple(sorted(bad))


def _low_pass_within(crop_px: int) -> int:
    """Return the side of a low-pass that leaves half a crop [px]."""
    return crop_px // 2 + 1


def sample_patches(movie: Movie, settings: Settings, normalisation: Normalisation) -> tuple[Patches, tuple[int, ...]]:
    """Read what is trained on; return it and the bad frames that were met."""
    sampled, bad = sample_frames(movie, settings)
    rng = np.random.default_rng((settings.run.seed, 99))
    side = max(SIDE_PX, settings.simulation.crop_px)
    return Patches.of(movie, sampled, settings.network, normalisation, rng, side), bad


def probe_frames(movie: Movie, number: int, good: tuple[int, ...]) -> tuple[int, ...]:
    """Choose pairs of successive frames, evenly spread; good ones as far as is known."""
    candidates = [i for i in good if i + 1 < len(movie) and not find_bad_frames(movie, [i + 1])] or [good[0]]
    starts = np.unique(np.linspace(0, len(candidates) - 1, max(1, number // 2)).astype(int))
    return tuple(frame for s in starts for frame in (candidates[s], min(candidates[s] + 1, len(movie) - 1)))
