"""Columns of atoms, seen along the beam: how thick they are, and how high a single atom is beside them."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["single_and_thickest"]

END = 0.03
"""Share of the clear spots that are taken for the dimmest, and for the brightest."""
FEWEST = 30
"""Of them, at least."""
MOST = 0.9
"""Share of the dimmest that are dim themselves, if they are single atoms. Beside atoms that hop or leave, the dimmest
spots are places that some still have, and others have left."""
DIM = 0.74
"""Height below which they are, relative to the usual one: that of columns of several atoms. Spots that are one atom
each, or two, differ less."""
MOST_ATOMS = 20
"""In a column: what is still dimmer than such a part of it is no atom."""


def single_and_thickest(clear: NDArray[np.float32]) -> tuple[float, int]:
    """Tell single atoms from columns by the heights of spots.

    Parameters
    ----------
    clear : array
        Heights of spots that no noise could be, the brightest first, relative to the usual one. Their order is that of
        other frames than those in which they were measured, so that noise has no part in it.

    Returns
    -------
    single : float
        Height of a single atom, relative to the usual one; 1 where spots are about as high as each other.
    thickest : int
        Atoms in the thickest columns; 1 likewise.
    """
    few = max(FEWEST, round(END * len(clear)))
    if few >= len(clear) or np.quantile(clear[-few:], MOST) >= DIM:
        return 1.0, 1
    brightest, dimmest = float(clear[:few].mean()), float(clear[-few:].mean())
    single = max(dimmest, brightest / MOST_ATOMS)
    return single, max(1, round(brightest / single))
