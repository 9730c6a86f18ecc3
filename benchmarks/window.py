"""How responsive the window stays: during training, while one browses a result, after many previews.

Needs a screen, or one in memory: ``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/window.py``.
"""

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_SETTINGS = tempfile.TemporaryDirectory()
# napari reads this when it is imported; the user's own settings stay as they are
os.environ["NAPARI_CONFIG"] = str(Path(_SETTINGS.name) / "settings.yaml")

import napari
import numpy as np
import psutil
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_noise2atom.events import Preview, Step
from napari_noise2atom.widgets import train_step
from napari_noise2atom.widgets.dock import Noise2AtomDock
from napari_noise2atom.widgets.jobs import State

TICK_MS = 10
MOVES = 60
PREVIEWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the training")
    minutes = parser.parse_args().minutes
    viewer = napari.Viewer()
    viewer.window.resize(1560, 960)
    viewer.open_sample("napari-noise2atom", "movie")
    _, dock = viewer.window.add_plugin_dock_widget("napari-noise2atom", "Noise2Atom")
    wait_for(lambda: dock.workspace.measured is not None)
    measure_training(dock, minutes)
    measure_browsing(viewer, dock)
    measure_updates(dock)
    measure_previews(dock)
    viewer.close()


def wait_for(condition: Callable[[], bool], seconds: float = 600) -> float:
    """Let the window live until a condition holds; returns how long that took."""
    start = time.perf_counter()
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)
        if time.perf_counter() - start > seconds:
            raise TimeoutError(f"waited {seconds} s in vain")
    return time.perf_counter() - start


class Ticks:
    """Measures by how much a timer is late."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self._timer = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> "Ticks":
        self._last = time.perf_counter()
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late_ms.append(1000 * (now - self._last) - TICK_MS)
        self._last = now


def measure_training(dock: Noise2AtomDock, minutes: float) -> None:
    workspace = dock.workspace
    workspace.change("run", workspace.settings.run.model_copy(update={"max_minutes": minutes}))
    # the user's folders stay as they are
    train_step.new_run_folder = lambda layer: Path(_SETTINGS.name) / "run"
    painted = []
    dock.train.plots.plots[0].curves["pairs"].sigPlotChanged.connect(lambda curve: painted.append(time.perf_counter()))
    with Ticks() as ticks:
        dock.train.start.click()
        first = wait_for(lambda: bool(dock.train.previews))
        wait_for(lambda: dock.train.job.state is State.IDLE)
    print(f"\nTraining, preset {workspace.settings.preset}, {minutes:g} minutes:")
    print(f"  first preview after {first:.1f} s")
    show("a timer of 10 ms comes late by", ticks.late_ms, "ms")
    if len(painted) > 1:
        print(f"  the curves are drawn anew every {1000 * np.median(np.diff(painted)):.0f} ms (median)")


def measure_browsing(viewer: napari.Viewer, dock: Noise2AtomDock) -> None:
    """Move the slider to frames that are not computed yet, and wait until the canvas is painted."""
    frames = int(viewer.dims.nsteps[0])
    order = np.random.default_rng(0).integers(0, frames, MOVES)
    canvas = viewer.window._qt_viewer.canvas
    drawn: list[float] = []
    canvas._scene_canvas.events.draw.connect(lambda event: drawn.append(time.perf_counter()))

    def move(index: int) -> float:
        drawn.clear()
        start = time.perf_counter()
        viewer.dims.set_current_step(0, int(index))
        wait_for(lambda: bool(drawn))
        return 1000 * (drawn[0] - start)

    raw = [move(index) for index in order]
    dock.denoise.apply.click()
    both = [move(index) for index in order]
    print("\nFrom a move of the slider to the painted frame:")
    show("raw layer alone", raw, "ms")
    show("with a denoised layer that is computed meanwhile", both, "ms")
    seconds = wait_for_frame(dock)
    print(f"  the denoised frame on which the slider stops is there after {seconds:.2f} s")


def wait_for_frame(dock: Noise2AtomDock) -> float:
    result = dock.denoise.result
    assert result is not None
    shown = int(dock.denoise.css.cursor_line.value())
    return wait_for(lambda: result.denoising.frames.peek(shown) is not None)


def measure_updates(dock: Noise2AtomDock) -> None:
    """Feed events faster than anybody can look, and count what is painted."""
    painted: list[float] = []
    dock.train.plots.plots[0].curves["cycle"].sigPlotChanged.connect(lambda curve: painted.append(time.perf_counter()))
    number = itertools.count(1)

    def feed() -> None:
        event = Step("cycle", next(number), 1000, {"cycle": 0.1, "critic": -1.0}, 1.0, 1.0)
        dock.train.job.told.emit(event)

    feeder = QTimer()
    feeder.timeout.connect(feed)
    feeder.start(10)
    dock.train._timer.start()
    with Ticks() as ticks:
        seconds = wait_for(lambda: len(painted) > 50)
    feeder.stop()
    dock.train._timer.stop()
    print(f"\n100 events a second: {len(painted) / seconds:.1f} updates of the curves a second")
    show("a timer of 10 ms comes late by", ticks.late_ms, "ms")


def measure_previews(dock: Noise2AtomDock) -> None:
    """Feed many previews, as a long run would."""
    rng = np.random.default_rng(0)
    raw = rng.random((3, 128, 128), np.float32)
    process = psutil.Process()

    def feed(count: int) -> float:
        for step in range(count):
            preview = Preview(step, (0, 20, 40), raw, rng.random((3, 128, 128), np.float32))
            dock.train.job.told.emit(preview)
            dock.train.paint()
            QApplication.processEvents()
        return process.memory_info().rss / 2**20

    # the first ones fill the history, which is bounded
    before, after = feed(200), feed(PREVIEWS)
    print(f"\nMemory after {PREVIEWS} previews: {after - before:+.1f} MB of {before:.0f} MB")


def show(what: str, values: list[float], unit: str) -> None:
    """Print median, 95th percentile and maximum."""
    median, high, most = np.percentile(values, (50, 95, 100))
    print(f"  {what}: median {median:.1f}, p95 {high:.1f}, max {most:.1f} {unit} (n = {len(values)})")


if __name__ == "__main__":
    main()
