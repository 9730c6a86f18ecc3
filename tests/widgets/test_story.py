"""The whole story in a real window: a movie dropped, trained on, browsed, saved, compared; clicks are counted.

Set ``SCREENSHOTS`` to a folder to keep the pictures of the tutorial.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QLineEdit, QMenu, QWidget

from napari_noise2atom.contributions import write_layers
from napari_noise2atom.io import read_movie
from napari_noise2atom.layerdata import layer_data
from napari_noise2atom.metrics import Truth, score_movie
from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import MovieSettings
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.widgets import train_step
from napari_noise2atom.widgets.dock import Noise2AtomDock
from napari_noise2atom.widgets.jobs import State

MOST_CLICKS = 12
WATCHED_STEPS = 350
"""When the user likes the preview and stops."""


class User:
    """Clicks, and counts."""

    def __init__(self, viewer, qtbot, folder: Path | None) -> None:
        self.viewer, self.qtbot, self.clicks = viewer, qtbot, 0
        self._folder = folder

    def click(self, widget: QWidget) -> None:
        assert widget.isEnabled(), f"{widget.text()} cannot be clicked"
        self.clicks += 1
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)

    def choose_from_menu(self, *titles: str) -> None:
        """Open a menu of the menu bar and an entry of it, each one click."""
        menu = self.viewer.window._qt_window.menuBar()
        for title in titles:
            actions = {action.text().replace("&", ""): action for action in menu.actions()}
            found = next(action for text, action in actions.items() if text.startswith(title))
            self.clicks += 1
            menu = found.menu()
            if isinstance(menu, QMenu):
                menu.aboutToShow.emit()
            else:
                found.trigger()

    def drop(self, path: Path) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        action, button, key = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        target = self.viewer.window._qt_viewer
        QApplication.sendEvent(target, QDragEnterEvent(QPoint(200, 200), action, mime, button, key))
        QApplication.sendEvent(target, QDropEvent(QPointF(200, 200), action, mime, button, key))

    def answer(self, dialog_type: type, answer: Callable[[QWidget], None]) -> None:
        """Answer the next dialog of a type as soon as it is there."""

        def look() -> None:
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, dialog_type):
                timer.stop()
                answer(dialog)

        timer = QTimer(self.viewer.window._qt_window)
        timer.timeout.connect(look)
        timer.start(50)

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        self.qtbot.waitUntil(condition, timeout=int(1000 * seconds))

    def picture(self, name: str) -> None:
        QApplication.processEvents()
        self.qtbot.wait(300)
        image = self.viewer.screenshot(canvas_only=False, flash=False)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., :3]).save(self._folder / f"{name}.jpg", quality=88)


@pytest.fixture
def user(make_napari_viewer, qtbot) -> User:
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1560, 960)
    folder = os.environ.get("SCREENSHOTS")
    return User(viewer, qtbot, Path(folder) if folder else None)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_from_a_dropped_movie_to_a_saved_result(user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = simulate_movie(MovieSettings(seed=5))
    data, meta, kind = layer_data(simulated.noisy)
    (path,) = write_layers(str(tmp_path / "film.tif"), [(data, meta, kind)])
    monkeypatch.setattr(train_step, "new_run_folder", lambda layer: tmp_path / "run")

    # napari's own reader claims .tif, too: one chooses
    def choose_reader(dialog: QtReaderDialog) -> None:
        user.click(next(b for b in dialog.reader_btn_group.buttons() if b.text() == "Noise2Atom"))
        user.click(dialog.btn_box.button(QDialogButtonBox.StandardButton.Ok))

    user.answer(QtReaderDialog, choose_reader)
    user.drop(Path(path))
    user.wait(lambda: len(user.viewer.layers) == 1)
    raw = user.viewer.layers[0]
    assert raw.name == "film"
    np.testing.assert_allclose(raw.scale, (1 / 150, 0.03, 0.03), rtol=1e-5)
    assert [str(unit) for unit in raw.units] == ["second", "nanometer", "nanometer"]

    user.choose_from_menu("Plugins", "Noise2Atom")
    (dock,) = user.viewer.window._qt_window.findChildren(Noise2AtomDock)
    user.wait(lambda: dock.workspace.measured is not None)
    user.wait(lambda: not dock.simulate.pictures.pictures["your movie"].pixmap().isNull())
    dock.sections[1].set_open(True)
    user.picture("movie")
    dock.sections[1].set_open(False)

    user.click(dock.train.start)
    user.wait(lambda: bool(dock.train.previews), 120)
    user.wait(lambda: dock.train.progress.value() >= WATCHED_STEPS, 600)
    camera = user.viewer.scene.camera.center, user.viewer.scene.camera.zoom
    user.picture("training")
    user.click(dock.train.stop)
    user.wait(lambda: dock.train.job.state is State.IDLE, 60)
    assert (tmp_path / "run" / "model.safetensors").is_file()

    user.click(dock.denoise.apply)
    denoised = user.viewer.layers["film denoised"]
    user.click(dock.denoise.compute)
    user.wait(lambda: dock.denoise.progress.format() == "every frame computed", 120)
    assert (user.viewer.scene.camera.center, user.viewer.scene.camera.zoom) == camera
    dock.sections[2].set_open(False)
    user.picture("denoised")
    dock.denoise.css.frame_chosen.emit(40)
    user.clicks += 1
    assert user.viewer.dims.current_step[0] == 40
    user.click(dock.side_by_side)
    user.picture("side-by-side")

    def save(dialog: QFileDialog) -> None:
        dialog.findChild(QLineEdit).setText(str(tmp_path / "result.tif"))
        user.click(dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Save))

    user.answer(QFileDialog, save)
    user.click(dock.denoise.save)
    user.wait(lambda: dock.denoise.progress.format() == "saved", 60)
    assert user.clicks <= MOST_CLICKS, f"{user.clicks} clicks"
    user.click(dock.side_by_side)
    assert not user.viewer.canvas.grid.enabled
    assert (user.viewer.scene.camera.center, user.viewer.scene.camera.zoom) == camera

    dock.sections[3].set_open(False)
    dock.sections[4].set_open(True)
    user.click(dock.trust.locate)
    user.wait(lambda: dock.trust.atoms is not None, 120)
    assert dock.trust.atoms.per_frame.mean() > 10
    user.click(dock.trust.test)
    user.wait(lambda: "in frames of noise alone" in dock.trust.status.text(), 120)
    user.picture("trust")

    dock.sections[4].set_open(False)
    dock.sections[5].set_open(True)
    dock.compare.boxes["bm3d"].setChecked(False)  # it takes long
    user.click(dock.compare.start)
    user.wait(lambda: dock.compare.job.state is State.IDLE, 180)
    assert dock.compare.results[-1].title == "Noise2Atom (present)"
    user.click(dock.side_by_side)
    user.picture("compare")

    saved = read_movie(tmp_path / "result.tif")
    assert saved.pixel_size_nm == pytest.approx(0.03)
    np.testing.assert_array_equal(saved.frame(40), np.asarray(denoised.data[40]))
    truth = Truth(simulated.clean, simulated.positions, 0.03)
    f1 = {name: score_movie(movie, truth=truth).summary["f1"] for name, movie in versions(simulated.noisy, saved)}
    assert f1["denoised"] > f1["raw"] + 0.2, f1


def versions(raw: Movie, denoised: Movie) -> list[tuple[str, Movie]]:
    return [("raw", raw), ("denoised", denoised)]
