"""The name of an encoder that is about to be added, and what is said once it is there."""

import re

import streamlit as st

from dashboard.components.encoder_cards import CARD
from dashboard.components.encoder_edit import FAULT, NAME_HELP, SAID
from dashboard.components.unlearn_form import unused_name
from dashboard.components.words import plain, sentence
from dashboard.services import encoder_records, workspace
from muc_core.errors import MucError


def choose_name(suggestion: str, *, key: str) -> str | None:
    """The name, one that is free is suggested; None, with the reason on screen, when it cannot be used."""
    taken = {record.manifest.name for record in encoder_records()}
    name = st.text_input(
        "Name of the encoder here", value=unused_name(slug(suggestion), taken), key=key, max_chars=64, help=NAME_HELP
    ).strip()
    try:
        return workspace().check_new_name(name)
    except MucError as fault:
        st.markdown(f":red[:material/error: {plain(sentence(str(fault)))}]")
        return None


def slug(text: str) -> str:
    """What can name an encoder, made of any text: `ViT-B/32 (OpenAI)` gives `vit-b-32-openai`."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:56] or "encoder"


def saved(name: str | None, said: str) -> None:
    """Tell on the next run what became of it, and show the card of the new encoder."""
    if name is None:
        st.session_state[FAULT] = said
        return
    st.session_state[SAID] = said
    st.session_state[CARD] = name
