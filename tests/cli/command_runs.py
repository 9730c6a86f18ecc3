"""Running the command in this process, and a training that follows a script."""

import json
from dataclasses import dataclass

import numpy as np

from napari_noise2atom import cli
from napari_noise2atom.events import Alarm, Checkpointed, Command, Finished, Preview, Score, Started, Step


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


class ScriptedTraining:
    """Stands in for training: yields one event of every kind, then steps until it is stopped or done."""

    def __init__(self, model, steps=5, at_step=None):
        self.model, self.steps, self.at_step = model, steps, at_step or (lambda step: None)
        self.calls, self.commands, self.closed = [], [], False

    def __call__(self, movie, settings, *, run=None, resume=False):
        self.calls.append({"movie": movie, "settings": settings, "run": run, "resume": resume})
        try:
            yield from self._events(settings, run)
        except GeneratorExit:
            self.closed = True
            raise
        return self.model

    def _events(self, settings, run):
        image = np.zeros((1, 8, 8), np.float32)
        yield Started(settings, "cpu", self.steps)
        yield Score(0, {"quality": 0.25, "css": float("nan")}, best=True)
        yield Preview(0, (0,), image, image)
        yield Alarm(0, "gradient", "The background is a wedge; look at the edges.")
        yield Checkpointed(0, run)
        reason, step = "done", 0
        for step in range(1, self.steps + 1):
            self.at_step(step)
            command = yield Step("warm start", step, self.steps, {"pairs": 1 / step}, 2.0 * step, 61.0)
            self.commands.append(command)
            if command is Command.STOP:
                reason = "stopped"
                break
        yield Finished(reason, step, 2.0 * step, 1, {"quality": 0.25})


def run_command(capsys, *words):
    """Run a command with some words; return how it ended."""
    capsys.readouterr()
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        captured = capsys.readouterr()
        return Ended(int(end.code or 0), captured.out, captured.err)
    raise AssertionError("a command always ends the process")
