"""Following one job on a page: its progress and a button to cancel it, or why it did not end."""

from collections.abc import Callable

import streamlit as st

from dashboard.components.job_view import REFRESH_S, cancel_button, say
from dashboard.components.page import errors_as_sentences
from dashboard.components.words import plain
from dashboard.services import workspace
from muc_core.errors import MucError
from muc_core.jobs import Job, JobTable

FAULT = "start fault"


def follow_job(job: Job, what: str, so_far: Callable[[], object] = lambda: None) -> None:
    """Progress of a queued or running job, refreshed every second; the page runs anew when it has ended.

    Args:
        what: it does, in a few words that begin the line.
        so_far: what the rest of the page shows of its results; when it changes, the page runs anew, too.
    """
    st.fragment(_follow, run_every=REFRESH_S)(job.id, what, so_far, so_far())


def how_it_ended(job: Job | None, what: str, next_step: str) -> None:
    """Why a job did not end well and what to do; nothing for one that did, still runs, or was never started."""
    if job is None or job.active or job.state == "done":
        return
    if job.state == "cancelled":
        st.info(f"{what} was cancelled. {next_step}", icon=":material/cancel:")
        return
    reason = (job.error or "no reason is known").rstrip(".")
    st.error(f"{what} did not end: {plain(reason)}. {next_step}", icon=":material/error:")


def start_button(label: str, begin: Callable[[], object], *, key: str, main: bool = True) -> None:
    """A button that queues a job; a refusal is said below it. `main`: it is what the page is for."""
    st.button(
        label,
        type="primary" if main else "secondary",
        icon=":material/play_arrow:",
        key=key,
        on_click=_begin,
        args=(begin, key),
    )
    if fault := st.session_state.pop(f"{FAULT} {key}", None):
        st.error(plain(fault), icon=":material/error:")


def _begin(begin: Callable[[], object], key: str) -> None:
    try:
        begin()
    except MucError as fault:
        st.session_state[f"{FAULT} {key}"] = f"Not started: {fault}"


def _follow(job_id: str, what: str, so_far: Callable[[], object], shown: object) -> None:
    with errors_as_sentences():
        job = JobTable(workspace()).job(job_id)
        if not job.active or so_far() != shown:
            st.rerun()
        st.progress(job.share, text=plain(f"{what}. {say(job)}"))
        cancel_button(job)
