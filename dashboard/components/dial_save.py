"""Saving the encoder at a strength of the dial under a name of its own."""

import streamlit as st

from dashboard.components.choices import AFTER, BEFORE
from dashboard.components.unlearn_form import unused_name
from dashboard.components.uploads import plain
from dashboard.services import encoder_records
from dashboard.services.tune import Line, save_at
from muc_core.errors import MucError

NAME, SUGGESTED, SAVED, FAULT = "strength name", "strength suggested name", "strength saved", "strength fault"


def save_form(line: Line, strength: float) -> None:
    """A name and a button; says what was saved, and what was wrong."""
    if strength in (0.0, 1.0):
        name = line.before if strength == 0 else line.after
        st.caption(f"Strength {strength:g} is {plain(name)}, which is saved already. Turn the dial to save another.")
        _say()
        return
    taken = {record.manifest.name for record in encoder_records()}
    suggestion = unused_name(f"{line.after}-at-{strength:g}", taken)
    if st.session_state.get(NAME) in (None, st.session_state.get(SUGGESTED)):
        st.session_state[NAME] = suggestion
    st.session_state[SUGGESTED] = suggestion
    with st.container(horizontal=True, vertical_alignment="bottom", key="save-strength"):
        st.text_input("Save this strength as", key=NAME, max_chars=64, persist_state="session")
        st.button(
            "Save as an encoder", icon=":material/save:", key="save strength", on_click=_save, args=(line, strength)
        )
    _say()


def _save(line: Line, strength: float) -> None:
    name = str(st.session_state[NAME]).strip()
    try:
        saved = save_at(line, strength, name).manifest
    except MucError as fault:
        st.session_state[FAULT] = str(fault)
        return
    st.session_state[NAME] = None
    st.session_state[SAVED] = saved.name
    st.session_state[BEFORE], st.session_state[AFTER] = line.before, saved.name


def _say() -> None:
    if fault := st.session_state.pop(FAULT, None):
        st.error(f"Not saved: {plain(fault)}.", icon=":material/error:")
    if saved := st.session_state.get(SAVED):
        st.success(
            f"Saved as {plain(saved)}; it is now *After* on every page. Its manifest names the original, the run and "
            "the strength.",
            icon=":material/check:",
        )
