"""Trainings that follow a script instead of learning, and a small movie."""

import threading
from functools import cache

import numpy as np

from napari_noise2atom.estimate import Estimate
from napari_noise2atom.events import Command, Finished, Paused, Preview, Started, Step
from napari_noise2atom.modelfile import Normalisation, TrainedModel
from napari_noise2atom.networks import build_s2c
from napari_noise2atom.settings import preset

FRAMES, ROWS, COLUMNS = 12, 40, 48
TIMEOUT_S = 20
FOUND = Estimate(
    offset_counts=100.0,
    gain_counts=50.0,
    pulse_shape=2.0,
    afterglow=0.1,
    read_noise_counts=5.0,
    floor_counts=0.0,
    saturation_counts=4095.0,
    background_e=0.5,
    background_gradient=0.1,
    background_texture=0.05,
    spot_variance_px2=4.0,
    atom_peak_e=1.5,
    column_atoms=1,
    atoms_per_frame=12.0,
    step_px=0.3,
    drift_px=0.0,
    jump_px=0.0,
    flicker=0.0,
    spikes_per_frame=0.0,
    blur_px=0.0,
    shared_noise=0.0,
    certain=True,
    dark=False,
    blur_known=True,
)
"""What every movie tells, at once, where nothing else is asked for."""


@cache
def tiny_model(frames_in=3, pixel_size_nm=0.03):
    """A model that has learned nothing, of the preset compact."""
    compact = preset("compact")
    network = compact.network.model_copy(update={"channels": 4, "frames_in": frames_in})
    settings = compact.model_copy(update={"network": network})
    weights = build_s2c(network).state_dict()
    return TrainedModel(settings, weights, Normalisation(0, 40), pixel_size_nm, {"movie": "film"})


class Script:
    """A training that yields what it is given, waits at gates, and notes what it is sent.

    Parameters
    ----------
    *parts
        Events; a `threading.Event` is waited for; an exception is raised; a function is called.
    model : object
        What is returned.
    endless : bool
        Whether steps follow until it is told to stop.
    """

    def __init__(self, *parts, model="model", endless=False):
        self.parts, self.model, self.endless = parts, model, endless
        self.sent, self.thread = [], None
        self.closed = threading.Event()
        self.call = None

    def __call__(self, *args, **options):
        self.call = (args, options)
        return self.events()

    def events(self):
        self.thread = threading.current_thread()
        try:
            for part in self.parts:
                match part:
                    case threading.Event():
                        assert part.wait(TIMEOUT_S)
                    case BaseException():
                        raise part
                    case _ if callable(part):
                        part()
                    case _:
                        if (yield from self.tell(part)):
                            return self.model
            number = 0
            while self.endless:
                number += 1
                if (yield from self.tell(step(number))):
                    return self.model
                self.closed.wait(0.002)
            return self.model
        finally:
            self.closed.set()

    def release(self):
        """Open all gates."""
        for part in self.parts:
            if isinstance(part, threading.Event):
                part.set()

    def tell(self, event):
        """Yield an event, and obey as the core does; tells whether to stop."""
        command = yield event
        self.sent.append(command)
        if command is Command.PAUSE:
            command = yield Paused(1)
            command = yield step(1)
        return command is Command.STOP


def step(number=1, total=100, **losses):
    return Step("cycle", number, total, losses or {"cycle": 1.0 / number, "critic": -1.0}, float(number), 5.0)


def started(**more):
    return Started(preset("compact"), "cpu", 100, **more)


def finished(reason="done"):
    return Finished(reason, 100, 12.0, 80, {"quality": 0.5})


def preview(number=10, frames=(3,), value=0.5, shape=(ROWS, COLUMNS), origin=(0, 0)):
    raw = np.random.default_rng(number).normal(size=(len(frames), *shape)).astype(np.float32)
    return Preview(number, tuple(frames), raw, np.full((len(frames), *shape), value, np.float32), origin)


def frames_of(seed=0, shape=(FRAMES, ROWS, COLUMNS)):
    return np.random.default_rng(seed).poisson(20, shape).astype(np.uint16)


def add_movie(viewer, data=None, **more):
    """Add a calibrated movie that is nowhere near the origin."""
    given = {
        "name": "film",
        "scale": (0.01, 0.03, 0.03),
        "translate": (5, 1, 2),
        "units": ("s", "nm", "nm"),
        "axis_labels": ("t", "y", "x"),
        "contrast_limits": (0, 60),
    }
    return viewer.add_image(frames_of() if data is None else data, **given | more)
