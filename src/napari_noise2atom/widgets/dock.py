"""The dock: six steps from the movie to the result."""

from collections.abc import Callable
from pathlib import Path

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from .compare_step import CompareStep
from .denoise_step import DenoiseStep
from .movie_step import MovieStep
from .section import Section
from .simulate_step import SimulateStep
from .train_step import TrainStep
from .trust_step import TrustStep
from .view import Views
from .workspace import Workspace

__all__ = ["Noise2AtomDock"]

WIDTH_PX = 460
_OPEN: set["Noise2AtomDock"] = set()


class Noise2AtomDock(QWidget):
    """Denoises a STEM movie: choose it, see what is simulated, train, apply, judge, compare.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The window's viewer.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        # napari hands plugins a proxy, each access to which makes new proxies of layers: none is identical to another
        self._viewer = viewer = getattr(viewer, "__wrapped__", viewer)
        self.workspace = Workspace(self)
        self.movie = MovieStep(viewer, self.workspace)
        self.simulate = SimulateStep(self.workspace)
        self.train = TrainStep(viewer, self.workspace)
        self.denoise = DenoiseStep(viewer, self.workspace)
        self.trust = TrustStep(viewer, self.workspace)
        self.compare = CompareStep(viewer, self.workspace)
        self.views = Views(viewer, self)
        steps = {
            "Movie": self.movie,
            "Simulate": self.simulate,
            "Train": self.train,
            "Denoise": self.denoise,
            "Trust": self.trust,
            "Compare": self.compare,
        }
        self.sections = [
            Section(f"{number}  {title}", step, open_=number in (1, 3), strong=True)
            for number, (title, step) in enumerate(steps.items(), start=1)
        ]
        self._build()
        self.workspace.model_changed.connect(lambda: self.sections[3].set_open(True))
        self.views.changed.connect(self._show_view)
        self.workspace.layer_changed.connect(self._show_view)
        self._closed = False
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.close_jobs)
        self._end = self._release()
        self.destroyed.connect(self._end)
        # Python must not delete the dock: what is told of its end would already be half gone
        _OPEN.add(self)

    def _build(self) -> None:
        self.side_by_side = QPushButton("Side by side")
        self.flip = QPushButton("Flip")
        self.difference = QPushButton("Difference")
        self.side_by_side.setCheckable(True)
        self.side_by_side.setToolTip("Raw and denoised in a grid with one camera; once more brings your view back.")
        self.flip.setToolTip("Show raw and denoised in turn, in place.")
        self.difference.setToolTip("Add a layer of raw minus denoised: structure in it was lost or invented.")
        self.back = QPushButton("My view")
        self.back.setToolTip("Bring back the view that you had.")
        self.side_by_side.clicked.connect(self._toggle_side_by_side)
        self.flip.clicked.connect(lambda: self._with_layer(self.views.flip))
        self.difference.clicked.connect(lambda: self._with_layer(self.views.difference))
        self.back.clicked.connect(self.views.restore)
        view = QHBoxLayout()
        for button in (self.side_by_side, self.flip, self.difference, self.back):
            view.addWidget(button)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(4, 4, 4, 4)
        for section in self.sections:
            column.addWidget(section)
        column.addStretch()
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        layout.addLayout(view)
        self.setMinimumWidth(WIDTH_PX)
        self._show_view()

    def choose_layer(self, layer: Image) -> None:
        """Work on a layer."""
        self.movie.choose(layer)

    def load_model(self, path: Path) -> None:
        """Take a model from a file or a run folder."""
        self.denoise.load_model(path)

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Stop all work when the dock is closed."""
        self.close_jobs()
        super().closeEvent(event)

    def event(self, event: QEvent | None) -> bool:
        """Notice that napari takes the dock out of its window: × sends no closeEvent to what is inside."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            # later: nothing may be deleted while it changes its parent
            QTimer.singleShot(0, self._look_for_window)
        return super().event(event)

    def _look_for_window(self) -> None:
        """Stop all work if there is no window any more."""
        if self.parent() is None and self in _OPEN:
            self.close_jobs()
            self.views.restore()
            self.deleteLater()

    def close_jobs(self) -> None:
        """Stop all work; a training ends within a step, and its run folder can be resumed from."""
        if self._closed:
            return
        self._closed = True
        for step in (self.train, self.denoise, self.trust, self.compare, self.simulate):
            step.close_jobs()
        self.workspace.close()
        self._end()

    def _release(self) -> Callable[[], None]:
        """Return what ends all work when nothing of the window may be touched any more."""
        ends = [step.job.ender() for step in (self.train, self.compare)]
        listeners = [
            (self._viewer.layers.events.inserted, self.movie.list_layers),
            (self._viewer.layers.events.removed, self.movie.list_layers),
            (self._viewer.layers.events.renamed, self.movie.list_layers),
            (self._viewer.layers.events.removed, self.denoise.forget),
            (self._viewer.dims.events.current_step, self.denoise.show_cursor),
            (self._viewer.dims.events.current_step, self.trust.show_cursor),
            (self._viewer.dims.events.current_step, self.compare.show_cursor),
            (self._viewer.dims.events.current_step, self.train.follow_slider),
        ]

        def release() -> None:
            for end in ends:
                end()
            for event, listener in listeners:
                event.disconnect(listener)
            _OPEN.discard(self)

        return release

    def _with_layer(self, show: Callable[[Image], object]) -> None:
        if self.workspace.layer is not None:
            show(self.workspace.layer)

    def _toggle_side_by_side(self, checked: bool) -> None:
        if checked:
            self._with_layer(self.views.side_by_side)
        else:
            self.views.restore()
        self._show_view()

    def _show_view(self) -> None:
        """Enable what can be looked at now."""
        there = self.workspace.movie is not None
        self.side_by_side.setEnabled(there or self.views.side_by_side_active)
        self.flip.setEnabled(there)
        self.difference.setEnabled(there)
        self.side_by_side.setChecked(self.views.side_by_side_active)
        self.back.setEnabled(self.views.active)
