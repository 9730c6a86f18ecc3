"""Time from the start of a training to its first preview, in a process that has not loaded torch yet.

Arguments: device, threads, preset. Writes one line of JSON; speed_rows.py is who reads it.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from quality_movies import MOVIES

from napari_noise2atom.estimate import propose
from napari_noise2atom.events import Preview
from napari_noise2atom.settings import PresetName, preset
from napari_noise2atom.simulate.noisy import simulate_movie


def main(device: str, threads: int, name: PresetName) -> None:
    movie = simulate_movie(MOVIES["slow"]).noisy
    settings, _ = propose(movie, preset(name))
    run = settings.run.model_copy(update={"device": device, "threads": threads})
    settings = settings.model_copy(update={"run": run})
    assert "torch" not in sys.modules
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        from napari_noise2atom.training import train

        loaded = time.perf_counter()
        events = train(movie, settings, run=Path(folder) / "run")
        next(event for event in events if isinstance(event, Preview))
        seen = time.perf_counter()
        events.close()
    print(json.dumps({"seconds": seen - start, "loading": loaded - start}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
