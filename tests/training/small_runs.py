"""Trainings that take a second."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from napari_noise2atom.events import Command, TrainEvent
from napari_noise2atom.modelfile import TrainedModel
from napari_noise2atom.settings import Settings

FAST = {
    "simulation": {"crop_px": 40, "lattice_px": 64, "positions_min": 4, "positions_max": 8},
    "network": {"channels": 8, "frames_in": 3},
    "warm_start": {"steps": 6, "batch_size": 2, "crop_px": 40},
    "training": {"epochs": 2, "batch_size": 2, "sampled_frames": 6, "critic_steps": 2},
    "run": {"threads": 1, "device": "cpu", "preview_every_s": 1e-3, "checkpoint_every_s": 1e-3, "probe_frames": 2},
}
"""Six steps of the warm start and six of the cycle, scored after each."""


def changed(settings: Settings, *changes: dict[str, dict[str, Any]]) -> Settings:
    """Return settings with some values changed."""
    values = settings.model_dump()
    for change in changes:
        for group, fields in change.items():
            values[group] |= fields
    return Settings.model_validate(values)


def collect(
    stream: Generator[TrainEvent, Command | None, TrainedModel], stop_at: int | None = None
) -> tuple[list[TrainEvent], TrainedModel]:
    """Run a training to its end, or send STOP after so many events."""
    events = []
    command = None
    while True:
        try:
            events.append(stream.send(command))
        except StopIteration as end:
            return events, end.value
        command = Command.STOP if len(events) == stop_at else None


def same_weights(first: TrainedModel, second: TrainedModel) -> bool:
    """Tell whether two models are equal, bit by bit."""
    return all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)


def files(folder: Path) -> set[str]:
    """Return the names of all files of a folder."""
    return {path.name for path in folder.iterdir()}
