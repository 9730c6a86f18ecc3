"""Second step: what clean images and their noise will look like, beside the movie itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_noise2atom.movie import Movie, is_bad_frame
from napari_noise2atom.settings import Settings
from napari_noise2atom.simulate.pairs import simulate_pairs

from .form import SettingsForm
from .jobs import BackgroundJob, Wanted
from .plots import PictureRow
from .section import Section, wrapped
from .workspace import Workspace

__all__ = ["SimulateStep", "forms_of"]

MAIN = {
    "simulation": ("variance_min_px2", "variance_max_px2", "positions_min", "positions_max"),
    "scene": ("atom_peak_e", "background_e", "background_gradient", "walk_px"),
}
"""By group of settings: what is shown unfolded."""
EXPERT = ("simulation", "scene", "detector")
WAIT_MS = 300
"""From the last key to the new pictures."""
SHOWN_PX = 128
"""Side of a picture: a training crop may hold but one or two atoms, which tells little of how many there are [px]."""
CLEAN, NOISY, REAL = "clean, simulated", "noisy, simulated", "your movie"


class SimulateStep(QWidget):
    """Edits what is simulated, and shows it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._seed = 0
        self.forms = forms_of(workspace, MAIN, EXPERT)
        self.pictures = PictureRow((CLEAN, NOISY, REAL))
        self.problem = wrapped()
        self.problem.hide()
        self.another = QPushButton("Another crop")
        self.another.setToolTip("Draw other atoms, and another place of the movie.")
        self.another.clicked.connect(self._draw_another)
        buttons = QHBoxLayout()
        buttons.addWidget(self.another)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pictures)
        layout.addLayout(buttons)
        layout.addWidget(self.problem)
        for form in self.forms:
            layout.addWidget(form)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._draw)
        self._job = BackgroundJob(self)
        self._job.done.connect(self._show)
        self._job.failed.connect(self._fail)
        workspace.settings_changed.connect(self._timer.start)
        workspace.measured_changed.connect(self._allow_edits)
        self._allow_edits()

    def _allow_edits(self) -> None:
        """Wait for the measurement, which would overwrite what is edited before."""
        for form in self.forms:
            form.setEnabled(self._workspace.measured is not None)

    def close_jobs(self) -> None:
        """Want no picture any more."""
        self._timer.stop()
        self._job.cancel()

    def _draw_another(self) -> None:
        self._seed += 1
        self._draw()

    def _draw(self) -> None:
        movie, settings, seed = self._workspace.movie, self._workspace.settings, self._seed
        if movie is not None:
            self._job.run(lambda wanted: _crops(movie, settings, seed, wanted))

    def _show(self, crops: Mapping[str, NDArray[np.float32]]) -> None:
        self.problem.hide()
        # one contrast for both noisy pictures, or they could not be compared
        low, high = (float(value) for value in np.nanpercentile(crops[REAL], (1, 99.7)))
        limits = {CLEAN: (-1.0, max(float(crops[CLEAN].max()), -0.5)), NOISY: (low, high), REAL: (low, high)}
        for title, image in crops.items():
            self.pictures.show_picture(title, image, limits[title])

    def _fail(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.show()


def forms_of(workspace: Workspace, main: Mapping[str, tuple[str, ...]], expert: tuple[str, ...]) -> list[QWidget]:
    """Return forms for groups of settings: the main fields, and the others folded away.

    Parameters
    ----------
    workspace : Workspace
        Whose settings are shown and edited.
    main : mapping of str to tuple of str
        By group: fields that are always shown.
    expert : tuple of str
        Groups whose other fields are shown when unfolded.

    Returns
    -------
    list of QWidget
    """
    forms: list[QWidget] = []

    def form(group: str, names: list[str]) -> SettingsForm[Any]:
        made: SettingsForm[Any] = SettingsForm(getattr(workspace.settings, group), names)
        made.edited.connect(lambda values: workspace.change(group, values))
        made.problem_changed.connect(lambda problem: workspace.note_problem(made, problem))
        workspace.settings_changed.connect(lambda: made.show_settings(getattr(workspace.settings, group)))
        return made

    forms += [form(group, list(names)) for group, names in main.items()]
    details = QWidget()
    layout = QVBoxLayout(details)
    layout.setContentsMargins(12, 0, 0, 0)
    for group in expert:
        fields = type(getattr(workspace.settings, group)).model_fields
        others = [name for name in fields if name not in main.get(group, ())]
        layout.addWidget(Section(group.replace("_", " ").capitalize(), form(group, others)))
    return [*forms, Section("Expert settings", details, open_=False)]


def _crops(movie: Movie, settings: Settings, seed: int, wanted: Wanted) -> dict[str, NDArray[np.float32]]:
    """Simulate a pair, and cut a crop of the same size from the movie."""
    rng = np.random.default_rng(seed)
    size = min(SHOWN_PX, *movie.shape[1:])
    pairs = simulate_pairs(1, size, settings, rng)
    for number in rng.permutation(len(movie)):
        wanted(0, 1)
        if not is_bad_frame(frame := movie.frame(int(number))):
            break
    else:
        raise ValueError(f"{movie.name}: got no usable frame; choose another movie")
    top, left = (int(rng.integers(0, side - size + 1)) for side in movie.shape[1:])
    middle = pairs.noisy.shape[1] // 2
    return {CLEAN: pairs.clean[0], NOISY: pairs.noisy[0, middle], REAL: frame[top : top + size, left : left + size]}
