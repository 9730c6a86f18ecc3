from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from napari_noise2atom import events
from napari_noise2atom.events import (
    Alarm,
    Checkpointed,
    Command,
    Finished,
    Paused,
    Preview,
    Score,
    Started,
    Step,
    TrainEvent,
)
from napari_noise2atom.settings import Settings

FRAME = np.zeros((1, 4, 4), np.float32)
EXAMPLES = [
    Started(Settings(), "cpu", 100),
    Step("cycle", 3, 100, {"cycle": 0.1}, 1.0, 30.0),
    Preview(3, (0,), FRAME, FRAME),
    Score(3, {"quality": 0.5}, True),
    Alarm(3, "inverted", "The mapping was inverted."),
    Checkpointed(3, Path("run")),
    Paused(3),
    Finished("done", 100, 31.0, 90),
]


def test_there_is_an_example_of_every_event():
    assert {type(event) for event in EXAMPLES} == set(get_args(TrainEvent))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_events_are_frozen(event):
    assert is_dataclass(event)
    for field in fields(event):
        with pytest.raises(FrozenInstanceError):
            setattr(event, field.name, getattr(event, field.name))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_tells_its_step(event):
    assert isinstance(event.first_step if isinstance(event, Started) else event.step, int)


def test_events_do_not_share_their_scores():
    assert Finished("done", 1, 1.0, 1).scores is not Finished("done", 1, 1.0, 1).scores


def test_the_share_of_the_time_is_between_none_and_all():
    shares = [Step("cycle", 3, 100, {}, seconds, left).share for seconds, left in ((0, 0), (0, 9), (3, 1), (4, 0))]
    assert shares == [0, 0, 0.75, 1]


def test_all_public_names_are_there():
    assert all(hasattr(events, name) for name in events.__all__)


def test_a_command_is_known_by_its_word():
    assert Command("stop") is Command.STOP
