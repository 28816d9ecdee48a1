"""Renaming and removing an encoder of the user's own."""

import streamlit as st

from dashboard.components.choices import AFTER, BEFORE
from dashboard.components.encoder_cards import BESIDE, CARD
from dashboard.components.uploads import plain
from dashboard.services import encoder_records, size_of, workspace
from muc_core.errors import MucError
from muc_core.workspace import EncoderRecord

SAID, FAULT = "encoder said", "encoder edit fault"
NAME_HELP = "1 to 64 lower-case letters, digits, dots, dashes and underscores; it stands for the encoder on every page."


def tell_what_happened() -> None:
    """What the last press of a button did, once."""
    if said := st.session_state.pop(SAID, None):
        st.info(plain(said), icon=":material/check:")
    if fault := st.session_state.pop(FAULT, None):
        st.error(plain(fault), icon=":material/error:")


def edit_encoder(record: EncoderRecord) -> None:
    """Both buttons, or why there are none."""
    name = record.manifest.name
    if record.shipped:
        st.caption(f"{plain(name)} comes with the program: it cannot be renamed or removed.")
        return
    with st.container(horizontal=True):
        with st.popover(plain(f"Rename {name}"), icon=":material/edit:"):
            key = f"new name of {name}"
            st.text_input("New name", value=name, key=key, max_chars=64, help=NAME_HELP)
            st.button("Rename it", key=f"rename {name}", type="primary", on_click=_rename, args=(name, key))
        with st.popover(plain(f"Remove {name}"), icon=":material/delete:"):
            st.markdown(_warning(record))
            st.button("Remove it", key=f"remove {name}", type="primary", on_click=_remove, args=(name,))


def _warning(record: EncoderRecord) -> str:
    name = record.manifest.name
    made = [other.manifest.name for other in encoder_records() if other.manifest.original == name]
    others = f" What was made from it stays: {', '.join(made)}." if made else ""
    return plain(f"Remove {name} and its files ({size_of(record) / 2**20:,.1f} MB)? This cannot be undone.{others}")


def _rename(old: str, key: str) -> None:
    new = str(st.session_state[key]).strip()
    try:
        if new == old:
            raise MucError(f"the encoder is called {old!r} already; type another name")
        workspace().rename_encoder(old, new)
    except MucError as fault:
        st.session_state[FAULT] = f"Not renamed: {fault}"
        return
    for choice in (CARD, BESIDE, BEFORE, AFTER):
        if st.session_state.get(choice) == old:
            st.session_state[choice] = new
    st.session_state[SAID] = f"{old} is now called {new}."


def _remove(name: str) -> None:
    try:
        workspace().delete_encoder(name)
    except MucError as fault:
        st.session_state[FAULT] = f"Not removed: {fault}"
        return
    st.session_state[SAID] = f"{name} was removed."
