"""Evidence: whether a signed pack is what was signed and says what its vectors say; and the packs made here."""

import streamlit as st

from dashboard.components.evidence_check import check_form
from dashboard.components.evidence_packs import list_packs, show_key
from dashboard.components.page import errors_as_sentences, heading

heading(
    "Evidence",
    "Check an evidence pack that somebody gave you: who signed it, whether a byte was changed, and whether its numbers "
    "follow from its vectors. Nothing is sent anywhere, and no encoder is needed.",
)
with errors_as_sentences():
    check_form()
    st.divider()
    list_packs()
    show_key()
