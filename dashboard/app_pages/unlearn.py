"""Unlearn: choose a method, an original encoder and a forget set, start the run, and watch it."""

import streamlit as st

from dashboard.components.job_view import jobs_panel
from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.unlearn_form import unlearn_form

heading(
    "Unlearn",
    "Make an encoder forget part of what it was trained on. The result is a new encoder beside the original, shown on "
    "every page.",
)
with errors_as_sentences():
    unlearn_form()
    st.subheader("Runs and jobs", anchor=False)
    jobs_panel()
