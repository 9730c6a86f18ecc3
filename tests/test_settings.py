import re
import types
from typing import Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from napari_noise2atom import settings as module
from napari_noise2atom.settings import (
    PRESETS,
    CleanSettings,
    DetectorSettings,
    MovieSettings,
    NetworkSettings,
    Settings,
    preset,
)

MODELS = [getattr(module, name) for name in module.__all__ if name.endswith("Settings")]
FIELDS = [pytest.param(model, name, id=f"{model.__name__}.{name}") for model in MODELS for name in model.model_fields]
UNITS = {
    "px": {"px"},
    "px2": {"px²"},
    "nm": {"nm"},
    "s": {"s"},
    "minutes": {"min"},
    "e": {"e/px"},
    "counts": {"counts", "counts/e"},
}
"""Suffix of a name to the unit in brackets at the end of its description."""


def parts(annotation: object) -> set[object]:
    """Return a type and all types within it."""
    return {annotation}.union(*map(parts, get_args(annotation)))


def test_all_models_are_seen():
    assert {model.__name__ for model in MODELS} >= {"Settings", "MovieSettings", "TrainingSettings", "RunSettings"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    assert Settings.model_validate_json(preset(name).model_dump_json()) == preset(name)
    assert preset(name).preset == name


def test_a_movies_settings_survive_json():
    movie = MovieSettings(seed=7, spot_variance_px2=3.3)
    assert MovieSettings.model_validate_json(movie.model_dump_json()) == movie


@pytest.mark.parametrize("model", MODELS)
def test_settings_are_frozen(model):
    made = model()
    for name in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, name, getattr(made, name))


@pytest.mark.parametrize("model", MODELS)
def test_unknown_fields_are_refused(model):
    with pytest.raises(ValidationError, match="Extra inputs"):
        model(no_such_field=1)


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_field_is_described_in_a_sentence(model, name):
    description = model.model_fields[name].description
    assert description
    assert description.endswith((".", ")"))
    assert len(description) > 8


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_units_in_names_and_descriptions_agree(model, name):
    unit = re.search(r"\[([^\]]+)\]\.$", model.model_fields[name].description)
    suffix = name.rsplit("_", 1)[-1]
    if suffix in UNITS:
        assert unit
        assert unit[1] in UNITS[suffix]
    else:
        assert unit is None


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_no_field_is_optional_or_a_container(model, name):
    annotation = model.model_fields[name].annotation
    assert not parts(annotation) & {type(None), types.NoneType, Union, types.UnionType, list, dict, tuple, set}
    assert get_origin(annotation) not in {Union, types.UnionType, list, dict, tuple, set}


def test_groups_are_one_level_deep():
    for model in MODELS:
        groups = [f.annotation for f in model.model_fields.values() if isinstance(f.annotation, type)]
        nested = [group for group in groups if issubclass(group, BaseModel)]
        assert not nested or model in (Settings, MovieSettings)


def test_the_papers_clean_images():
    assert preset("paper").simulation.model_dump() == {
        "lattice_px": 256,
        "crop_px": 128,
        "positions_min": 75,
        "positions_max": 150,
        "atoms_per_position": 4,
        "kernel_px": 33,
        "variance_min_px2": 1.0,
        "variance_max_px2": 10.0,
        "narrowing": 1.0,
    }


def test_the_papers_training():
    training = preset("paper").training.model_dump()
    published = {
        "epochs": 100,
        "batch_size": 6,
        "sampled_frames": 120,
        "learning_rate": 5e-5,
        "momentum": 0.9,
        "critic_steps": 5,
        "adversarial_weight": 5,
        "cycle_weight": 1,
        "gradient_penalty": 10,
        "low_pass_px": 33,
        "low_pass_variance_px2": 15,
    }
    additions = {
        "joint": False,
        "masked_weight": 0,
        "pairs_weight": 0,
        "average_decay": 0,
        "augment": False,
        "guards": False,
    }
    assert {name: training[name] for name in published} == published
    assert {name: training[name] for name in additions} == additions
    assert preset("paper").warm_start.steps == 0
    assert preset("paper").network.architecture == "paper"
    assert preset("paper").network.frames_in == 1


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'best' is unknown.*default, paper, compact"):
        preset("best")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop_px": 256, "lattice_px": 128}, "larger than lattice_px"),
        ({"positions_min": 10, "positions_max": 9}, "exceeds positions_max"),
        ({"variance_min_px2": 3, "variance_max_px2": 2}, "exceeds variance_max_px2"),
        ({"kernel_px": 32}, "even"),
        ({"crop_px": 100}, "multiple of 8"),
        ({"variance_max_px2": float("inf")}, "finite"),
    ],
)
def test_impossible_clean_images_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        CleanSettings(**values)


def test_an_even_number_of_frames_is_refused():
    with pytest.raises(ValidationError, match="odd number of frames"):
        NetworkSettings(frames_in=4)


@pytest.mark.parametrize("limits", [{"floor_counts": -1}, {"saturation_counts": 70000}])
def test_simulated_movies_have_16_bits(limits):
    with pytest.raises(ValidationError, match="leave 16 bits; expected values from 0 to 65535"):
        MovieSettings(detector=DetectorSettings(**limits))
