"""Sixth step: what other methods make of the same movie, with scores beside one another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_noise2atom.baselines import METHODS
from napari_noise2atom.cli.progress import clock
from napari_noise2atom.comparison import (
    CompareEvent,
    MethodBegun,
    MethodFailed,
    MethodFinished,
    MethodProgress,
    compare,
)
from napari_noise2atom.comparisonfolder import ComparisonFolder
from napari_noise2atom.layerdata import contrast_limits
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CompareSettings

from .form import SettingsForm
from .jobs import BackgroundJob, Events, State, StreamJob, Wanted
from .layers import add_result, current_frame, show_frame
from .plots import MethodsPlot
from .score_table import ScoreTable
from .section import wrapped
from .threads import JobError
from .workspace import Workspace

__all__ = ["CompareStep"]

CURSOR_MS = 40
COLUMNS = 2
"""Of the check boxes."""
START = "Denoise the movie with each ticked method; each result becomes a layer at once."
PRESENT = "present"
PICTURE = "compare.png"


@dataclass(frozen=True, eq=False)
class _Task:
    """What is compared: it stays the same when the user chooses another movie or model meanwhile."""

    raw: Image
    movie: Movie
    recipe: dict[str, Any]


class CompareStep(QWidget):
    """Denoises the movie with other methods, shows and saves results and scores.

    Parameters
    ----------
    viewer : Viewer
        Gets the layers.
    workspace : Workspace
        Whose movie is denoised; its model joins in.
    run : callable
        As `napari_noise2atom.comparison.compare`.
    """

    def __init__(self, viewer: Viewer, workspace: Workspace, run: Callable[..., Events] = compare) -> None:
        super().__init__()
        self._viewer, self._workspace, self._run = viewer, workspace, run
        self.job, self._saving = StreamJob(self), BackgroundJob(self)
        self.results: list[MethodFinished] = []
        self._task: _Task | None = None
        self._newest: Image | None = None
        self._doing = ""
        self._build()
        self._cursor_timer = QTimer(self)
        self._cursor_timer.setSingleShot(True)
        self._cursor_timer.setInterval(CURSOR_MS)
        self._cursor_timer.timeout.connect(self._draw_cursor)
        self.job.told.connect(self._take)
        self.job.state_changed.connect(self._show_state)
        self.job.finished.connect(self._finish)
        self.job.failed.connect(self._fail)
        self._saving.progress.connect(self._show_saving)
        self._saving.done.connect(self._saved)
        self._saving.failed.connect(self._fail)
        workspace.model_changed.connect(self._show_state)
        workspace.layer_changed.connect(self._show_state)
        viewer.dims.events.current_step.connect(self.show_cursor)
        self._show_state()

    def _build(self) -> None:
        self.form = SettingsForm(CompareSettings(), ("minutes", "filter_px", "filter_frames"))
        self.form.problem_changed.connect(self._show_state)
        self.start = QPushButton("Compare")
        self.stop = QPushButton("Stop")
        self.save = QPushButton("Save…")
        self.stop.setToolTip("End within a step; results so far are kept.")
        self.save.setToolTip("A new folder with the movies as TIFF, scores as CSV, and a picture.")
        self.start.clicked.connect(self.start_comparison)
        self.stop.clicked.connect(self.job.stop)
        self.save.clicked.connect(self._ask_and_save)
        buttons = QHBoxLayout()
        for button in (self.start, self.stop, self.save):
            buttons.addWidget(button)
        self.progress = QProgressBar()
        self.progress.setFormat("")
        self.progress.setRange(0, 1)
        self.status = wrapped()
        self.table = ScoreTable()
        self.plot = MethodsPlot()
        self.plot.frame_chosen.connect(self._jump)
        self.table.hide()
        self.plot.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._choices())
        layout.addWidget(self.form)
        layout.addLayout(buttons)
        for widget in (self.progress, self.status, self.table, self.plot):
            layout.addWidget(widget)

    def _choices(self) -> QGridLayout:
        self.boxes = {name: QCheckBox(method.title) for name, method in METHODS.items()}
        for name, box in self.boxes.items():
            method = METHODS[name]
            box.setToolTip(method.missing or method.source)
            box.setChecked(not (method.missing or method.trained))
            box.setEnabled(not method.missing)
        self.present = QCheckBox(f"Noise2Atom ({PRESENT})")
        self.present.setChecked(True)
        layout = QGridLayout()
        for number, box in enumerate((*self.boxes.values(), self.present)):
            box.toggled.connect(self._show_state)
            layout.addWidget(box, *divmod(number, COLUMNS))
        return layout

    def start_comparison(self) -> None:
        """Compare the ticked methods; results, table and curves of the comparison before make room, its layers stay."""
        workspace, run = self._workspace, self._workspace.settings.run
        movie, raw = workspace.movie, workspace.layer
        if movie is None or raw is None or self.job.state is not State.IDLE:
            return
        chosen, models = self._chosen(), {PRESENT: workspace.model} if self._joins() else {}
        settings = self.form.settings.model_copy(
            update={"device": run.device, "threads": run.threads, "seed": run.seed}
        )
        recipe: dict[str, Any] = {"settings": settings.model_dump()}
        if workspace.model is not None and models:
            recipe["provenance"] = dict(workspace.model.provenance)
        self._task, self.results, self._newest = _Task(raw, movie, recipe), [], None
        self.table.clear_rows()
        self.plot.show_movie(len(movie), workspace.measured.bad if workspace.measured is not None else ())
        self.table.show()
        self.plot.show()
        self.status.setText("")
        self.show_cursor()
        self.job.start(lambda: self._run(movie, chosen, settings, models=models))

    def save_as(self, folder: Path) -> None:
        """Write what the command line writes into a new folder, in the background."""
        if self._task is not None and self.results:
            movie, results = self._task.movie, tuple(self.results)
            self._saving.run(lambda wanted: _save(folder, movie, results, wanted))
            self._show_state()

    def close_jobs(self) -> None:
        """Compute nothing any more."""
        self._cursor_timer.stop()
        self.job.stop()
        self._saving.cancel()

    def _chosen(self) -> list[str]:
        return [name for name, box in self.boxes.items() if box.isChecked()]

    def _joins(self) -> bool:
        """Tell whether there is a model that joins in."""
        return self._workspace.model is not None and self.present.isChecked()

    def _take(self, event: CompareEvent) -> None:
        """Show what a comparison tells."""
        match event:
            case MethodBegun():
                self._doing = f"{event.title}, {event.number} of {event.total}"
                self.table.begin(event.title)
                self._show_progress(0, self._doing)
            case MethodProgress() if self.job.state is State.RUNNING:
                left = "" if event.seconds_left is None else f", {clock(event.seconds_left)} left"
                self._show_progress(event.share, f"{self._doing}: {event.share:.0%}{left}")
            case MethodFinished():
                self.results.append(event)
                self.table.finish(event, self.plot.add(event.title, event.scores.columns["css"]))
                self._add_layer(event)
            case MethodFailed():
                self.table.fail(event)

    def _add_layer(self, event: MethodFinished) -> None:
        """Show a result, and hide the one before unless they stand side by side."""
        assert self._task is not None
        if self._newest is not None and not self._viewer.canvas.grid.enabled:
            self._newest.visible = False
        self._newest = add_result(
            self._viewer,
            self._task.raw,
            event.movie.data,
            event.title,
            contrast_limits=contrast_limits(event.movie),
            metadata={"recipe": {"method": event.name} | self._task.recipe},
        )

    def show_cursor(self, event: object = None) -> None:
        """Put the plot's cursor on the frame that is shown, soon: the frame itself is painted first."""
        if not self._cursor_timer.isActive():
            self._cursor_timer.start()

    def _draw_cursor(self) -> None:
        if (raw := self._compared_layer()) is not None:
            self.plot.show_frame(current_frame(self._viewer, raw))

    def _jump(self, index: int) -> None:
        if (raw := self._compared_layer()) is not None:
            show_frame(self._viewer, raw, index)

    def _compared_layer(self) -> Image | None:
        """Return the layer that was compared, if it was not removed."""
        raw = self._task.raw if self._task is not None else None
        return raw if raw in self._viewer.layers else None

    def _ask_and_save(self) -> None:
        if self._task is None:
            return
        proposed = f"{self._task.movie.name} compared"
        folder, _ = QFileDialog.getSaveFileName(self, "New folder for the results", proposed)
        if folder:
            self.save_as(Path(folder))

    def _finish(self, result: object) -> None:
        count = f"{len(self.results)} of {self.table.rowCount()} methods have a result"
        self._show_progress(1, count)

    def _saved(self, folder: Path) -> None:
        self._show_progress(1, "saved")
        self.status.setText(f"Saved {folder}.")
        self._show_state()

    def _fail(self, problem: str) -> None:
        self._show_progress(0, "failed")
        self.status.setText(problem)
        self._show_state()

    def _show_saving(self, number: int, total: int) -> None:
        self._show_progress(number / total, f"saved {number} of {total} methods")

    def _show_progress(self, share: float, text: str) -> None:
        self.progress.setRange(0, 100)
        self.progress.setValue(round(100 * share))
        self.progress.setFormat(text)

    def _show_state(self, state: object = None) -> None:
        """Enable what can be done now."""
        workspace, now = self._workspace, self.job.state
        idle = now is State.IDLE and not self._saving.busy
        self.present.setEnabled(workspace.model is not None)
        self.present.setToolTip(
            f"Model {workspace.model_name}." if workspace.model is not None else "None is there yet."
        )
        chosen = bool(self._chosen() or self._joins())
        self.start.setEnabled(idle and workspace.movie is not None and chosen and not self.form.problem)
        self.start.setToolTip(self.form.problem or START)
        self.stop.setEnabled(now is State.RUNNING)
        self.save.setEnabled(idle and bool(self.results))
        if now is State.STOPPING:
            self.progress.setFormat("stopping after this step …")


def _save(folder: Path, movie: Movie, results: Sequence[MethodFinished], wanted: Wanted) -> Path:
    """Write results into a new folder; one that is there may hold the movie itself."""
    from napari_noise2atom.figure import draw_methods

    if folder.exists():
        raise JobError(f"{folder} is there already; choose the name of a new folder.")
    left = ComparisonFolder(folder, movie)
    for number, result in enumerate(results, start=1):
        left.add(result)
        wanted(number, len(results))
    draw_methods(left.panels, left.css, folder / PICTURE, left.pixel_size_nm)
    return folder
