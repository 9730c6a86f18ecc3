"""A form shows what the settings are, changes one field at a time, and refuses what is no value."""

import math
from typing import Literal, get_origin

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox
from pydantic import BaseModel

from napari_noise2atom import settings as all_settings
from napari_noise2atom.settings import CleanSettings, DetectorSettings, RunSettings, SceneSettings, TrainingSettings
from napari_noise2atom.widgets.form import SettingsForm, label_of

GROUPS = [
    group
    for group in vars(all_settings).values()
    if isinstance(group, type) and issubclass(group, BaseModel) and group.__module__ == all_settings.__name__
]
DIGITS = 0.123456789012345


def plain_fields(group):
    """All fields that are no groups themselves."""
    return [name for name, value in group() if not isinstance(value, BaseModel)]


GROUPS = [group for group in GROUPS if not group.__name__.startswith("_") and len(plain_fields(group)) > 1]


@pytest.fixture
def form_of(qtbot):
    def make(settings, names=None):
        form = SettingsForm(settings, names or plain_fields(type(settings)))
        qtbot.addWidget(form)
        form.heard = []
        form.edited.connect(form.heard.append)
        return form

    return make


def edit_of(form, name):
    return form._edits[name]


def type_into(form, name, text):
    """Replace a line's text, key by key."""
    line = edit_of(form, name).native
    line.clear()
    for letter in text:
        line.insert(letter)


def other_value(value, annotation, field):
    """A valid value that is not this one."""
    if get_origin(annotation) is Literal:
        return next(choice for choice in annotation.__args__ if choice != value)
    match value:
        case bool():
            return not value
        case int():
            step = next((m.multiple_of for m in field.metadata if hasattr(m, "multiple_of")), 2)
            return value + step
        case float():
            return value * 0.9 + 1e-5
        case _:
            return "cpu"


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_group_of_settings_is_shown_whole(form_of, group):
    form = form_of(group())
    assert form.settings == group()
    for name, edit in form._edits.items():
        value = getattr(group(), name)
        if isinstance(value, float):
            assert math.isclose(float(edit.value), value, rel_tol=1e-3)
        else:
            assert edit.value == value


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_an_edit_changes_its_field_and_no_other(form_of, group):
    for name in plain_fields(group):
        form = form_of(group())
        field = group.model_fields[name]
        value = other_value(getattr(group(), name), field.annotation, field)
        edit_of(form, name).value = str(value) if isinstance(value, float) else value
        assert form.settings == group().model_copy(update={name: value}), name
        assert form.heard == [form.settings]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_tooltips_are_the_docstrings(form_of, group):
    form = form_of(group())
    for name, edit in form._edits.items():
        assert edit.native.toolTip() == group.model_fields[name].description


def test_kinds_of_fields_have_their_kind_of_widget(form_of):
    form = form_of(RunSettings())
    assert isinstance(edit_of(form, "seed"), SpinBox)
    assert isinstance(edit_of(form, "mixed_precision"), CheckBox)
    assert isinstance(edit_of(form, "device"), LineEdit)
    assert isinstance(edit_of(form_of(all_settings.NetworkSettings()), "architecture"), ComboBox)


def test_limits_are_those_of_the_fields(form_of):
    form = form_of(CleanSettings())
    crop = edit_of(form, "crop_px")
    assert (crop.min, crop.step) == (16, 8)
    assert edit_of(form_of(all_settings.NetworkSettings()), "frames_in").max == 15


@pytest.mark.parametrize("rate", [5e-5, DIGITS, 1 / 3, 1e-12])
def test_floats_keep_all_their_digits(form_of, rate):
    settings = TrainingSettings(learning_rate=rate)
    form = form_of(settings)
    assert form.settings == settings
    edit_of(form, "epochs").value = 7
    assert form.settings == settings.model_copy(update={"epochs": 7})
    form.show_settings(settings)
    assert form.settings == settings


@pytest.mark.parametrize("text", ["5e-5", "0.00005", " 5E-05 "])
def test_small_numbers_can_be_typed(form_of, text):
    form = form_of(TrainingSettings())
    edit_of(form, "learning_rate").value = text
    assert form.settings.learning_rate == 5e-5


@pytest.mark.parametrize(
    ("text", "value"), [("0,1", 0.1), ("1,5", 1.5), ("0,125", 0.125), (",5", 0.5), ("2,5e3", 2500)]
)
def test_a_comma_may_stand_for_the_decimal_point(form_of, text, value):
    form = form_of(SceneSettings())
    form.edited.connect(form.show_settings)
    type_into(form, "atom_peak_e", text)
    assert form.settings.atom_peak_e == value
    assert edit_of(form, "atom_peak_e").value == text
    assert not form.problem


@hypothesis_settings(max_examples=30, deadline=None)
@given(value=st.floats(1e-9, 1e9))
def test_any_positive_number_that_is_typed_is_taken_exactly(qapp, value):
    form = SettingsForm(SceneSettings(), ["atom_peak_e"])
    edit_of(form, "atom_peak_e").value = repr(value)
    assert form.settings.atom_peak_e == value


@pytest.mark.parametrize("text", ["", "much", "-1", "nan", "inf", "1,500", "1.000,5"])
def test_what_is_no_value_is_marked_and_tells_nothing(form_of, text):
    form = form_of(SceneSettings())
    edit = edit_of(form, "atom_peak_e")
    edit.value = text
    assert form.settings == SceneSettings()
    assert not form.heard
    assert "border" in edit.native.styleSheet()
    assert f"atom peak [e]: got {text!r}" in form.problem
    assert edit.native.toolTip() == form.problem
    edit.value = "2.5"
    assert form.heard == [SceneSettings(atom_peak_e=2.5)]
    assert not form.problem
    assert not edit.native.styleSheet()
    assert edit.native.toolTip() == SceneSettings.model_fields["atom_peak_e"].description


def test_what_contradicts_another_field_is_marked_and_said_without_jargon(form_of):
    form = form_of(CleanSettings())
    edit_of(form, "variance_min_px2").value = "12"
    assert form.settings == CleanSettings()
    tip = edit_of(form, "variance_min_px2").native.toolTip()
    assert "exceeds variance_max_px2 10" in tip
    assert "Value error" not in tip


def test_a_range_can_be_moved_from_either_end(form_of):
    """Its lower end above the former upper one waits until the upper one follows."""
    form = form_of(CleanSettings())
    edit_of(form, "variance_min_px2").value = "12"
    edit_of(form, "variance_max_px2").value = "20"
    expected = CleanSettings(variance_min_px2=12, variance_max_px2=20)
    assert form.heard == [expected]
    assert not edit_of(form, "variance_min_px2").native.styleSheet()


def test_other_fields_can_be_edited_while_one_is_marked(form_of):
    form = form_of(SceneSettings())
    form.edited.connect(form.show_settings)
    edit_of(form, "atom_peak_e").value = "much"
    edit_of(form, "walk_px").value = "1"
    assert form.settings == SceneSettings(walk_px=1)
    shown = edit_of(form, "atom_peak_e")
    assert shown.value == "much"
    assert shown.native.styleSheet(), "what is not taken must not look as if it were"


def test_showing_settings_is_no_edit_and_clears_marks(form_of):
    form = form_of(SceneSettings())
    edit_of(form, "atom_peak_e").value = "much"
    other = SceneSettings(walk_px=3, atom_peak_e=4)
    form.show_settings(other)
    assert form.settings == other
    assert not form.heard
    assert edit_of(form, "atom_peak_e").value == "4"
    assert not edit_of(form, "atom_peak_e").native.styleSheet()
    edit_of(form, "drift_px").value = "0.5"
    assert form.settings == other.model_copy(update={"drift_px": 0.5})


def test_what_one_types_is_not_rewritten(form_of):
    form = form_of(SceneSettings())
    form.edited.connect(form.show_settings)
    type_into(form, "atom_peak_e", "1.500")
    assert edit_of(form, "atom_peak_e").value == "1.500"
    assert form.settings.atom_peak_e == 1.5
    type_into(form, "atom_peak_e", "2e-1")
    assert edit_of(form, "atom_peak_e").value == "2e-1"
    assert form.settings.atom_peak_e == 0.2


def test_large_numbers_are_written_in_full(form_of):
    form = form_of(DetectorSettings())
    form.show_settings(DetectorSettings(saturation_counts=65535.0))
    assert edit_of(form, "saturation_counts").value == "65535"


def test_large_seeds_can_be_shown(form_of):
    form = form_of(RunSettings())
    form.show_settings(RunSettings(seed=2**31 - 1))
    assert edit_of(form, "seed").value == 2**31 - 1


def test_labels_name_the_unit():
    assert label_of("variance_min_px2") == "variance min [px²]"
    assert label_of("read_noise_counts") == "read noise [counts]"
    assert label_of("seed") == "seed"
    assert label_of("px") == "px"
