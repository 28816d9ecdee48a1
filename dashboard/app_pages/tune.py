"""Tune: unlearn with settings of one's own, turn the strength, and find the weakest that leaves no trace."""

import streamlit as st

from dashboard.components.dial import dial_view
from dashboard.components.job_view import jobs_panel
from dashboard.components.links import say_unknown
from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.unlearn_form import unlearn_form
from dashboard.components.weakest import weakest_view

# Words, because the address of the page shows what is chosen.
UNLEARN, DIAL, WEAKEST = "Unlearn", "Strength dial", "Weakest strength"

heading(
    "Tune",
    "Make an encoder forget part of what it was trained on, as strongly as needed and no stronger. Every result is a "
    "new encoder beside the original, shown on every page.",
)
VIEWS = (UNLEARN, DIAL, WEAKEST)
say_unknown("view", VIEWS, "the view")
view = st.segmented_control(
    "What to do",
    VIEWS,
    default=UNLEARN,
    key="view",
    label_visibility="collapsed",
    required=True,
    bind="query-params",
)
with errors_as_sentences():
    if view == DIAL:
        dial_view()
    elif view == WEAKEST:
        weakest_view()
    else:
        unlearn_form()
        st.subheader("Runs and jobs", anchor=False)
        jobs_panel()
