"""Choices that are in the page's address, so that a link shows the same view to somebody else."""

from collections.abc import Collection, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components.uploads import plain


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


def linked_toggle(place: DeltaGenerator, label: str, *, key: str, help: str | None = None) -> bool:
    """A switch that is in the address when it is on."""
    return place.toggle(label, key=key, bind="query-params", help=help)


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
    asked = st.query_params.get(key)
    if asked and asked not in known:
        st.warning(
            f"The link names {what} “{plain(asked)}”, which is not here. Something else is shown; choose again.",
            icon=":material/link_off:",
        )
