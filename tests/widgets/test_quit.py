"""Quitting napari in the middle of a training: the program ends, and the run can be resumed."""

import subprocess
import sys
from pathlib import Path

import pytest

from napari_noise2atom.modelfile import load_model, load_tensors

SESSION = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
import napari
from qtpy.QtCore import QTimer
from napari_noise2atom.settings import MovieSettings
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.widgets import workspace

workspace.Path.home = staticmethod(lambda: folder)
viewer = napari.Viewer()
viewer.add_image(simulate_movie(MovieSettings(frames=16)).noisy.data, name="film")
_, dock = viewer.window.add_plugin_dock_widget("napari-noise2atom", "Noise2Atom")

def look():
    if dock.train.start.isEnabled() and not dock.train.previews:
        dock.train.start.click()
    if dock.train.previews and dock.train.job.state.value == "running":
        timer.stop()
        viewer.close()

timer = QTimer()
timer.timeout.connect(look)
timer.start(100)
napari.run()
print("ended")
"""


@pytest.mark.slow
def test_quitting_ends_the_training_and_leaves_a_run_to_resume(tmp_path: Path) -> None:
    script = tmp_path / "session.py"
    script.write_text(SESSION)
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("ended\n")
    assert "Traceback" not in done.stderr
    run = tmp_path / "film noise2atom" / "run 1"
    _, metadata = load_tensors(run / "checkpoint.safetensors")
    assert metadata["progress"]["step"] > 0
    assert load_model(run).settings.preset == "compact"
