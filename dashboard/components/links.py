"""Choices that are in the page's address, so that a link shows the same view to somebody else.

A widget whose options are words of the program is bound to the address by Streamlit. What is chosen by a click, or has
labels with counts, dates or icons in them, stands there by a word or id of its own: `linked_state`, `linked_ids`. What
a link names that is not there is told in a sentence, and the page shows what it shows without a link.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components.words import plain

T = TypeVar("T")

_MOST = 2**53 - 1
"""The largest number that a browser can write down exactly."""
MOST_IDS = 20
"""More selected items than this are not put into an address, which some programs cut off."""


def linked_select(
    place: DeltaGenerator,
    label: str,
    options: Sequence[str],
    *,
    key: str,
    first: str,
    what: str,
    help: str | None = None,
) -> str:
    """A select box whose choice is in the address.

    Args:
        place: where it is drawn.
        options: as they are shown, because so they stand in the address, too.
        key: of the choice, in the session and in the address.
        first: what is chosen at first.
        what: what an option is, for the sentence about a link that names one which is not there.
    """
    say_unknown(key, options, what)
    if st.session_state.get(key, first) not in options:  # the choice belonged to other data
        st.session_state[key] = first
    return place.selectbox(label, options, index=options.index(first), key=key, bind="query-params", help=help)


def linked_toggle(
    place: DeltaGenerator,
    label: str,
    *,
    key: str,
    first: bool = False,
    disabled: bool = False,
    help: str | None = None,
) -> bool:
    """A switch that is in the address when it is not as at first."""
    if (asked := st.query_params.get(key)) and asked.lower() not in ("true", "false"):
        _refuse(label, asked, "true or false")
    return place.toggle(label, value=first, key=key, bind="query-params", disabled=disabled, help=help)


def linked_number(
    key: str,
    label: str,
    *,
    first: float | None,
    low: float | None = None,
    high: float | None = None,
    optional: bool = False,
) -> None:
    """A number that is in the session under its key and, unless it is the first one, in the address.

    To be called before its number input or slider is drawn, which has the same key, no value (None where it may stay
    empty), and `persist_state="session"`.

    Args:
        label: of the widget, for the sentence about a link that gives what cannot be.
        first: what it is at first; with a whole number only whole ones are taken.
        low, high: bounds, inclusive.
        optional: whether it may be empty.
    """
    if key not in st.session_state:
        st.session_state[key] = _number_of_link(key, label, first, low, high, optional=optional)
    elif not _within(st.session_state[key], low, high):  # it belonged to other data
        st.session_state[key] = first
    chosen = st.session_state[key]
    word = "" if chosen is None else str(chosen) if isinstance(chosen, int) else f"{chosen:.10g}"
    put_into_link(**{key: None if chosen == first else word})


def _number_of_link(
    key: str, label: str, first: float | None, low: float | None, high: float | None, *, optional: bool
) -> float | None:
    asked = st.query_params.get(key)
    if asked is None:
        return first
    if not asked and optional:
        return None
    number = _number(asked, whole=isinstance(first, int))
    if number is not None and _within(number, low, high):
        return number
    bounds = [f"{word} {bound:g}" for word, bound in (("from", low), ("to", high)) if bound is not None]
    _refuse(label, asked, " ".join(["a number", *bounds]))
    return first


def _within(number: float | None, low: float | None, high: float | None) -> bool:
    return number is None or ((low is None or number >= low) and (high is None or number <= high))


def _number(text: str, *, whole: bool) -> float | None:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        return None
    return number if abs(number) <= _MOST else None  # not so for NaN either


def linked_state(key: str, words: Mapping[str, T], *, first: T, what: str) -> T:
    """A choice that is in the session under its key and, unless it is the first one, in the address by a word.

    To be called before its widget is drawn, which has the same key, no default, and `persist_state="session"`.

    Args:
        words: what can be chosen, by its word.
        first: what is chosen at first; it need not be among the words.
        what: as in `linked_select`.
    """
    if key not in st.session_state or st.session_state[key] not in (first, *words.values()):
        asked = take_from_link(key, words, what)
        st.session_state[key] = first if asked is None else words[asked]
    chosen: T = st.session_state[key]
    word = None if chosen == first else next(word for word, value in words.items() if value == chosen)
    put_into_link(**{key: word})
    return chosen


def linked_ids(key: str, known: Collection[str], what: str) -> tuple[str, ...]:
    """Items that were selected on a figure: in the session under this key, in the address as far as they are few."""
    if key not in st.session_state:
        asked = st.query_params.get_all(key)
        if missing := [name for name in asked if name not in known]:
            _say(what, missing[0])
        st.session_state[key] = tuple(name for name in asked if name in known)
    chosen = tuple(name for name in st.session_state[key] if name in known)
    if chosen and len(chosen) <= MOST_IDS:
        if st.query_params.get_all(key) != list(chosen):
            st.query_params[key] = list(chosen)
    else:
        put_into_link(**{key: None})
    return chosen


def take_from_link(key: str, known: Collection[str], what: str) -> str | None:
    """What the address says of a choice that is made by a click, unless it is not there."""
    say_unknown(key, known, what)
    found = st.query_params.get(key)
    return found if found in known else None


def put_into_link(**choices: str | None) -> None:
    """Write choices into the address; None takes one out."""
    for key, value in choices.items():
        if value is None:
            if key in st.query_params:
                del st.query_params[key]
        elif st.query_params.get(key) != value:
            st.query_params[key] = value


def say_unknown(key: str, known: Collection[str], what: str) -> None:
    """A sentence where the address names what is not there; to be called before the widget is drawn."""
    for asked in st.query_params.get_all(key):
        if asked and asked not in known:
            _say(what, asked)


def _say(what: str, asked: str) -> None:
    st.warning(
        f"The link names {what} “{plain(asked)}”, which is not here. Something else is shown; choose again.",
        icon=":material/link_off:",
    )


def _refuse(label: str, asked: str, accepted: str) -> None:
    st.warning(
        f"The link gives “{plain(asked)}” for “{label}”, which must be {accepted}. What is shown is without it.",
        icon=":material/link_off:",
    )
