"""Forms made from settings: each field's docstring is its tooltip, its limits are those of the field."""

from collections.abc import Collection
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from annotated_types import Ge, Le, MultipleOf
from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox
from magicgui.widgets.bases import ValueWidget
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

__all__ = ["SettingsForm", "form_label", "form_layout", "label_of"]

Model = TypeVar("Model", bound=BaseModel)
UNITS = {"px": "px", "px2": "px²", "nm": "nm", "s": "s", "e": "e", "counts": "counts"}
"""Suffixes of names, and how they are written."""
MOST = 2**31 - 1
LABEL_PX = 150
"""So that the fields of all forms stand in one column."""


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Return a layout of labels and fields."""
    layout = QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def form_label(text: str) -> QLabel:
    """Return a label as wide as those of all forms."""
    label = QLabel(text)
    label.setMinimumWidth(LABEL_PX)
    return label


def label_of(name: str) -> str:
    """Return a field's name as people write it, with its unit in brackets."""
    *words, last = name.split("_")
    if words and last in UNITS:
        return f"{' '.join(words)} [{UNITS[last]}]"
    return " ".join([*words, last])


class SettingsForm(QWidget, Generic[Model]):
    """Edits fields of a group of settings.

    What cannot be a value is marked and said in its tooltip; the settings stay what they were then. A comma may stand
    for the decimal point.

    Parameters
    ----------
    settings : BaseModel
        The group, with its present values.
    names : collection of str
        Which fields, in this order.
    parent : QWidget, optional
        The parent.
    """

    edited = Signal(object)
    """The group with the user's new value."""
    problem_changed = Signal(str)
    """Why a value that is shown was not taken, in a sentence or two; empty if all were."""

    def __init__(self, settings: Model, names: Collection[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._refused: dict[str, Any] = {}
        self._problems: dict[str, str] = {}
        self._edits: dict[str, ValueWidget[Any]] = {}
        layout = form_layout(self)
        for name in names:
            field = type(settings).model_fields[name]
            edit = _edit(field, getattr(settings, name))
            edit.changed.connect(lambda value, name=name: self._take(name, value))
            label = form_label(label_of(name))
            for widget in (label, edit.native):
                widget.setToolTip(field.description or "")
            layout.addRow(label, edit.native)
            self._edits[name] = edit

    @property
    def settings(self) -> Model:
        """The group as it is now."""
        return self._settings

    def show_settings(self, settings: Model) -> None:
        """Show other values; this is no edit."""
        if settings == self._settings:
            return  # an echo of an edit, or nothing new: what stands there may be half typed
        self._settings = settings
        self._refused.clear()
        for name, edit in self._edits.items():
            value = getattr(settings, name)
            if not _shows(edit, value):
                with edit.changed.blocked():
                    edit.value = _shown(edit, value)
            self._mark(name, "")
        self.problem_changed.emit(self.problem)

    @property
    def problem(self) -> str:
        """Why a value that is shown was not taken; empty if all were."""
        return next(iter(self._problems.values()), "")

    def _take(self, name: str, value: Any) -> None:
        """Take a value, with those that were refused before if they fit now: one end of a range waits for the other."""
        if isinstance(getattr(self._settings, name), float):
            value = _with_point(value)
        refused, self._refused = self._refused, {}
        waiting = {other: its for other, its in refused.items() if other != name}
        try:
            settings = self._with(waiting | {name: value})
        except ValidationError:
            self._refused = waiting
            try:
                settings = self._with({name: value})
            except ValidationError as error:
                self._refused[name] = value
                message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                self._mark(name, f"{label_of(name)}: got {self._edits[name].value!r}. {message}")
                self.problem_changed.emit(self.problem)
                return
        self._settings = settings
        for every in self._edits:
            if every not in self._refused:
                self._mark(every, "")
        self.edited.emit(settings)
        self.problem_changed.emit(self.problem)

    def _with(self, values: dict[str, Any]) -> Model:
        return type(self._settings).model_validate(self._settings.model_dump() | values)

    def _mark(self, name: str, problem: str) -> None:
        self._problems.pop(name, None)
        if problem:
            self._problems[name] = problem
        native = self._edits[name].native
        native.setStyleSheet("border: 1px solid #d55e00;" if problem else "")
        native.setToolTip(problem or type(self._settings).model_fields[name].description or "")


def _edit(field: FieldInfo, value: Any) -> ValueWidget[Any]:
    """Return the widget that suits a field."""
    if get_origin(field.annotation) is Literal:
        return ComboBox(choices=get_args(field.annotation), value=value)
    if isinstance(value, bool):
        return CheckBox(value=value, text="")
    if isinstance(value, int):
        limits: dict[str, Any] = {"min": 0, "max": MOST}
        for limit in field.metadata:
            match limit:
                case Ge(ge):
                    limits["min"] = ge
                case Le(le):
                    limits["max"] = le
                case MultipleOf(step):
                    limits["step"] = step
        return SpinBox(value=value, **limits)
    edit = LineEdit()
    edit.value = _shown(edit, value)
    return edit


def _shown(edit: ValueWidget[Any], value: Any) -> Any:
    """Return what stands in a widget for a value; a float has few digits, the settings keep them all."""
    if not (isinstance(edit, LineEdit) and isinstance(value, float)):
        return value
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _shows(edit: ValueWidget[Any], value: Any) -> bool:
    """Tell whether a widget shows a value, however it was typed: what one types must not be rewritten."""
    try:
        return bool(float(_with_point(edit.value)) == value if isinstance(value, float) else edit.value == value)
    except ValueError:
        return False


def _with_point(text: str) -> str:
    """Return a number with a decimal point for one with a comma; 1,500 may be 1500, and is left as it is."""
    whole, _, rest = text.partition(",")
    thousands = len(rest) == 3 and rest.isdecimal() and whole.strip("+- 0")
    return text if thousands or "." in text else text.replace(",", ".", 1)
