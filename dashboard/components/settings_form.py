"""Widgets made from a settings model: a new method or setting is a field on the page without a change here."""

import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from dashboard.components.links import linked_number, linked_select, linked_toggle
from dashboard.components.uploads import plain
from muc_core.errors import MucError


def settings_fields(
    model: type[BaseModel],
    names: Sequence[str],
    *,
    key: str,
    columns: int = 1,
    notes: Mapping[str, str] | None = None,
) -> dict[str, JsonValue]:
    """Draw a widget for each named field, with what is wrong with its value underneath.

    An integer or number becomes a number input within its bounds (one that may be None can be left empty), a choice a
    select box, a truth value a toggle. A nested model keeps its default, which is said.

    Args:
        model: all its fields have defaults.
        names: of the fields to draw, in this order.
        key: begins the keys of the widgets; their values are kept for the session, apart for each key.
        columns: widgets side by side.
        notes: a further sentence for the explanation of a field, by name.

    Returns:
        The values by field name, for `model.model_validate`; fields that keep their default are left out.

    Raises:
        MucError: a field has a type that no widget is known for.
    """
    values: dict[str, JsonValue] = {}
    drawn = [name for name in names if not _is_nested(model.model_fields[name])]
    for start in range(0, len(drawn), columns):
        row = st.columns(columns) if columns > 1 else [st.container()]
        for place, name in zip(row, drawn[start : start + columns], strict=False):
            with place:
                field = model.model_fields[name]
                values[name] = _widget(name, field, f"{key} {name}", _explain(field, (notes or {}).get(name)))
                if fault := find_faults(model, {name: values[name]}).get(name):
                    st.markdown(f":red[:material/error: {plain(fault)}]")
    for name in names:
        if _is_nested(model.model_fields[name]):
            st.caption(f"{label(name)} keeps its default here; the command line can set it.")
    return values


def find_faults(model: type[BaseModel], values: Mapping[str, JsonValue]) -> dict[str, str]:
    """What is wrong with which field, as sentences by field name; empty when the model accepts the values."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        return {
            str(fault["loc"][0]) if fault["loc"] else "": _sentence(fault["loc"], fault["msg"], fault["input"])
            for fault in error.errors(include_url=False)
        }
    return {}


def label(name: str) -> str:
    """A field's name for people."""
    return name.replace("_", " ").capitalize()


def _sentence(place: tuple[int | str, ...], message: str, given: object) -> str:
    where = label(str(place[0])) if place else "The settings"
    reason = message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{where} {reason}, not {given}." if place else f"{where}: {reason}."


def _explain(field: FieldInfo, note: str | None) -> str:
    """What a field means, what it may be, and what it is by default."""
    low, high = _range(field)
    parts = [field.description]
    if low is not None or high is not None:
        bounds = f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}"
        parts.append(f"Range: {bounds}.")
    if not _is_nested(field) and field.default is not None:
        parts.append(f"Default here: {_shown(field.default)}.")
    return " ".join(filter(None, [*parts, note]))


def _range(field: FieldInfo) -> tuple[str | None, str | None]:
    """Lowest and highest value in words; None where there is no bound."""
    low = high = None
    for constraint in field.metadata:
        if isinstance(constraint, Ge):
            low = f"{constraint.ge:,g}"
        if isinstance(constraint, Gt):
            low = f"above {constraint.gt:,g}"
        if isinstance(constraint, Le):
            high = f"{constraint.le:,g}"
        if isinstance(constraint, Lt):
            high = f"below {constraint.lt:,g}"
    return low, high


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _widget(name: str, field: FieldInfo, key: str, said: str) -> JsonValue:
    kind, optional = _kind(field)
    if get_origin(kind) is Literal:
        choices = list(get_args(kind))
        what = f"a value of {label(name)}"
        return linked_select(st.container(), label(name), choices, key=key, first=field.default, what=what, help=said)
    if kind is bool:
        return linked_toggle(st.container(), label(name), first=field.default, key=key, help=said)
    if kind in (int, float):
        return _number(name, field, key, kind, said, optional=optional)
    raise MucError(f"the setting {name!r} is a {kind}, for which the page has no widget; set it on the command line")


def _number(name: str, field: FieldInfo, key: str, kind: Any, said: str, *, optional: bool) -> JsonValue:
    lowest = _bound(field, Ge, Gt)
    highest = _bound(field, Le, Lt)
    default = field.default if field.default is None else kind(field.default)
    linked_number(key, label(name), first=default, low=lowest, high=highest, optional=optional)
    # An input that starts with a value cannot be emptied, one that starts empty and is then filled can.
    at_first: Any = None if optional else "min"
    value: float | None = st.number_input(
        label(name),
        min_value=None if lowest is None else kind(lowest),
        max_value=None if highest is None else kind(highest),
        value=at_first,
        step=1 if kind is int else _step(default),
        format="%d" if kind is int else "%.6g",
        key=key,
        help=said,
        placeholder="empty" if optional else None,
        persist_state="session",
    )
    return value


def _kind(field: FieldInfo) -> tuple[Any, bool]:
    """The type of a field without None, and whether it may be None."""
    if get_origin(field.annotation) in (Union, types.UnionType):
        kinds = get_args(field.annotation)
        others = [kind for kind in kinds if kind is not type(None)]
        return (others[0] if len(others) == 1 else field.annotation), type(None) in kinds
    return field.annotation, False


def _is_nested(field: FieldInfo) -> bool:
    kind, _ = _kind(field)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _bound(field: FieldInfo, closed: type[Ge] | type[Le], opened: type[Gt] | type[Lt]) -> float | None:
    """The bound of a number. An open one is given as if it were closed: the input knows no others, the model does."""
    for constraint in field.metadata:
        if isinstance(constraint, closed):
            return float(getattr(constraint, closed.__name__.lower()))
        if isinstance(constraint, opened):
            return float(getattr(constraint, opened.__name__.lower()))
    return None


def _step(default: float | None) -> float:
    """A tenth of the power of ten at or above the default: 0.0005 moves by 0.0001, 1 by 0.1, 8 by 1."""
    if not default:
        return 0.1
    return float(f"{10 ** (math.ceil(round(math.log10(abs(default)), 9)) - 1):.3g}")
