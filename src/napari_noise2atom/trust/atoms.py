"""The atoms of a movie as a table: where, how bright, how sure, on which trajectory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.metrics import find_atoms, write_columns
from napari_noise2atom.movie import Movie, is_bad_frame
from napari_noise2atom.settings import Settings

from .confidence import Denoise, Found, confidence, versions
from .threshold import atom_threshold
from .tracks import link, reach, sample_places

__all__ = ["Atoms", "measure_atoms"]


@dataclass(frozen=True, eq=False)
class Atoms:
    """Atoms of a movie; arrays have one entry for each atom of each frame, frame by frame."""

    threshold: float
    """Least height of an atom in denoised frames, in [0, 1]."""
    frames: int
    """Of the movie."""
    frame: NDArray[np.intp]
    """Number of the frame."""
    y_px: NDArray[np.float64]
    """Row, between pixel centres by a parabola through the maximum and its neighbours [px]."""
    x_px: NDArray[np.float64]
    """Column, likewise [px]."""
    intensity: NDArray[np.float64]
    """Height in the denoised frame, in [0, 1]."""
    confidence: NDArray[np.float64]
    """Share of the versions of the frame in which the atom was found again, in [0, 1]."""
    track: NDArray[np.intp]
    """Number of the trajectory, from 0."""
    pixel_size_nm: float | None = None
    """Side of a pixel [nm]; None if unknown."""
    frame_time_s: float | None = None
    """Time from one frame to the next [s]; None if unknown."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def per_frame(self) -> NDArray[np.intp]:
        """Atoms of each frame, shape (t,)."""
        return np.bincount(self.frame, minlength=self.frames)

    @property
    def summary(self) -> dict[str, float]:
        """Figures of the whole movie: mean numbers and mean confidence, NaN without atoms."""
        return {
            "frames": self.frames,
            "threshold": self.threshold,
            "atoms_per_frame": len(self) / self.frames,
            "trajectories": len(np.unique(self.track)),
            "confidence": float(self.confidence.mean()) if len(self) else float("nan"),
        }

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if not len(self):
            return f"No atoms were found; none is {self.threshold:.3g} high in the denoised movie."
        sure = float((self.confidence >= 0.8).mean())
        return (
            f"{self.per_frame.mean():.1f} atoms a frame on {len(np.unique(self.track))} trajectories; {sure:.0%} of "
            f"them have a confidence of 0.8 or more; atoms are at least {self.threshold:.3g} high."
        )

    def write_csv(self, path: str | Path) -> None:
        """Write the table; what is not calibrated has no column in nm or s. A file there is replaced when all is done.

        Parameters
        ----------
        path : str or Path
            The file; its folder must be there.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        columns: dict[str, NDArray[np.generic]] = {"frame": self.frame}
        if self.frame_time_s is not None:
            columns["time_s"] = self.frame * self.frame_time_s
        if self.pixel_size_nm is not None:
            columns |= {"y_nm": self.y_px * self.pixel_size_nm, "x_nm": self.x_px * self.pixel_size_nm}
        columns |= {"y_px": self.y_px, "x_px": self.x_px, "intensity": self.intensity}
        columns |= {"confidence": self.confidence, "track": self.track}
        write_columns(columns, path)


def measure_atoms(
    movie: Movie,
    denoise: Denoise,
    settings: Settings,
    *,
    threshold: float | None = None,
    second: Denoise | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Atoms:
    """Find the atoms of all frames, tell how sure they are, and follow them.

    An atom's confidence is the share of versions in which it is found again: the movie upside down, backwards, both;
    the frame before and the frame after; and with another model, if there is one. Frames without an image have no
    atoms.

    Parameters
    ----------
    movie : Movie
        The raw movie.
    denoise : callable
        Returns a denoised movie, in [0, 1], lazily; as `napari_noise2atom.inference.denoise` with a model.
    settings : Settings
        Those of the model, for `atom_threshold` and the reach of trajectories.
    threshold : float, optional
        Least height of an atom; that of `atom_threshold` if left out.
    second : callable, optional
        As `denoise`, with another model of the movie, such as one of another seed.
    progress : callable, optional
        Called after every frame with the number of frames done and of all frames.

    Returns
    -------
    Atoms
    """
    height = atom_threshold(settings) if threshold is None else threshold
    looks = versions(movie, denoise)
    if second is not None:
        looks.append(second(movie).frame)
    seen: list[list[Found] | None] = []
    for index in range(len(movie)):
        bad = is_bad_frame(movie.frame(index))
        seen.append(None if bad else [find_atoms(look(index), height) for look in looks])
        progress(index + 1, len(movie))
    found = [np.empty((0, 3)) if frame is None else frame[0] for frame in seen]
    places = sample_places(found)
    sure = [confidence(found[index], _others(seen, index, places)) for index in range(len(movie))]
    at_rest = [atoms[:, :2] - place for atoms, place in zip(found, places, strict=True)]
    y, x, intensity = np.concatenate(found).T
    return Atoms(
        height,
        len(movie),
        frame=np.repeat(np.arange(len(movie)), [len(atoms) for atoms in found]),
        y_px=y,
        x_px=x,
        intensity=intensity,
        confidence=np.concatenate(sure),
        track=np.concatenate(link(at_rest, reach(settings))),
        pixel_size_nm=movie.pixel_size_nm,
        frame_time_s=movie.frame_time_s,
    )


def _others(seen: list[list[Found] | None], index: int, places: NDArray[np.float64]) -> list[Found]:
    """Return a frame's atoms in its other versions, and those of its neighbours, brought to where the sample is now."""
    here = seen[index]
    if here is None:
        return []
    beside = [(at, frame) for at in (index - 1, index + 1) if 0 <= at < len(seen) and (frame := seen[at]) is not None]
    return [*here[1:], *(frame[0][:, :2] + places[index] - places[at] for at, frame in beside)]
