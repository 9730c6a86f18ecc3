"""Fifth step: can the result be trusted? Atoms with their confidence, the noise test, what denoising took away."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_noise2atom.movie import Movie
from napari_noise2atom.simulate.clean import lost_width_px
from napari_noise2atom.trust import Atoms, NoiseTest, Residual, measure_atoms, measure_residual, noise_test, null_movie

from .files import ask_where_to_save
from .jobs import BackgroundJob, Wanted
from .layers import add_atoms, add_live_result, current_frame, show_frame
from .plots import AtomsPlot, PictureRow
from .section import wrapped
from .workspace import Workspace

if TYPE_CHECKING:
    from napari_noise2atom.modelfile import TrainedModel

__all__ = ["TrustStep"]

CURSOR_MS = 40
SHOWN_CORRELATION = (-0.05, 0.25)
"""Autocorrelation that is drawn black and white."""
PICTURE = "autocorrelation"

Apply = Callable[[Movie, "TrainedModel", str, int], Movie]


def apply_model(movie: Movie, model: "TrainedModel", device: str, threads: int) -> Movie:
    """Denoise lazily by `napari_noise2atom.inference.denoise`, whose import takes a second."""
    from napari_noise2atom.inference import denoise

    return denoise(movie, model, device=device, threads=threads)


@dataclass(frozen=True, eq=False)
class _Task:
    """What is worked on: it stays the same when the user chooses another movie or model meanwhile."""

    raw: Image
    movie: Movie
    model: "TrainedModel"
    denoise: Callable[[Movie], Movie]


class TrustStep(QWidget):
    """Finds atoms, counts invented ones, shows the residual.

    Parameters
    ----------
    viewer : Viewer
        Gets the layers.
    workspace : Workspace
        Whose model is applied to its movie.
    apply : callable
        Called with movie, model, device and threads, in a thread; returns the denoised movie.
    """

    def __init__(self, viewer: Viewer, workspace: Workspace, apply: Apply = apply_model) -> None:
        super().__init__()
        self._viewer, self._workspace, self._apply = viewer, workspace, apply
        self.atoms: Atoms | None = None
        self._name = ""
        self._plotted: _Task | None = None
        self._take: Callable[[Any], str] = str
        self._build()
        self._cursor_timer = QTimer(self)
        self._cursor_timer.setSingleShot(True)
        self._cursor_timer.setInterval(CURSOR_MS)
        self._cursor_timer.timeout.connect(self._draw_cursor)
        self._job = BackgroundJob(self)
        self._job.progress.connect(self._show_progress)
        self._job.done.connect(self._end)
        self._job.failed.connect(self._fail)
        workspace.model_changed.connect(self._show_state)
        workspace.layer_changed.connect(self._show_state)
        viewer.dims.events.current_step.connect(self.show_cursor)
        self._show_state()

    def _build(self) -> None:
        buttons = QHBoxLayout()
        self.locate = self._button("Find atoms", "Add points and tracks of all atoms, coloured by confidence.", buttons)
        self.test = self._button("Noise test", "Count the atoms that are seen in frames of noise alone.", buttons)
        self.residual = self._button(
            "Residual", "Add a layer of what denoising took away, and show how its pixels correlate.", buttons
        )
        self.save = self._button("Save CSV…", "Table of atoms: place, intensity, confidence, trajectory.", buttons)
        self.locate.clicked.connect(self.find_atoms)
        self.test.clicked.connect(self.test_noise)
        self.residual.clicked.connect(self.show_residual)
        self.save.clicked.connect(self._ask_and_save)
        work = QHBoxLayout()
        self.progress = QProgressBar()
        self.progress.setFormat("")
        self.progress.setRange(0, 1)
        work.addWidget(self.progress)
        self.cancel = self._button("Cancel", "Stop after the present frame.", work)
        self.cancel.clicked.connect(self._cancel)
        self.status = wrapped()
        self.plot = AtomsPlot()
        self.plot.frame_chosen.connect(self._jump)
        self.plot.hide()
        self.picture = PictureRow((PICTURE,))
        self.picture.setToolTip("Of the residual, at lags of -8 to 8 px: only x, through the centre, may be bright.")
        self.picture.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addLayout(work)
        for widget in (self.status, self.plot, self.picture):
            layout.addWidget(widget)

    def _button(self, text: str, tip: str, row: QHBoxLayout) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        row.addWidget(button)
        return button

    def find_atoms(self) -> None:
        """Find the atoms of all frames; points and tracks are added when all are there."""

        def work(task: _Task, wanted: Wanted) -> Atoms:
            return measure_atoms(task.movie, task.denoise, task.model.settings, progress=wanted)

        self._start(work, self._take_atoms)

    def test_noise(self) -> None:
        """Count atoms in the movie and in frames of its noise alone."""

        def work(task: _Task, wanted: Wanted) -> NoiseTest:
            return noise_test(task.movie, task.denoise, task.model.settings, progress=wanted)

        self._start(work, self._take_test)

    def show_residual(self) -> None:
        """Add the residual as a layer, with its autocorrelation."""

        def work(task: _Task, wanted: Wanted) -> tuple[Residual, Movie]:
            denoised, settings = task.denoise(task.movie), task.model.settings
            null = null_movie("noise model", task.movie, settings)
            blur_px = lost_width_px(settings.simulation)
            return measure_residual(task.movie, denoised, wanted, blur_px=blur_px, null=null), denoised

        self._start(work, self._take_residual)

    def save_as(self, path: Path) -> None:
        """Write the table of atoms."""
        if self.atoms is not None:
            atoms = self.atoms
            self._take = lambda result: f"Saved {path}."
            self._job.run(lambda wanted: atoms.write_csv(path))
            self._show_state()

    def close_jobs(self) -> None:
        """Compute nothing any more."""
        self._cursor_timer.stop()
        self._job.cancel()

    def _start(self, work: Callable[[_Task, Wanted], Any], take: Callable[[_Task, Any], str]) -> None:
        """Work in the background with the model; the result is taken for the layer on which it began."""
        workspace = self._workspace
        movie, raw, model, run = workspace.movie, workspace.layer, workspace.model, workspace.settings.run
        if movie is None or raw is None or model is None:
            return
        task = _Task(raw, movie, model, lambda other: self._apply(other, model, run.device, run.threads))
        self._take = lambda result: take(task, result)
        self.status.setText("")
        self._job.run(lambda wanted: work(task, wanted))
        self._show_state()

    def _take_atoms(self, task: _Task, atoms: Atoms) -> str:
        self.atoms, self._name = atoms, f"{task.movie.name} atoms.csv"
        if len(atoms):
            # as wide as the widest spot that the model knows is above 60 % of its height
            add_atoms(self._viewer, task.raw, atoms, 2 * task.model.settings.simulation.variance_max_px2**0.5)
        self._plot_movie(task)
        self.plot.draw("movie", np.arange(atoms.frames), atoms.per_frame)
        return atoms.sentence

    def _take_test(self, task: _Task, test: NoiseTest) -> str:
        self._plot_movie(task)
        self.plot.draw("movie", test.frames, test.real)
        for kind, counts in test.nulls.items():
            self.plot.draw(kind, test.frames, counts)
        return test.sentence

    def _take_residual(self, task: _Task, found: tuple[Residual, Movie]) -> str:
        residual, denoised = found

        def compute(index: int) -> Any:
            return residual.frame(task.movie.frame(index), denoised.frame(index))

        limit = 3 * residual.spread or 1.0
        look = {"contrast_limits": (-limit, limit), "colormap": "PiYG"}
        add_live_result(self._viewer, task.raw, task.movie, compute, "residual", self.status.setText, **look)
        image = residual.autocorrelation.astype(np.float32)
        self.picture.show_picture(PICTURE, image, SHOWN_CORRELATION)
        self.picture.show()
        return residual.sentence

    def _plot_movie(self, task: _Task) -> None:
        """Show the plot of a movie; curves of the same movie stay."""
        if self._plotted is None or self._plotted.movie is not task.movie:
            self.plot.show_movie(len(task.movie))
        self._plotted = task
        self.plot.show()
        self.show_cursor()

    def show_cursor(self, event: object = None) -> None:
        """Put the plot's cursor on the frame that is shown, soon: the frame itself is painted first."""
        if not self._cursor_timer.isActive():
            self._cursor_timer.start()

    def _draw_cursor(self) -> None:
        if (raw := self._plotted_layer()) is not None:
            self.plot.show_frame(current_frame(self._viewer, raw))

    def _jump(self, index: int) -> None:
        if (raw := self._plotted_layer()) is not None:
            show_frame(self._viewer, raw, index)

    def _plotted_layer(self) -> Image | None:
        """Return the layer whose atoms are plotted, if it was not removed."""
        raw = self._plotted.raw if self._plotted is not None else None
        return raw if raw in self._viewer.layers else None

    def _ask_and_save(self) -> None:
        try:
            path = ask_where_to_save(self, "Save the table of atoms", self._name, "CSV (*.csv)", (".csv",))
        except ValueError as error:
            self._fail(str(error))
            return
        if path is not None:
            self.save_as(path)

    def _cancel(self) -> None:
        self._job.cancel()
        self._finish("cancelled", 0, "")

    def _end(self, result: object) -> None:
        self._finish("done", 1, self._take(result))

    def _fail(self, problem: str) -> None:
        self._finish("failed", 0, problem)

    def _finish(self, state: str, value: int, text: str) -> None:
        self.progress.setRange(0, 1)
        self.progress.setValue(value)
        self.progress.setFormat(state)
        self.status.setText(text)
        self._show_state()

    def _show_progress(self, number: int, total: int) -> None:
        if self._job.busy:
            self.progress.setRange(0, total)
            self.progress.setValue(number)
            self.progress.setFormat(f"{number} of {total} frames")

    def _show_state(self) -> None:
        """Enable what can be done now."""
        busy = self._job.busy
        ready = self._workspace.model is not None and self._workspace.movie is not None and not busy
        for button in (self.locate, self.test, self.residual):
            button.setEnabled(ready)
        self.save.setEnabled(self.atoms is not None and not busy)
        self.cancel.setEnabled(busy)
