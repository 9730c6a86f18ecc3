"""Fourth step: the model applied to the whole series, browsed, computed, saved."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_noise2atom.browsing import BrowsedDenoising
from napari_noise2atom.io import write_movie, write_mp4
from napari_noise2atom.layerdata import LOST_WIDTH
from napari_noise2atom.movie import Movie
from napari_noise2atom.simulate.clean import lost_width_px

from .files import ask_where_to_save
from .jobs import BackgroundJob, Wanted
from .layers import LiveLayer, add_result, contrast_of, current_frame, show_frame
from .plots import CssPlot
from .section import wrapped
from .threads import in_words
from .workspace import Workspace

__all__ = ["DenoiseStep", "Result"]

PAINT_MS = 100
CURSOR_MS = 40
ENDINGS = (".tif", ".tiff", ".zarr", ".mp4", ".csv")
FILTERS = "TIFF (*.tif);;OME-Zarr (*.zarr);;MP4, side by side (*.mp4);;Scores per frame (*.csv)"

MakeDenoiser = Callable[..., Callable[[int], Any]]


def make_denoiser(*args: Any) -> Callable[[int], Any]:
    """Make a `napari_noise2atom.inference.FrameDenoiser`, whose import takes a second."""
    from napari_noise2atom.inference import FrameDenoiser

    return FrameDenoiser(*args)


@dataclass(eq=False)
class Result:
    """A denoised series and its layer."""

    movie: Movie
    bad: tuple[int, ...]
    denoising: BrowsedDenoising
    layer: Image
    raw: Image
    source: str | None
    """File of the raw movie, if it is known."""
    contrast_set: bool = False


class DenoiseStep(QWidget):
    """Applies the model, shows CSS beside the slider, saves.

    Parameters
    ----------
    viewer : Viewer
        Gets the layers.
    workspace : Workspace
        Whose model is applied to its movie.
    denoiser : callable
        Called with movie, model, device and threads; as `napari_noise2atom.inference.FrameDenoiser`.
    """

    def __init__(self, viewer: Viewer, workspace: Workspace, denoiser: MakeDenoiser = make_denoiser) -> None:
        super().__init__()
        self._viewer, self._workspace, self._denoiser = viewer, workspace, denoiser
        self.result: Result | None = None
        """The newest one of the chosen movie: what is plotted, computed and saved."""
        self.results: list[Result] = []
        self._changed = False
        self._build()
        self._timer = QTimer(self)
        self._timer.setInterval(PAINT_MS)
        self._timer.timeout.connect(self.paint)
        self._timer.start()
        self._cursor_timer = QTimer(self)
        self._cursor_timer.setSingleShot(True)
        self._cursor_timer.setInterval(CURSOR_MS)
        self._cursor_timer.timeout.connect(self._draw_cursor)
        self._computing, self._saving = BackgroundJob(self), BackgroundJob(self)
        for job, end in ((self._computing, self._computed), (self._saving, self._saved)):
            job.progress.connect(self._show_progress)
            job.done.connect(end)
            job.failed.connect(self._fail)
        workspace.model_changed.connect(self._show_state)
        workspace.layer_changed.connect(self._choose_result)
        workspace.doubts_changed.connect(self._show_state)
        viewer.dims.events.current_step.connect(self.show_cursor)
        viewer.layers.events.removed.connect(self.forget)
        self._show_state()

    def _build(self) -> None:
        self.model = wrapped()
        self.load = QPushButton("Load model…")
        self.apply = QPushButton("Denoise")
        self.compute = QPushButton("Compute all")
        self.save = QPushButton("Save…")
        self.cancel = QPushButton("Cancel")
        self.load.setToolTip("A model.safetensors, of this movie or of one like it.")
        self.apply.setToolTip("Add a layer of the whole series; frames are computed as you browse.")
        self.compute.setToolTip("Compute every frame now, in the background.")
        self.save.setToolTip("TIFF or OME-Zarr with calibration, MP4 side by side, CSV of scores.")
        self.load.clicked.connect(self._load)
        self.apply.clicked.connect(self.start)
        self.compute.clicked.connect(self.compute_all)
        self.save.clicked.connect(self._ask_and_save)
        self.cancel.clicked.connect(self._cancel)
        buttons = QHBoxLayout()
        for button in (self.load, self.apply, self.compute, self.save):
            buttons.addWidget(button)
        work = QHBoxLayout()
        self.progress = QProgressBar()
        self.progress.setFormat("")
        self.progress.setRange(0, 1)
        work.addWidget(self.progress)
        work.addWidget(self.cancel)
        self.status = wrapped()
        self.css = CssPlot()
        self.css.frame_chosen.connect(self._jump)
        self.css.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.model)
        layout.addLayout(buttons)
        layout.addLayout(work)
        layout.addWidget(self.status)
        layout.addWidget(self.css)

    def start(self) -> None:
        """Add the layer of the denoised series; nothing is computed before it is looked at."""
        workspace = self._workspace
        movie, raw, model = workspace.movie, workspace.layer, workspace.model
        if movie is None or raw is None or model is None:
            return
        run = workspace.settings.run
        try:
            denoise = self._denoiser(movie, model, run.device, run.threads)
        except (ValueError, RuntimeError, MemoryError) as error:
            self._fail(in_words(error))
            return
        bad = workspace.measured.bad if workspace.measured is not None else ()
        live = LiveLayer(self._viewer)
        denoising = BrowsedDenoising(movie, denoise, live.notes.append, live.notes.append)
        metadata = {"recipe": model.recipe, LOST_WIDTH: lost_width_px(model.settings.simulation)}
        layer = add_result(self._viewer, raw, denoising.array, "denoised", contrast_limits=(0, 1), metadata=metadata)
        result = Result(movie, bad, denoising, layer, raw, raw.source.path)
        self.results.append(result)
        live.computed.connect(lambda index: self._take_frame(result, index))
        live.failed.connect(self._fail)
        live.follow(layer, denoising.frames)
        self._choose_result()
        self.status.setText("")

    def compute_all(self) -> None:
        """Compute every frame in the background."""
        if self.result is not None:
            result = self.result
            result.denoising.frames.retry()
            self._computing.run(lambda wanted: _compute_all(result, wanted))
            self._show_state()

    def save_as(self, path: Path) -> None:
        """Write the denoised series, in the background, in the format that the name's ending says."""
        if self.result is not None:
            result = self.result
            self._saving.run(lambda wanted: _save(result, path, wanted))
            self._show_state()

    def paint(self) -> None:
        """Draw the CSS of what has been computed since the last call."""
        if self._changed and self.result is not None:
            self._changed = False
            denoising = self.result.denoising
            with np.errstate(invalid="ignore"):
                self.css.draw(denoising.raw_css.per_frame(), denoising.css.per_frame())

    def close_jobs(self) -> None:
        """Compute nothing any more."""
        self._timer.stop()
        self._cursor_timer.stop()
        self._computing.cancel()
        self._saving.cancel()

    def _load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Model to apply", filter="Noise2Atom model (*.safetensors)")
        if path:
            self.load_model(Path(path))

    def load_model(self, path: Path) -> None:
        """Take a model from a file or a run folder."""
        from napari_noise2atom.modelfile import load_model

        try:
            self._workspace.use_model(load_model(path), str(path))
        except ValueError as error:
            self._fail(str(error))

    def _ask_and_save(self) -> None:
        if (result := self.result) is None:
            return
        proposed = f"{result.movie.name} denoised.tif"
        try:
            path = ask_where_to_save(self, "Save the denoised series", proposed, FILTERS, ENDINGS, result.source)
        except ValueError as error:
            self._fail(str(error))
            return
        if path is not None:
            self.save_as(path)

    def _cancel(self) -> None:
        self._computing.cancel()
        self._saving.cancel()
        self.progress.setFormat("cancelled")
        self.progress.setValue(0)
        self._show_state()

    def _take_frame(self, result: Result, index: int) -> None:
        """Note that a frame is there; the first one tells the range of the result."""
        self._changed = True
        frame = result.denoising.frames.peek(index)
        if not result.contrast_set and frame is not None:
            result.contrast_set = True
            result.layer.contrast_limits = contrast_of(frame)

    def show_cursor(self, event: object = None) -> None:
        """Put the plot's cursor on the frame that is shown, soon: the frame itself is painted first."""
        if not self._cursor_timer.isActive():
            self._cursor_timer.start()

    def _draw_cursor(self) -> None:
        if self.result is not None:
            self.css.show_frame(current_frame(self._viewer, self.result.layer))

    def _jump(self, index: int) -> None:
        if self.result is not None:
            show_frame(self._viewer, self.result.layer, index)

    def forget(self, event: Any) -> None:
        """Show no more of a layer that was removed."""
        for result in [result for result in self.results if result.layer is event.value]:
            self.results.remove(result)
            if result is self.result:
                self._computing.cancel()
        self._choose_result()

    def _choose_result(self) -> None:
        """Turn to the newest result of the chosen movie."""
        own = [result for result in self.results if result.raw is self._workspace.layer]
        newest = own[-1] if own else None
        if newest is not self.result:
            self.result = newest
            self.css.setVisible(newest is not None)
            if newest is not None:
                self.css.show_movie(len(newest.movie), newest.bad)
                self.show_cursor()
            self._changed = True
        self._show_state()

    def _computed(self, result: Result) -> None:
        if (frames := result.denoising.frames.capacity) < len(result.movie):
            self._end("every frame computed", f"{frames} frames are kept in memory; Save… computes the others anew.")
        else:
            self._end("every frame computed", "")

    def _saved(self, path: Path) -> None:
        self._end("saved", f"Saved {path}.")

    def _end(self, done: str, text: str) -> None:
        self.progress.setRange(0, 1)
        self.progress.setValue(1)
        self.progress.setFormat(done)
        self.status.setText(text)
        self._show_state()

    def _fail(self, problem: str) -> None:
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.progress.setFormat("failed")
        self.status.setText(problem)
        self._show_state()

    def _show_progress(self, number: int, total: int) -> None:
        if self._computing.busy or self._saving.busy:
            self.progress.setRange(0, total)
            self.progress.setValue(number)
            self.progress.setFormat(f"{number} of {total} frames")

    def _show_state(self, state: object = None) -> None:
        """Enable what can be done now."""
        workspace, busy = self._workspace, self._computing.busy or self._saving.busy
        model = workspace.model
        texts = [f"Model {workspace.model_name}." if model is not None else "Train or load a model first."]
        texts += workspace.doubts
        texts += [f"Result: {self.result.layer.name}."] if self.result is not None else []
        self.model.setText(" ".join(texts))
        self.apply.setEnabled(model is not None and workspace.movie is not None)
        self.compute.setEnabled(self.result is not None and not busy)
        self.save.setEnabled(self.result is not None and not busy)
        self.cancel.setEnabled(busy)


def _compute_all(result: Result, wanted: Wanted) -> Result:
    for index in range(count := len(result.movie)):
        result.denoising.frames.wait(index)
        wanted(index + 1, count)
    return result


def _save(result: Result, path: Path, wanted: Wanted) -> Path:
    denoised = result.denoising.array.exact
    match path.suffix.lower():
        case ".mp4":
            write_mp4([("raw", result.movie), ("denoised", denoised)], path, progress=wanted)
        case ".csv":
            from napari_noise2atom.metrics import score_movie, write_csv

            write_csv(score_movie(denoised, raw=result.movie, progress=wanted), path)
        case _:
            recipe = result.layer.metadata["noise2atom"]["recipe"] | {"frames": [0, len(denoised)]}
            # a .zarr whose saving was cancelled goes on; of another movie or model, it is left alone
            write_movie(denoised, path, resume=True, progress=wanted, recipe=recipe)
    return path
