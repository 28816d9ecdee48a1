"""Choosing what is to be forgotten: a set of the data, or one that is typed."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.components.links import linked_state


def pick_forget_set(
    label: str, specs: Sequence[str], counts: Mapping[str, int], *, key: str, first: str | None, help: str
) -> str | None:
    """One of these sets, or one that is typed, by its name; None when there is none and none was typed.

    Args:
        counts: how many pictures a set has, where that is known.
        key: in the session and in the address.
        first: what is chosen at first; None: the first of the sets.
    """
    typed = [spec for spec in (st.session_state.get(key), st.query_params.get(key)) if spec]
    known = list(dict.fromkeys([*specs, *typed]))
    linked_state(key, {spec: spec for spec in known}, first=first or next(iter(specs), None), what="the forget set")
    chosen: str | None = st.selectbox(
        label,
        known,
        format_func=lambda spec: f"{spec} ({counts[spec]:,} pictures)" if spec in counts else spec,
        key=key,
        accept_new_options=True,
        help=help,
        persist_state="session",
    )
    return chosen
