"""A viewer without a window, a movie in it, and a workspace that need not measure."""

import pytest
from napari.components import ViewerModel
from scripted import FOUND, TIMEOUT_S, add_movie

from napari_noise2atom.widgets import workspace as workspace_module
from napari_noise2atom.widgets.workspace import Workspace


@pytest.fixture
def viewer(qtbot):
    """All of napari's viewer but its window."""
    viewer = ViewerModel()
    yield viewer
    viewer.layers.clear()


@pytest.fixture
def raw(viewer):
    return add_movie(viewer)


@pytest.fixture
def quick(monkeypatch):
    """Let movies be measured at once; what is found may be replaced."""
    found = {"estimate": FOUND}
    monkeypatch.setattr(workspace_module, "estimate", lambda movie: found["estimate"])
    return found


@pytest.fixture
def window(make_napari_viewer, quick):
    """A viewer with a window and a movie."""
    viewer = make_napari_viewer()
    add_movie(viewer)
    return viewer


@pytest.fixture
def workspace(qtbot, quick):
    workspace = Workspace()
    yield workspace
    workspace.close()


@pytest.fixture
def measured(qtbot, workspace, raw):
    """A workspace whose movie was measured."""
    with qtbot.waitSignal(workspace.settings_changed, timeout=1000 * TIMEOUT_S):
        workspace.choose_layer(raw)
    return workspace


@pytest.fixture(autouse=True)
def no_home(tmp_path, monkeypatch):
    """Runs go where a test may write."""
    monkeypatch.setattr(workspace_module.Path, "home", staticmethod(lambda: tmp_path))
