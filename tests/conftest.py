"""What must be set before anything is imported, and what comes first."""

import os
import tempfile

import pytest

# napari reads this once, when its settings are imported, which its pytest plugin leaves to the first test; nothing that
# a test does may touch those of the user's own napari
_settings = tempfile.TemporaryDirectory(prefix="napari-settings-")
os.environ["NAPARI_CONFIG"] = os.path.join(_settings.name, "settings.yaml")
# Triton's own functions, too, are made for its interpreter, which needs no GPU, when they are imported
os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, which at the end would keep one process busy while the others have nothing to do."""
    items.sort(key=lambda item: item.path.name != "test_story.py")
