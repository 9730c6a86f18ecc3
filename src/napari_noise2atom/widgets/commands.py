"""What the manifest calls that needs a window."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image
from napari.viewer import Viewer

if TYPE_CHECKING:
    from .dock import Noise2AtomDock

__all__ = ["denoise_layer", "difference", "read_model", "side_by_side"]

MODEL = "model.safetensors"


def read_model(path: str | list[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """Return a reader that loads a model file or a run folder into the dock; it makes no layer.

    Parameters
    ----------
    path : str or list of str
        What was dropped.

    Returns
    -------
    callable or None
        None if this is no model.
    """
    if not isinstance(path, str):
        return None
    model = Path(path)
    if model.suffix == ".safetensors" or (model / MODEL).is_file():
        return _load_into_dock
    return None


def denoise_layer(viewer: Viewer) -> None:
    """Open the dock with the selected layer."""
    _dock_with_selected(viewer)


def side_by_side(viewer: Viewer) -> None:
    """Put the raw layer and its results into the grid; once more brings the former view back."""
    _dock_with_selected(viewer).side_by_side.click()


def difference(viewer: Viewer) -> None:
    """Add a layer of raw minus denoised."""
    _dock_with_selected(viewer).difference.click()


def _dock_with_selected(viewer: Viewer) -> "Noise2AtomDock":
    """Return the dock, working on the selected layer if that is a movie."""
    dock = open_dock(viewer)
    layer = viewer.layers.selection.active
    if isinstance(layer, Image):
        dock.choose_layer(layer)
    return dock


def open_dock(viewer: Viewer) -> "Noise2AtomDock":
    """Return the window's dock, opened if need be."""
    dock: Noise2AtomDock = viewer.window.add_plugin_dock_widget("napari-noise2atom", "Noise2Atom")[1]
    return dock


def _load_into_dock(path: Any) -> list[tuple[None]]:
    viewer = napari.current_viewer()
    if viewer is None:
        raise ValueError(f"{path} is a model; open a napari window first, or use 'noise2atom denoise'")
    open_dock(viewer).load_model(Path(path))
    # napari's way to say that there is no layer
    return [(None,)]
