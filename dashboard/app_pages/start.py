"""Start: what do you want to do?"""

import streamlit as st

from dashboard.components.job_view import REFRESH_S
from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.start import any_running, encoders_in_hand, last_audits, running_jobs, ways_in

heading(
    "What do you want to do?",
    "An encoder is the part of an AI that turns pictures into numbers. Somebody's pictures helped to train one and "
    "then were to be forgotten; this tool shows whether they were.",
)
with errors_as_sentences():
    ways_in()
    encoders_in_hand()
    left, right = st.columns(2, gap="large")
    with left:
        last_audits()
    with right:
        st.fragment(running_jobs, run_every=REFRESH_S if any_running() else None)()
