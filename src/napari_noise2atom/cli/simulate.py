"""``noise2atom simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_noise2atom.settings import MovieSettings

from .console import messages, results, say, table
from .options import MovieAssignments, Overwrite, require_free, setting
from .overrides import assigned, given, merge, override
from .progress import ProgressLine

__all__ = ["simulate"]

NOISY, CLEAN, TRUTH, SETTINGS = "noisy.tif", "clean.tif", "truth.npz", "settings.json"


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the movie and its truth.")],
    frames: Annotated[int | None, setting(MovieSettings, "frames", "--frames")] = None,
    size: Annotated[int | None, setting(MovieSettings, "size_px", "--size", metavar="PX")] = None,
    seed: Annotated[int | None, setting(MovieSettings, "seed", "--seed")] = None,
    assignments: MovieAssignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a noisy movie whose atoms are known; 'noise2atom settings simulate' lists the settings."""
    changes = merge(assigned(assignments), given(frames=frames, size_px=size, seed=seed))
    settings = override(MovieSettings(), changes)
    for name in (NOISY, CLEAN, TRUTH, SETTINGS):
        require_free(out / name, overwrite)

    from napari_noise2atom.io import write_movie
    from napari_noise2atom.simulate.noisy import simulate_movie

    say(messages(), f"Simulating {settings.frames} frames of {settings.size_px} × {settings.size_px} px.")
    simulated = simulate_movie(settings)
    out.mkdir(parents=True, exist_ok=True)
    with ProgressLine("Writing", messages()) as progress:
        write_movie(simulated.noisy, out / NOISY, progress=progress)
    write_movie(simulated.noisy.with_data(simulated.clean, "clean"), out / CLEAN)
    simulated.save_truth(out / TRUTH)
    (out / SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    rows = [
        ("noisy movie", str(out / NOISY)),
        ("clean movie", str(out / CLEAN)),
        ("truth for 'noise2atom score'", str(out / TRUTH)),
        ("settings", str(out / SETTINGS)),
    ]
    results().print(table("Written", rows))
