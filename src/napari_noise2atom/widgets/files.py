"""Asking where to save, and what may not be replaced."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

__all__ = ["ask_where_to_save"]


def ask_where_to_save(
    parent: QWidget, title: str, proposed: str, filters: str, endings: tuple[str, ...], source: str | None = None
) -> Path | None:
    """Ask for the name of a file, which gets the chosen ending if it has none.

    Parameters
    ----------
    parent : QWidget
        To which the dialog belongs.
    title, proposed, filters : str
        Of the dialog; each filter holds one ending.
    endings : tuple of str
        Which are taken as they are.
    source : str, optional
        File of the raw movie.

    Returns
    -------
    Path or None
        None if nothing was chosen.

    Raises
    ------
    ValueError
        If the file is the raw movie's, or is there and the dialog cannot have asked whether to replace it.
    """
    name, chosen = QFileDialog.getSaveFileName(parent, title, proposed, filters)
    if not name:
        return None
    ending = chosen[chosen.index("*") + 1 : -1] if "*" in chosen else endings[0]
    path = Path(name) if Path(name).suffix.lower() in endings else Path(name + ending)
    if source and path.exists() and path.resolve() == Path(source).resolve():
        raise ValueError(f"{path} is the raw movie itself; choose another name")
    if path != Path(name) and path.exists():
        raise ValueError(f"{path} is there already; choose it in the dialog to replace it, or another name")
    return path
