"""The truth of a simulated movie: clean frames and the positions of all atoms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Truth", "load_truth"]


@dataclass(frozen=True, eq=False)
class Truth:
    """What a noisy movie shows in truth.

    Parameters
    ----------
    clean : array, shape (t, y, x)
        Expected electrons per pixel [e/px].
    positions : array, shape (t, n, 2)
        y and x of each atom [px]; NaN where an atom is absent.
    pixel_size_nm : float, optional
        Side of a pixel [nm]; None if unknown.

    Raises
    ------
    ValueError
        If an array has the wrong axes or type, the numbers of frames differ, or the clean frames are not finite or
        nowhere above 0.
    """

    clean: NDArray[np.generic]
    positions: NDArray[np.generic]
    pixel_size_nm: float | None = None

    def __post_init__(self) -> None:
        clean, positions = self.clean, self.positions
        if clean.ndim != 3 or clean.size == 0 or clean.dtype.kind not in "uif":
            raise ValueError(f"got clean frames of shape {clean.shape}, type {clean.dtype}; expected numbers (t, y, x)")
        if positions.ndim != 3 or positions.shape[2] != 2 or positions.dtype.kind not in "uif":
            raise ValueError(
                f"got positions of shape {positions.shape}, type {positions.dtype}; expected numbers (t, n, 2)"
            )
        if len(clean) != len(positions):
            raise ValueError(f"got {len(clean)} clean frames and positions in {len(positions)}; expected one number")
        low, high = float(clean.min()), float(clean.max())
        if not (np.isfinite(low) and np.isfinite(high) and high > max(low, 0)):
            raise ValueError(f"got clean frames from {low} to {high}; expected finite values, the largest above 0")


def load_truth(path: str | Path) -> Truth:
    """Read the truth of a simulated movie.

    Parameters
    ----------
    path : str or Path
        An ``.npz`` file with `clean`, `positions` and, if it is known, `pixel_size_nm` (0 or absent if not).

    Returns
    -------
    Truth

    Raises
    ------
    OSError
        If there is no such file or it may not be read.
    ValueError
        If it is not a complete truth file, in one sentence that names the file.
    """
    name = Path(path).name
    with open(path, "rb") as file:
        # numpy, zipfile and zlib raise a dozen kinds of errors for broken files; all mean the same to the user.
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in ("clean", "positions", "pixel_size_nm") if key in archive}
        except Exception as error:
            raise ValueError(f"{name}: is not a readable .npz file ({type(error).__name__})") from error
    missing = [key for key in ("clean", "positions") if key not in arrays]
    if missing:
        raise ValueError(f"{name}: has no array {' and no array '.join(missing)}; expected a truth file")
    try:
        return Truth(arrays["clean"], arrays["positions"], _pixel_size(arrays.get("pixel_size_nm")))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _pixel_size(stored: NDArray[np.generic] | None) -> float | None:
    if stored is None:
        return None
    if stored.size != 1 or stored.dtype.kind not in "uif":
        raise ValueError(f"got a pixel size of shape {stored.shape}, type {stored.dtype}; expected one number")
    size = float(stored.reshape(-1)[0])
    if not 0 <= size < np.inf:
        raise ValueError(f"got a pixel size of {size} nm; expected a positive number, or 0 if it is unknown")
    return size or None
