"""First step: which movie, and what it tells."""

import psutil
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_noise2atom.browsing import CACHE_BYTES
from napari_noise2atom.cli.console import number
from napari_noise2atom.estimate import MEANING
from napari_noise2atom.layerdata import movie_of_layer
from napari_noise2atom.movie import Movie

from .section import Section, wrapped
from .workspace import Workspace, is_result, layer_facts

__all__ = ["MovieStep"]

MAIN = (
    "spot_variance_px2",
    "atoms_per_frame",
    "atom_peak_e",
    "column_atoms",
    "background_e",
    "background_gradient",
    "step_px",
    "drift_px",
    "jump_px",
)
"""What is shown unfolded of an estimate."""


class MovieStep(QWidget):
    """Chooses a layer and shows what was found."""

    def __init__(self, viewer: Viewer, workspace: Workspace) -> None:
        super().__init__()
        self._viewer, self._workspace = viewer, workspace
        self.layers = QComboBox()
        self.layers.setToolTip("An image layer with the axes t, y, x, however it was opened.")
        self.facts = wrapped()
        self.problem = wrapped()
        self.problem.setStyleSheet("color: #e69f00;")
        self.estimates = _Estimates(MAIN)
        self.others = _Estimates([name for name in MEANING if name not in MAIN])
        self.more = Section("Noise and detector", self.others, open_=False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.layers, self.facts, self.problem, self.estimates, self.more):
            layout.addWidget(widget)
        self.layers.currentIndexChanged.connect(self._choose)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.renamed):
            event.connect(self.list_layers)
        workspace.layer_changed.connect(self._show_layer)
        workspace.measured_changed.connect(self._show_measured)
        self.list_layers()
        self._show_layer()
        self._show_measured()

    def choose(self, layer: Image) -> None:
        """Choose a layer."""
        self.list_layers()
        index = self.layers.findData(layer)
        if index >= 0:
            self.layers.setCurrentIndex(index)

    def list_layers(self, event: object = None) -> None:
        """Offer all movies; the chosen one stays chosen while it is there."""
        movies = [layer for layer in self._viewer.layers if isinstance(layer, Image) and not is_result(layer)]
        chosen = self._workspace.layer
        if chosen not in movies or self._workspace.movie is None:
            chosen = self._proposed(movies)
        self.layers.blockSignals(True)
        self.layers.clear()
        for layer in movies:
            self.layers.addItem(layer.name, layer)
        self.layers.setCurrentIndex(movies.index(chosen) if chosen in movies else -1)
        self.layers.blockSignals(False)
        if chosen != self._workspace.layer:
            self._workspace.choose_layer(chosen)

    def _proposed(self, movies: list[Image]) -> Image | None:
        """Return the active layer if it is a movie, or the first that is, or the newest, to be told why it is none."""
        active = self._viewer.layers.selection.active
        likely = [layer for layer in movies if layer.visible and _is_movie(layer)] or movies[-1:]
        return active if active in likely else next(iter(likely), None)

    def _choose(self, index: int) -> None:
        self._workspace.choose_layer(self.layers.itemData(index))

    def _show_layer(self) -> None:
        movie, problem = self._workspace.movie, self._workspace.problem
        if movie is not None:
            self.facts.setText(_facts(movie))
        else:
            self.facts.setText("" if problem else "Drag a movie into the window, or open one of File > Open Sample.")

    def _show_measured(self) -> None:
        workspace = self._workspace
        problem, measured = workspace.problem, workspace.measured
        if measured is not None and measured.bad:
            problem = f"{len(measured.bad)} frames hold no image and are left out: {_list(measured.bad)}."
        if measured is not None:
            problem = " ".join([problem, *measured.found.doubts])
        if measured is None and not problem and workspace.movie is not None:
            problem = "Measuring …"
        self.problem.setText(problem.strip())
        self.problem.setVisible(bool(problem))
        for widget in (self.estimates, self.more):
            widget.setVisible(measured is not None)
        if measured is not None:
            self.estimates.show_values(vars(measured.found))
            self.others.show_values(vars(measured.found))


class _Estimates(QWidget):
    """Measured values with their meaning."""

    def __init__(self, names: "tuple[str, ...] | list[str]") -> None:
        super().__init__()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(1)
        self.values = {name: QLabel() for name in names}
        for name, label in self.values.items():
            what, _, sets = MEANING[name]
            label.setToolTip(f"Sets {sets}.")
            layout.addRow(what, label)

    def show_values(self, values: "dict[str, float]") -> None:
        for name, label in self.values.items():
            label.setText(number(values[name], MEANING[name][1]))


def _is_movie(layer: Image) -> bool:
    try:
        movie_of_layer(layer.data, layer_facts(layer))
    except ValueError:
        return False
    return True


def _facts(movie: Movie) -> str:
    """Say what a movie is, and what it needs."""
    frames, rows, columns = movie.shape
    pixel = number(movie.pixel_size_nm, "nm") if movie.pixel_size_nm else "of unknown size"
    time = number(1000 * movie.frame_time_s, "ms") if movie.frame_time_s else "unknown"
    kept = min(CACHE_BYTES, 4 * frames * rows * columns)
    free = psutil.virtual_memory().available
    text = (
        f"{frames} frames of {columns} × {rows} px, {movie.data.dtype}; pixels {pixel}, frame time {time}.\n"
        f"Browsing keeps up to {_size(kept)} of denoised frames; {_size(free)} of memory are free."
    )
    if kept > free / 2:
        text += " That is little: close other programs."
    return text


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 / 10 else f"{count / 2**20:.1f} MB"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:12])) + (" …" if len(numbers) > 12 else "")
