"""Jobs: what runs, what waits, what became of the rest, and why."""

import streamlit as st

from dashboard.components.job_details import job_details, opened_jobs
from dashboard.components.job_view import REFRESH_S, job_card
from dashboard.components.links import linked_state, say_unknown
from dashboard.components.page import errors_as_sentences, heading
from dashboard.services.jobs import active_jobs, jobs
from muc_core.jobs.table import State

A_PAGE = 20
STATES, PAGE = "jobs shown", "jobs page"
SHOWN: dict[str, tuple[State, ...] | None] = {
    "All": None,
    "Active": ("queued", "running"),
    "Done": ("done",),
    "Failed or lost": ("failed", "lost"),
    "Cancelled": ("cancelled",),
}


def show_jobs(refreshing: bool) -> None:
    """The jobs of the chosen states, newest first."""
    with errors_as_sentences():
        if bool(active_jobs()) != refreshing:
            st.rerun()
        wanted = SHOWN[st.session_state[STATES]]
        listed = jobs(states=wanted, limit=A_PAGE * 10)
        if not listed:
            nothing = "Nothing has run yet. What you start on the other pages appears here and goes on without them."
            st.caption("There is no such job." if wanted else nothing)
            return
        pages = -(-len(listed) // A_PAGE)
        page = linked_state(PAGE, {str(number): number for number in range(1, pages + 1)}, first=1, what="the page")
        opened = opened_jobs(listed)
        for job in listed[(page - 1) * A_PAGE : page * A_PAGE]:
            job_card(job)
            job_details(job, opened=job.id in opened)
        if pages > 1:
            st.pagination(pages, key=PAGE, persist_state="session")


heading(
    "Jobs",
    "Long work runs outside of the pages, on each machine one job at a time, the oldest first. It goes on when you "
    "close this page.",
)
with errors_as_sentences():
    say_unknown(STATES, SHOWN, "the state")
    st.segmented_control(
        "Show",
        list(SHOWN),
        default="All",
        key=STATES,
        required=True,
        label_visibility="collapsed",
        bind="query-params",
    )
    active = bool(active_jobs())
    st.fragment(show_jobs, run_every=REFRESH_S if active else None)(active)
