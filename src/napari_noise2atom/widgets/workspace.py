"""What the steps share: the movie, what was measured on it, the settings, the trained model."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.settings import get_plugin_settings
from napari.utils.notifications import show_warning
from pydantic import ValidationError
from qtpy.QtCore import QObject, Signal

from napari_noise2atom.estimate import Estimate, estimate, settings_from
from napari_noise2atom.io import find_bad_frames
from napari_noise2atom.layerdata import movie_of_layer
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import PresetName, RunSettings, Settings, preset

from .jobs import BackgroundJob, Wanted

if TYPE_CHECKING:
    from napari_noise2atom.modelfile import TrainedModel

__all__ = ["Measured", "Workspace", "is_result", "preferences"]

BATCH_FRAMES = 64
"""Frames that are looked at before asking whether the result is still wanted."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a movie tells."""

    bad: tuple[int, ...]
    """Numbers of the frames without an image."""
    found: Estimate
    preset: PresetName
    """Which suits this computer."""


class Workspace(QObject):
    """Owns what the user works on; the steps show it and change it."""

    layer_changed = Signal()
    """Another layer was chosen, or none; `movie` or `problem` says what it is."""
    measured_changed = Signal()
    """`measured` is there, or gone, or `problem` says why not."""
    settings_changed = Signal()
    form_problem_changed = Signal()
    """`form_problem` says why a value that a form shows is not in the settings, or no longer."""
    model_changed = Signal()
    doubts_changed = Signal()
    """What speaks against applying the model to the movie was found out."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer: Image | None = None
        self.movie: Movie | None = None
        self.problem = ""
        self.measured: Measured | None = None
        self.settings = _preferred(preset("compact"))
        self.model: TrainedModel | None = None
        self.model_name = ""
        self.doubts: tuple[str, ...] = ()
        self._chosen_preset: PresetName | None = None
        self._edits: dict[str, dict[str, Any]] = {}
        """What the user has set since a preset was chosen, by group and field."""
        self._form_problems: dict[object, str] = {}
        self._measuring = BackgroundJob(self)
        self._measuring.done.connect(self._take_measured)
        self._measuring.failed.connect(self._fail)
        self._doubting = BackgroundJob(self)
        self._doubting.done.connect(self._take_doubts)
        self.model_changed.connect(self._doubt)
        self.layer_changed.connect(self._doubt)

    def choose_layer(self, layer: Image | None) -> None:
        """Work on a layer; it is checked at once, and measured in the background."""
        self._listen(False)
        self.layer, self.movie, self.measured, self.problem = layer, None, None, ""
        self._listen(True)
        self._measuring.cancel()
        if layer is not None:
            try:
                self.movie = movie_of_layer(layer.data, layer_facts(layer))
            except ValueError as error:
                self.problem = str(error)
        self.layer_changed.emit()
        self.measured_changed.emit()
        movie = self.movie
        if movie is not None:
            self._measuring.run(lambda wanted: _measure(movie, wanted))

    def choose_preset(self, name: PresetName) -> None:
        """Take the settings of a preset, with what the movie tells."""
        self._chosen_preset = name
        self._edits.clear()
        self._propose(name)

    def change(self, group: str, values: Any) -> None:
        """Take a group of settings from a form."""
        before = getattr(self.settings, group)
        edited = {name: value for name, value in values if value != getattr(before, name)}
        self._edits.setdefault(group, {}).update(edited)
        self.settings = self.settings.model_copy(update={group: values})
        self.settings_changed.emit()

    @property
    def form_problem(self) -> str:
        """Why a value that a form shows is not in the settings; empty if all are."""
        return next(iter(self._form_problems.values()), "")

    def note_problem(self, form: object, problem: str) -> None:
        """Note why a form's value was not taken, or by an empty text that all were."""
        self._form_problems.pop(form, None)
        if problem:
            self._form_problems[form] = problem
        self.form_problem_changed.emit()

    def use_model(self, model: "TrainedModel", name: str) -> None:
        """Take a model, a new one or one from a file."""
        self.model, self.model_name = model, name
        self.model_changed.emit()

    def close(self) -> None:
        """Want nothing any more."""
        self._listen(False)
        self._measuring.cancel()
        self._doubting.cancel()

    def _listen(self, wanted: bool) -> None:
        """Follow the calibration of the chosen layer, or no longer."""
        if self.layer is not None:
            for event in (self.layer.events.scale, self.layer.events.units):
                if wanted:
                    event.connect(self._recalibrate)
                else:
                    event.disconnect(self._recalibrate)

    def _recalibrate(self, event: object = None) -> None:
        """Take the calibration that the user has given to the layer; what was measured stays, it is in pixels."""
        if self.layer is not None and self.movie is not None:
            self.movie = movie_of_layer(self.layer.data, layer_facts(self.layer))
            self.layer_changed.emit()

    def _propose(self, name: PresetName) -> None:
        """Take a preset and what the user has set, with what this movie tells; nothing is left of another movie."""
        base = preset(name).model_copy(update={"run": self.settings.run})
        edited = {group: getattr(base, group).model_copy(update=values) for group, values in self._edits.items()}
        base = base.model_copy(update=edited)
        if self.measured is not None and self.movie is not None:
            base = settings_from(self.measured.found, self.movie, base)
        self.settings = base
        self.settings_changed.emit()

    def _take_measured(self, measured: Measured) -> None:
        self.measured = measured
        self._propose(self._chosen_preset or measured.preset)
        self.measured_changed.emit()

    def _doubt(self) -> None:
        """Find out in the background whether the model suits the movie, of which some frames are read."""
        self.doubts = ()
        self._doubting.cancel()
        movie, model = self.movie, self.model
        if movie is not None and model is not None:
            self._doubting.run(lambda wanted: model.doubts(movie))

    def _take_doubts(self, doubts: tuple[str, ...]) -> None:
        self.doubts = doubts
        self.doubts_changed.emit()

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self.measured_changed.emit()


def layer_facts(layer: Image) -> dict[str, Any]:
    """Return what `movie_of_layer` wants to know of a layer."""
    return {
        "name": layer.name,
        "scale": tuple(layer.scale),
        "units": tuple(layer.units),
        "axis_labels": tuple(layer.axis_labels),
        "rgb": layer.rgb,
        "multiscale": layer.multiscale,
    }


def is_result(layer: Any) -> bool:
    """Tell whether a layer was made by this dock."""
    return "result" in layer.metadata.get("noise2atom", {})


def preferences() -> Any:
    """Return the user's preferences: `device`, `threads`, `run_folder`."""
    return get_plugin_settings("napari-noise2atom").computing


def new_run_folder(layer: Image) -> Path:
    """Return a folder for a new run: where the preferences say, beside the movie's file, or at home."""
    source = layer.source.path
    wished = str(preferences().run_folder)
    beside = Path(source).parent if source and os.access(Path(source).parent, os.W_OK) else Path.home()
    parent = Path(wished) if wished else beside
    name = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in layer.name)
    folder = parent / f"{name} noise2atom"
    number = 1
    while (run := folder / f"run {number}").exists():
        number += 1
    return run


def _preferred(settings: Settings) -> Settings:
    wished = preferences()
    threads = wished.threads or max(1, (os.cpu_count() or 1) - 1)  # the window keeps a core
    values = settings.run.model_dump() | {"device": wished.device, "threads": threads}
    try:
        return settings.model_copy(update={"run": RunSettings.model_validate(values)})
    except ValidationError:
        show_warning(
            f"The preferences of Noise2Atom have the device {wished.device!r}; expected auto, cpu, mps, cuda or "
            "cuda:N. auto is taken; change it in File > Preferences."
        )
        return settings


def _measure(movie: Movie, wanted: Wanted) -> Measured:
    from napari_noise2atom.networks import resolve_device

    found = estimate(movie)
    bad: list[int] = []
    for start in range(0, len(movie), BATCH_FRAMES):
        wanted(start, len(movie))
        bad += find_bad_frames(movie, range(start, min(start + BATCH_FRAMES, len(movie))))
    return Measured(tuple(bad), found, "compact" if resolve_device("auto").type == "cpu" else "default")
