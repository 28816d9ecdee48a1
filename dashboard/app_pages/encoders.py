"""Encoders: which there are, what is known of each, whether they answer as an audit needs, and adding further ones."""

import streamlit as st

from dashboard.components.encoder_add import add_encoders
from dashboard.components.encoder_cards import choose_cards, encoder_list, show_cards
from dashboard.components.encoder_check import show_checks
from dashboard.components.encoder_edit import edit_encoder, tell_what_happened
from dashboard.components.page import errors_as_sentences, heading
from dashboard.services import encoder_records

heading(
    "Encoders",
    "Every encoder that can be put beside another: those of the demo, those trained here, files from elsewhere, and "
    "models behind a URL.",
)
with errors_as_sentences():
    records = encoder_records()
    tell_what_happened()
    encoder_list(records)
    if records:
        chosen = choose_cards(records)
        show_cards(chosen)
        show_checks(chosen)
        edit_encoder(chosen[0])
st.subheader("Add an encoder", anchor=False)
with errors_as_sentences():
    add_encoders()
