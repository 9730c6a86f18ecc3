"""Nothing that a test does may touch the settings of the user's own napari."""

import os
import tempfile

# napari reads this once, when its settings are imported, which its pytest plugin leaves to the first test
_settings = tempfile.TemporaryDirectory(prefix="napari-settings-")
os.environ["NAPARI_CONFIG"] = os.path.join(_settings.name, "settings.yaml")
