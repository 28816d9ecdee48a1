"""Adding an encoder: from a file, by open_clip's name, or behind a URL."""

import streamlit as st

from dashboard.components.encoder_file import file_form, open_clip_form
from dashboard.components.encoder_url import url_form
from dashboard.components.page import errors_as_sentences


def add_encoders() -> None:
    """The ways to add one, a tab each."""
    from_file, behind_url, from_open_clip = st.tabs(["From a file", "Behind a URL", "From open_clip"])
    with from_file, errors_as_sentences():
        file_form()
    with behind_url, errors_as_sentences():
        url_form()
    with from_open_clip, errors_as_sentences():
        open_clip_form()
