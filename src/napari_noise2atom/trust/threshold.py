"""From which height a spot of a denoised movie counts as an atom."""

from napari_noise2atom.settings import Settings

__all__ = ["atom_threshold"]


def atom_threshold(settings: Settings) -> float:
    """Return half the height that a single atom has in denoised frames.

    A model learns to draw `simulation.atoms_per_position` atoms in one place as 1, so that one atom is the reciprocal
    of that. Maxima of denoised frames are either far lower or about as high; half lies in the valley between.

    Parameters
    ----------
    settings : Settings
        With which the model was trained.

    Returns
    -------
    float
        Height in [0, 1].
    """
    return 0.5 / settings.simulation.atoms_per_position
