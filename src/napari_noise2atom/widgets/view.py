"""Looking at raw and denoised: side by side, in turn, and at their difference; the view one had comes back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.layers.utils._link_layers import link_layers, unlink_layers
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_noise2atom.layerdata import LOST_WIDTH, movie_of_layer
from napari_noise2atom.trust.residual import frame_residual

from .layers import add_live_result, current_frame, results_of
from .workspace import layer_facts

__all__ = ["Views"]

NOTHING = "There is no result of this movie yet: denoise it first."


@dataclass(frozen=True, eq=False)
class _View:
    """What the user had."""

    visible: dict[Layer, bool]
    names_shown: dict[Layer, bool]
    gammas: dict[Image, float]
    grid: dict[str, Any]
    camera: dict[str, Any]


class Views(QObject):
    """Shows a raw layer and what was made from it; `restore` brings back the view that the user had."""

    changed = Signal()

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._before: _View | None = None
        self._linked: list[Image] = []
        self._flipped: tuple[list[Image], int] | None = None

    @property
    def active(self) -> bool:
        """Whether there is a view to bring back."""
        return self._before is not None

    @property
    def side_by_side_active(self) -> bool:
        """Whether the layers stand in a grid."""
        return bool(self._linked)

    def side_by_side(self, raw: Image) -> None:
        """Put a raw layer and its results into the grid, with names, one camera and one gamma."""
        self.restore()
        layers = [layer for layer in (raw, *results_of(self._viewer, raw)) if not _is_preview(layer)]
        if len(layers) < 2:
            show_info(NOTHING)
            return
        self._remember()
        self._show_only(layers)
        for layer in layers:
            layer.name_overlay.visible = True
            layer.gamma = raw.gamma
        link_layers(layers, ("gamma",))
        self._linked = layers
        grid = self._viewer.canvas.grid
        grid.stride, grid.shape, grid.spacing = 1, (1, len(layers)) if len(layers) < 4 else (-1, -1), 0.03
        grid.enabled = True
        # each panel is smaller than the canvas was
        self._viewer.reset_view()
        self.changed.emit()

    def flip(self, raw: Image) -> None:
        """Show the raw layer alone, then the newest denoised one alone, and so on, in place."""
        others = [layer for layer in results_of(self._viewer, raw) if not _is_preview(layer)]
        denoised = [layer for layer in others if _kind(layer) == "denoised"] or others
        if self._flipped is not None and not {raw, *denoised}.issuperset(self._flipped[0]):
            self.restore()  # one of the two is gone, or another movie is meant
        if not denoised:
            show_info(NOTHING)
            return
        if self._flipped is None:
            self.restore()
            self._remember()
            self._flipped = ([raw, denoised[-1]], 1)
        layers, last = self._flipped
        self._flipped = (layers, 1 - last)
        self._show_only([layers[1 - last]])
        layers[1 - last].name_overlay.visible = True
        layers[last].name_overlay.visible = False
        self.changed.emit()

    def restore(self) -> None:
        """Bring back the view that the user had, for all layers that are still there."""
        before, self._before = self._before, None
        linked, self._linked = [layer for layer in self._linked if layer in self._viewer.layers], []
        self._flipped = None
        if linked:
            unlink_layers(linked, ("gamma",))
        if before is None:
            return
        for layer in self._viewer.layers:
            if layer in before.visible:
                layer.visible = before.visible[layer]
                layer.name_overlay.visible = before.names_shown[layer]
            if layer in before.gammas:
                layer.gamma = before.gammas[layer]
        self._viewer.canvas.grid.update(before.grid)
        self._viewer.scene.camera.update(before.camera)
        self.changed.emit()

    def difference(self, raw: Image) -> Image | None:
        """Add a layer of raw minus denoised, after the affine fit of the denoised frame to the raw one.

        Spots that were drawn narrower get their own width back before, or their rims would remain.
        Noise alone should be left; whatever has a shape was taken from the atoms or is invented.

        Returns
        -------
        Image or None
            None if nothing was denoised.
        """
        denoised = [layer for layer in results_of(self._viewer, raw) if _kind(layer) == "denoised"]
        if not denoised:
            show_info(NOTHING)
            return None
        blur_px = denoised[-1].metadata["noise2atom"].get(LOST_WIDTH, 0.0)
        of_raw, of_denoised = (movie_of_layer(layer.data, layer_facts(layer)) for layer in (raw, denoised[-1]))

        def compute(index: int) -> Any:
            return frame_residual(of_raw.frame(index), of_denoised.frame(index), blur_px)

        shown = of_raw.frame(current_frame(self._viewer, raw))
        spread = float(np.std(shown, where=np.isfinite(shown))) if np.isfinite(shown).any() else 0.0
        limits = (-3 * spread, 3 * spread) if spread else (-1.0, 1.0)
        look = {"contrast_limits": limits, "colormap": "PiYG"}
        return add_live_result(self._viewer, raw, of_raw, compute, "difference", show_error, **look)

    def _remember(self) -> None:
        layers = self._viewer.layers
        self._before = _View(
            visible={layer: layer.visible for layer in layers},
            names_shown={layer: layer.name_overlay.visible for layer in layers},
            gammas={layer: layer.gamma for layer in layers if isinstance(layer, Image)},
            grid=_values(self._viewer.canvas.grid, ("enabled", "stride", "shape", "spacing")),
            camera=_values(self._viewer.scene.camera, ("center", "zoom", "angles")),
        )

    def _show_only(self, shown: list[Image]) -> None:
        for layer in self._viewer.layers:
            layer.visible = layer in shown


def _kind(layer: Layer) -> str:
    return str(layer.metadata.get("noise2atom", {}).get("result", ""))


def _is_preview(layer: Layer) -> bool:
    return _kind(layer) in ("preview", "history", "difference", "residual")


def _values(model: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(model, name) for name in names}
