"""Third step: training, with live curves and previews."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_noise2atom.cli.progress import clock
from napari_noise2atom.events import Alarm, Checkpointed, Finished, Paused, Preview, Score, Started, Step, TrainEvent
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import PresetName, Settings

from .form import form_label, form_layout
from .jobs import Events, State, StreamJob
from .layers import SparseFrames, add_result, contrast_of, current_frame
from .plots import PictureRow, TrainingPlots
from .section import wrapped
from .simulate_step import forms_of
from .workspace import Workspace, new_run_folder

__all__ = ["TrainStep", "start_training"]

PAINT_MS = 100
MOST_PREVIEWS = 100
"""Of a run's history; when there are more, every other one is dropped."""
MOST_FRAMES = 3
"""Of a preview."""
RAW, DENOISED = "raw", "denoised"

StartTraining = Callable[..., Events]


def start_training(*args: Any, **options: Any) -> Events:
    """Call `napari_noise2atom.training.train`, which takes a second to import."""
    from napari_noise2atom.training import train

    return train(*args, **options)


@dataclass(frozen=True, eq=False)
class _Run:
    """A run, and on what it trains: both stay the same when the user chooses another movie meanwhile."""

    raw: Image
    movie: Movie
    folder: Path


class TrainStep(QWidget):
    """Starts, shows, pauses and ends a training.

    Parameters
    ----------
    viewer : Viewer
        Gets the previews.
    workspace : Workspace
        Whose movie is trained on; gets the model.
    train : callable
        As `napari_noise2atom.training.train`.
    """

    def __init__(self, viewer: Viewer, workspace: Workspace, train: StartTraining = start_training) -> None:
        super().__init__()
        self._viewer, self._workspace, self._train = viewer, workspace, train
        self.job = StreamJob(self)
        self._asked: _Run | None = None
        """The newest run that was asked for; it may be refused."""
        self._begun: _Run | None = None
        """The newest run that has begun: what is shown is its."""
        self._shown: tuple[int, ...] = ()
        self._limited = False
        """By minutes, which may end the run long before its last step."""
        self._newest: Step | None = None
        self._unpainted: Preview | None = None
        self.previews: list[Preview] = []
        self._preview_layer: Image | None = None
        self._limits: list[float] = []
        self._build()
        self._timer = QTimer(self)
        self._timer.setInterval(PAINT_MS)
        self._timer.timeout.connect(self.paint)
        self.job.told.connect(self._take)
        self.job.state_changed.connect(self._show_state)
        self.job.finished.connect(self._finish)
        self.job.failed.connect(self._fail)
        workspace.settings_changed.connect(self._show_settings)
        for signal in (workspace.layer_changed, workspace.measured_changed, workspace.form_problem_changed):
            signal.connect(self._show_state)
        viewer.dims.events.current_step.connect(self.follow_slider)
        self._show_settings()
        self._show_state()

    def _build(self) -> None:
        self.progress = QProgressBar()
        self.progress.setFormat("")
        self.progress.setRange(0, 1)
        self.refused = wrapped()
        self.refused.setStyleSheet("color: #e69f00;")
        self.status = wrapped()
        self.alarms = wrapped()
        self.alarms.setStyleSheet("color: #e69f00;")
        self.pictures = PictureRow((RAW, DENOISED), 190)
        self.plots = TrainingPlots()
        for empty in (self.alarms, self.pictures, self.plots):
            empty.hide()
        self.history = QPushButton("Show the history of previews")
        self.history.setToolTip("Adds a layer with an axis of its own: how the shown frames came out during the run.")
        self.history.clicked.connect(self.add_history)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._choices())
        groups = ("run", "network", "warm_start", "training")
        for form in forms_of(self._workspace, {"run": ("device", "max_minutes", "seed")}, groups):
            layout.addWidget(form)
        layout.addLayout(self._buttons())
        for widget in (self.refused, self.progress, self.status, self.alarms, self.pictures, self.plots, self.history):
            layout.addWidget(widget)

    def _choices(self) -> QFormLayout:
        self.preset = QComboBox()
        self.preset.addItems(get_args(PresetName))
        self.preset.setToolTip("compact for computers without a GPU, default for GPUs, paper as published.")
        self.preset.textActivated.connect(self._workspace.choose_preset)
        self.frames = QLineEdit()
        self.frames.setPlaceholderText("the shown one")
        self.frames.setToolTip("Numbers of at most three frames to preview, such as 0, 20, 40; empty: the shown one.")
        self.frames.textChanged.connect(self.follow_slider)
        layout = form_layout()
        layout.addRow(form_label("preset"), self.preset)
        layout.addRow(form_label("preview frames"), self.frames)
        return layout

    def _buttons(self) -> QHBoxLayout:
        self.start = QPushButton("Train")
        self.pause = QPushButton("Pause")
        self.stop = QPushButton("Stop")
        self.resume = QPushButton("Resume…")
        self.start.clicked.connect(self.start_run)
        self.pause.clicked.connect(self._toggle_pause)
        self.stop.clicked.connect(self.job.stop)
        self.resume.clicked.connect(self._resume)
        self.stop.setToolTip("End within a step; the best model is kept.")
        self.resume.setToolTip("Go on with a run of this movie; its folder is asked for. max minutes counts all of it.")
        layout = QHBoxLayout()
        for button in (self.start, self.pause, self.stop, self.resume):
            layout.addWidget(button)
        return layout

    @property
    def run_folder(self) -> Path | None:
        """Folder of the newest run that has begun."""
        return self._begun.folder if self._begun is not None else None

    def start_run(self) -> None:
        """Start a new run with the settings that are shown."""
        layer = self._workspace.layer
        if layer is not None and self.job.state is State.IDLE:
            self._begin(layer, new_run_folder(layer), self._workspace.settings, resume=False)

    def resume_run(self, folder: Path) -> None:
        """Go on with a run; device, threads, minutes and the like are those that are shown."""
        from napari_noise2atom.training import load_run_settings

        layer = self._workspace.layer
        if layer is None or self.job.state is not State.IDLE:
            return
        try:
            settings = load_run_settings(folder)
        except ValueError as error:
            self._fail(str(error))
            return
        run = self._workspace.settings.run.model_copy(update={"seed": settings.run.seed})
        self._begin(layer, folder, settings.model_copy(update={"run": run}), resume=True)

    def paint(self) -> None:
        """Draw what has come since the last call: at most ten times a second, however fast events come."""
        self.plots.paint()
        if (step := self._newest) is not None:
            done, total = (int(100 * step.share), 100) if self._limited else (step.step, step.total_steps)
            self.progress.setRange(0, total)
            self.progress.setValue(done)
            self.progress.setFormat(
                f"{step.stage}: step {step.step}" + (f", {done}%" if self._limited else f" of {total}")
            )
            self.status.setText(f"{clock(step.seconds)} so far, about {clock(step.seconds_left)} left.")
            self._newest = None
        if (preview := self._unpainted) is not None:
            self._unpainted = None
            self._show_preview(preview)

    def add_history(self) -> None:
        """Add a layer of all previews of the run, the newest last."""
        raw = self._begun.raw if self._begun is not None else None
        if not self.previews or raw is None or raw not in self._viewer.layers:
            return
        data = SparseFrames((len(self.previews), *map(int, raw.data.shape[-3:])))
        for number, preview in enumerate(self.previews):
            for frame, image in zip(preview.frames, preview.denoised, strict=True):
                data.put((number, frame), image, preview.origin_px)
        add_result(
            self._viewer,
            raw,
            data,
            "history",
            contrast_limits=contrast_of(self.previews[-1].denoised),
            metadata={"steps": [preview.step for preview in self.previews]},
        )

    def close_jobs(self) -> None:
        """Stop the training; the run folder can be resumed from."""
        self._timer.stop()
        self.job.stop()

    def _begin(self, layer: Image, folder: Path, settings: Settings, *, resume: bool) -> None:
        movie = self._workspace.movie
        if movie is None:
            return
        self._asked = _Run(layer, movie, folder)
        self.alarms.hide()
        self.alarms.setText("")
        self.status.setText("Preparing …")
        self.progress.setRange(0, 0)
        self.follow_slider()
        # the lambda for the frames is called in the training's thread, whenever a preview is made
        self.job.start(lambda: self._train(movie, settings, run=folder, resume=resume, shown=lambda: self._shown))
        self._timer.start()

    def _toggle_pause(self) -> None:
        if self.job.state is State.PAUSED:
            self.job.resume()
        else:
            self.job.pause()

    def _resume(self) -> None:
        last = self._begun
        proposed = str(last.folder) if last is not None and last.raw is self._workspace.layer else ""
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of the run of this movie to go on with", proposed):
            self.resume_run(Path(chosen))

    def _clear(self) -> None:
        """Show no more of the run before, now that another has begun."""
        self._begun = self._asked
        self.previews, self._preview_layer, self._newest, self._unpainted = [], None, None, None
        self.history.setEnabled(False)
        self.plots.clear()
        self.plots.show()
        self.pictures.show()

    def _take(self, event: TrainEvent) -> None:
        """Note an event; drawing is left to the timer."""
        if self._begun is not self._asked:
            self._clear()
        match event:
            case Started(settings=settings, device=device):
                text = f"Training on {device}, preset {settings.preset}; the run is kept in {self.run_folder}."
                self.status.setText(text)
                self._limited = settings.run.max_minutes > 0
            case Step():
                self._newest = event
                self.plots.add(event)
            case Score():
                self.plots.add(event)
            case Preview():
                self._unpainted = event
                self.previews.append(event)
                if len(self.previews) > MOST_PREVIEWS:
                    del self.previews[1::2]
                self.history.setEnabled(True)
            case Alarm(step=step, message=message):
                self.alarms.setText(f"{self.alarms.text()}\nStep {step}: {message}.".strip())
                self.alarms.show()
            case Paused(step=step):
                self.paint()  # or the last step's text would follow
                self.status.setText(f"Paused after step {step}; a checkpoint is kept in {self.run_folder}.")
            case Finished():
                self._newest = None
                self.progress.setRange(0, 1)
                self.progress.setValue(1)
                self.progress.setFormat(event.reason)
                self.status.setText(
                    f"Ended after {clock(event.seconds)} ({event.reason}); the model that is kept in "
                    f"{self.run_folder} is that of step {event.best_step}."
                )
            case Checkpointed():
                pass

    def _show_preview(self, preview: Preview) -> None:
        self.pictures.show_picture(RAW, preview.raw[0])
        limits = contrast_of(preview.denoised)
        self.pictures.show_picture(DENOISED, preview.denoised[0], limits)
        raw, layer = self._begun.raw if self._begun is not None else None, self._preview_layer
        if raw is None or raw not in self._viewer.layers:
            return
        if layer is None:
            data = SparseFrames(tuple(map(int, raw.data.shape[-3:])))
            layer = self._preview_layer = add_result(self._viewer, raw, data, "preview", contrast_limits=(0, 1))
            self._limits = list(layer.contrast_limits)
        for frame, image in zip(preview.frames, preview.denoised, strict=True):
            layer.data.put((frame,), image, preview.origin_px)
        if layer.contrast_limits == self._limits:
            # nobody has set others
            layer.contrast_limits = limits
            self._limits = list(layer.contrast_limits)
        if layer in self._viewer.layers:
            layer.refresh(extent=False, highlight=False)

    def follow_slider(self, event: object = None) -> None:
        """Let the next preview show the frames of the list, or that on which the slider stands."""
        movie, layer = self._workspace.movie, self._workspace.layer
        if self._asked is not None and self.job.state is not State.IDLE:
            movie, layer = self._asked.movie, self._asked.raw
        if movie is None or layer is None or layer not in self._viewer.layers:
            self._shown = ()
            return
        words = self.frames.text().replace(",", " ").split()
        listed = dict.fromkeys(int(word) for word in words if word.isdecimal() and int(word) < len(movie))
        self._shown = tuple(listed)[:MOST_FRAMES] or (current_frame(self._viewer, layer),)

    def _finish(self, model: Any) -> None:
        self._timer.stop()
        self.paint()
        self._workspace.use_model(model, f"trained on {self._asked.raw.name if self._asked is not None else 'a movie'}")

    def _fail(self, problem: str) -> None:
        self._timer.stop()
        self.progress.setRange(0, 1)
        self.progress.setFormat("failed")
        self.status.setText("")
        self.alarms.setText(problem)
        self.alarms.show()

    def _show_settings(self) -> None:
        self.preset.setCurrentText(self._workspace.settings.preset)

    def _show_state(self, state: object = None) -> None:
        """Enable what can be done now; the state alone decides."""
        now, workspace = self.job.state, self._workspace
        problem = workspace.form_problem
        self.refused.setText(f"{problem}. Correct it before you train." if problem else "")
        self.refused.setVisible(bool(problem))
        free = now is State.IDLE and workspace.movie is not None and not problem
        self.start.setEnabled(free and workspace.measured is not None)
        self.resume.setEnabled(free)
        self.pause.setEnabled(now in (State.RUNNING, State.PAUSED))
        self.pause.setText("Continue" if now is State.PAUSED else "Pause")
        self.stop.setEnabled(now in (State.RUNNING, State.PAUSED))
        self.history.setEnabled(bool(self.previews))
        if now is State.STOPPING:
            self.status.setText("Stopping after this step …")
