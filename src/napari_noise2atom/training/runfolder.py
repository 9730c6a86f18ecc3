"""A run's folder. Files are written to a temporary name and renamed: a kill at any moment leaves them whole."""

import csv
import io
import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from napari_noise2atom.events import Score, Step
from napari_noise2atom.modelfile import TrainedModel, load_tensors, save_model, save_tensors
from napari_noise2atom.settings import Settings

__all__ = ["Progress", "RunFolder", "load_run_settings"]

SETTINGS, CHECKPOINT, HISTORY = "settings.json", "checkpoint.safetensors", "history.csv"
PREVIEWS, ENVIRONMENT = "previews.tif", "environment.json"
FIRST_COLUMNS = ("stage", "step", "seconds")
KEPT_PREVIEWS, KEPT_ROWS = 200, 20_000
"""When there are more, every other one is dropped, but no scores: runs take days, and all is written each time."""


@dataclass
class Progress:
    """Where a run is; a checkpoint keeps it."""

    movie: list[float]
    """By which the movie is known again: frames, rows, columns, and the grey values that become -1 and 1."""
    step: int = 0
    seconds: float = 0.0
    warm_steps: int | None = None
    """Steps that the warm start took; None while it goes on."""
    attempt: int = 0
    """Number of the stream of random numbers."""
    repairs: int = 0
    best_step: int = 0
    best_scores: dict[str, float] = field(default_factory=dict)
    best_failed: bool = True
    """Whether the best model so far is inverted or blank."""


class RunFolder:
    """Reads and writes one run.

    Parameters
    ----------
    path : Path
        The folder; made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, Any]] = []
        self._previews: list[NDArray[np.float32]] = []

    @property
    def has_checkpoint(self) -> bool:
        """Whether the run can be resumed."""
        return (self.path / CHECKPOINT).is_file()

    def begin(self, settings: Settings, device: str, processes: int) -> None:
        """Make the folder, and write what the run is and where it runs."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(SETTINGS, settings.model_dump_json(indent=2))
        environment = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "napari-noise2atom": version("napari-noise2atom"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": device,
            "processes": processes,
        }
        self._write(ENVIRONMENT, json.dumps(environment, indent=2))

    def log(self, event: Step | Score, stage: str, seconds: float) -> None:
        """Remember losses or scores for the history."""
        named = event.losses if isinstance(event, Step) else {f"score_{k}": v for k, v in event.values.items()}
        self._rows.append({"stage": stage, "step": event.step, "seconds": round(seconds, 2), **named})
        if len(self._rows) > KEPT_ROWS:
            scored = [any(name.startswith("score_") for name in row) for row in self._rows]
            self._rows = [row for number, row in enumerate(self._rows) if scored[number] or number % 2 == 0]

    def show(self, denoised: NDArray[np.float32]) -> None:
        """Remember a preview, shape (frames, y, x)."""
        self._previews.append(denoised)
        if len(self._previews) > KEPT_PREVIEWS:
            self._previews = self._previews[::2]

    def save(self, state: dict[str, Tensor], best: TrainedModel | None, progress: Progress) -> None:
        """Write the checkpoint, the best model, the history and the previews."""
        if best is not None:
            save_model(best, self.path)
            state = state | {f"best.{name}": weight for name, weight in best.weights.items()}
        self._write(HISTORY, self._history())
        if self._previews:
            temporary = self.path / f".{PREVIEWS}"
            stack = np.stack(self._previews)
            tifffile.imwrite(temporary, stack, imagej=True, metadata={"axes": "TZYX"[: stack.ndim]})
            temporary.replace(self.path / PREVIEWS)
        # the checkpoint last: what it says is there, is there
        save_tensors(self.path / CHECKPOINT, state, {"kind": "checkpoint", "progress": asdict(progress)})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Tensor], Progress]:
        """Return the state, the best weights and the progress of the last checkpoint.

        Raises
        ------
        ValueError
            If there is none, or it is broken.
        """
        if not self.has_checkpoint:
            raise ValueError(f"{self.path} has no {CHECKPOINT}; start a new run instead of resuming")
        tensors, metadata = load_tensors(self.path / CHECKPOINT)
        try:
            progress = Progress(**metadata["progress"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{self.path / CHECKPOINT} is not a checkpoint; start a new run") from error
        best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        self._recall(progress.step)
        return {k: v for k, v in tensors.items() if not k.startswith("best.")}, best, progress

    def _recall(self, step: int) -> None:
        """Go on with the history and the previews up to a step."""
        history, previews = self.path / HISTORY, self.path / PREVIEWS
        if history.is_file():
            with history.open(newline="") as file:
                rows = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
            self._rows = [row for row in rows if int(row["step"]) <= step]
        if previews.is_file():
            stack = np.asarray(tifffile.imread(previews), np.float32)
            self._previews = list(stack if stack.ndim == 4 else stack[None])

    def _history(self) -> str:
        columns = dict.fromkeys(key for row in self._rows for key in row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*FIRST_COLUMNS, *(c for c in columns if c not in FIRST_COLUMNS)])
        writer.writeheader()
        writer.writerows(self._rows)
        return text.getvalue()

    def _write(self, name: str, text: str) -> None:
        temporary = self.path / f".{name}"
        temporary.write_text(text, newline="")
        temporary.replace(self.path / name)


def load_run_settings(run: Path) -> Settings:
    """Return the settings of a run.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Returns
    -------
    Settings

    Raises
    ------
    ValueError
        If the folder holds no settings of this program.
    """
    path = run / SETTINGS
    try:
        return Settings.model_validate_json(path.read_text())
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} holds no settings of a run; choose the folder that a training has written") from error
