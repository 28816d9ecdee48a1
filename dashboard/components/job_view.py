"""The list of runs and jobs: progress, loss, cancelling, and what became of them, all read from the job table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from dashboard.charts.course import HOW_TO_READ, course_figure
from dashboard.charts.loss import loss_figure
from dashboard.charts.style import CONFIG
from dashboard.components.choices import AFTER, BEFORE
from dashboard.components.links import linked_toggle
from dashboard.components.page import errors_as_sentences, is_dark
from dashboard.components.words import capital, plain, sentence
from dashboard.services import workspace
from dashboard.services.jobs import active_jobs, jobs
from dashboard.services.tune import can_keep, course_of, kept_from, stop_and_keep
from muc_core.errors import MucError
from muc_core.jobs import Job, cancel, resume
from muc_core.jobs.table import UNFINISHED
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.unlearning.method import METHODS

FAULT = "job fault"
REFRESH_S = 1.0
SHOWN_AT_ONCE = 5


@dataclass(frozen=True)
class _Badge:
    icon: str
    colour: Literal["blue", "gray", "red"]


# Accent for what goes well, red for what needs attention; the hues of the sets stay out of it.
_BADGES = {
    "queued": _Badge(":material/hourglass_empty:", "gray"),
    "running": _Badge(":material/play_circle:", "blue"),
    "done": _Badge(":material/check_circle:", "blue"),
    "failed": _Badge(":material/error:", "red"),
    "cancelled": _Badge(":material/cancel:", "gray"),
    "lost": _Badge(":material/link_off:", "red"),
}


def jobs_panel() -> None:
    """All jobs, newest first; refreshed every second while one is queued or running, and only then."""
    active = [job.id for job in active_jobs()]
    st.fragment(_panel, run_every=REFRESH_S if active else None)(active)


def _panel(active_before: Sequence[str]) -> None:
    with errors_as_sentences():  # here too, because a fragment runs outside of the page's own
        _list_jobs(active_before)


def _list_jobs(active_before: Sequence[str]) -> None:
    listed = jobs(limit=50)
    if {job.id for job in listed if job.active} != set(active_before):
        # One began or ended: the rest of the page (free names, known encoders) and the refreshing depend on it.
        st.rerun()
    if not listed:
        st.caption("Nothing has run yet. What you start appears here and goes on when you close this page.")
        return
    shown = [job for place, job in enumerate(listed) if job.active or place < SHOWN_AT_ONCE]
    for job in shown:
        job_card(job)
    earlier = [job for job in listed if job not in shown]
    if earlier and linked_toggle(st.container(), f"Show {len(earlier)} earlier", key="show earlier jobs"):
        for job in earlier:
            job_card(job)


def job_card(job: Job) -> None:
    """One job: how it stands, what can be done with it, and its loss."""
    with st.container(border=True, key=f"job-{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            badge = _BADGES[job.state]
            st.badge(job.state, icon=badge.icon, color=badge.colour)
            st.markdown(f"**{plain(describe(job))}**")
        if job.state == "running":
            st.progress(job.share, text=plain(say(job)))
        else:
            st.markdown(plain(say(job)))
        with st.container(horizontal=True, vertical_alignment="center"):
            if job.active:
                cancel_button(job)
            _offer_to_go_on(job)
            _offer_to_keep(job)
            if job.state == "done" and "encoder" in job.result:
                _offer(job, str(job.result["encoder"]))
            show_loss = bool(job.history) and (
                job.active or st.toggle("Show the loss", key=f"loss of {job.id}", persist_state="session")
            )
        if fault := st.session_state.pop(f"{FAULT} {job.id}", None):
            st.error(f"{plain(fault)}.", icon=":material/error:")
        if show_loss:
            _along_the_way(job)


def cancel_button(job: Job) -> None:
    """Asks a queued or running job to stop."""
    st.button(
        "Cancel",
        key=f"cancel {job.id}",
        icon=":material/stop_circle:",
        disabled=job.cancel_requested,
        on_click=_cancel,
        args=(job.id,),
    )


def _offer_to_go_on(job: Job) -> None:
    """A job that ended without a result can be taken up again."""
    if job.state not in UNFINISHED or (job.kind == "unlearn" and kept_from(job) is not None):
        return
    st.button(
        "Go on",
        key=f"go on {job.id}",
        icon=":material/resume:",
        on_click=_go_on,
        args=(job.id,),
        help="Queues it again with the same settings. What it kept so far is not done twice; training ends in the same "
        "weights as without the break.",
    )


def _go_on(job_id: str) -> None:
    try:
        resume(workspace(), job_id)
    except MucError as fault:
        st.session_state[f"{FAULT} {job_id}"] = f"Not queued: {fault}"


def _offer_to_keep(job: Job) -> None:
    """A run that was stopped, or is to be, can be kept as far as it came."""
    if job.kind != "unlearn" or job.state in ("queued", "done") or not can_keep(job):
        return
    st.button(
        "Stop and keep" if job.active else "Keep its last checkpoint",
        key=f"keep {job.id}",
        icon=":material/save:",
        disabled=job.cancel_requested and job.active,
        on_click=_keep,
        args=(job,),
        help=f"Saves the latest checkpoint as {job.settings.get('name')}.",
    )


def _keep(job: Job) -> None:
    try:
        stop_and_keep(job)
    except MucError as fault:
        st.session_state[f"{FAULT} {job.id}"] = f"Not kept: {fault}"


def _along_the_way(job: Job) -> None:
    """Loss terms, and beside them the quick audits at checkpoints where there are some."""
    course = course_of(job.id)
    if course is None:
        _loss(job)
        return
    losses, audits = st.columns(2, gap="medium")
    with losses:
        _loss(job)
    with audits:
        if course.refused is not None:
            st.info(f"No audits along the way: {plain(course.refused)}.", icon=":material/info:")
        elif not any(point.verdict for point in course.points):
            st.caption("The first quick audit is being made.")
        else:
            figure = course_figure(course, job.total, dark=is_dark())
            st.plotly_chart(figure, key=f"course figure {job.id}", theme=None, config=CONFIG)
            st.caption(HOW_TO_READ)


def _offer(job: Job, encoder: str) -> None:
    known = {record.manifest.name: record.manifest for record in workspace().encoders()}
    if encoder not in known:
        st.caption("The encoder has been deleted since.")
        return
    original = known[encoder].original
    if original is None:
        return
    if st.session_state.get(AFTER) == encoder and st.session_state.get(BEFORE) == original:
        st.caption(
            f":material/check: {plain(encoder)} is now *After* on every page, and {plain(original)} is *Before*."
        )
        return
    st.button(
        "Use it as After",
        key=f"use {job.id}",
        icon=":material/arrow_forward:",
        on_click=_use,
        args=(original, encoder),
        help="Makes it the encoder after unlearning on all pages, and its original the one before.",
    )


def _use(original: str, encoder: str) -> None:
    st.session_state[BEFORE], st.session_state[AFTER] = original, encoder


def _cancel(job_id: str) -> None:
    try:
        cancel(workspace(), job_id)
    except MucError as fault:
        st.session_state[f"{FAULT} {job_id}"] = f"Not cancelled: {fault}"


def _loss(job: Job) -> None:
    figure = loss_figure(job.history, job.total, is_dark())
    st.plotly_chart(figure, key=f"loss figure {job.id}", theme=None, config=CONFIG)
    st.caption(
        "How to read this: each line is one term of what the method minimises, green over the retain set and vermilion "
        "over the forget set; a line that goes down is a term that is being met."
    )


def describe(job: Job) -> str:
    """What the job does, in a few words."""
    asked = {name: value for name, value in job.settings.items() if isinstance(value, str)}
    if job.kind == "unlearn":
        method = asked.get("method", "")
        title = METHODS.get(method).title if method in METHODS.names() else method
        return f"{title}: {asked.get('original')} forgets {asked.get('forget')} → {asked.get('name')}"
    if job.kind == "train":
        return f"Training on {asked.get('data')} → {asked.get('name')}"
    if job.kind == "embedding_map":
        return f"Embedding map of {asked.get('before')} and {asked.get('after')}"
    if job.kind == "residual_stress":
        return f"Stress test of {asked.get('before')} → {asked.get('after')}, {asked.get('forget')}"
    if job.kind == "audit":
        return f"Audit of {asked.get('before', 'an encoder')} → {asked.get('after')}"
    if job.kind == "compare":
        return f"Comparing encoders made from {asked.get('original')}"
    if job.kind == "strength_sweep":
        return f"Strength dial of {asked.get('before')} and {asked.get('after')}"
    if job.kind == "weakest_strength":
        return f"Weakest strength between {asked.get('before')} and {asked.get('after')}"
    if job.kind in ("weakest_run", "time_run"):
        run = UnlearnJob.model_validate(job.settings["job"])
        if job.kind == "time_run":
            return f"Timing a few steps of {run.method} on {run.original}"
        return f"Weakest {asked.get('setting')}: unlearning {run.original} again and again"
    if job.kind == "check_encoder":
        return f"Checking {asked.get('encoder')}"
    if job.kind == "import_encoder":
        source = asked.get("file_name") or asked.get("source")
        return f"Adding {source} → {asked['name']}" if "name" in asked else f"Looking at {source}"
    return job.kind.replace("_", " ").capitalize()


def say(job: Job) -> str:
    """How the job stands, as a sentence."""
    if job.cancel_requested and job.active:
        return "Is being cancelled."
    if job.state == "queued":
        return f"{capital(job.message or 'waiting for its turn')}; one job runs at a time, the oldest first."
    if job.state == "running":
        if not job.step:
            return f"{capital(job.message or 'loading the encoder and the pictures')} …"
        return f"{capital(job.message)}, step {job.step:,} of {job.total:,}{time_left(job)}"
    if job.state == "done":
        made = f"The encoder {job.result['encoder']} is ready" if "encoder" in job.result else "Finished"
        return f"{made}{_took(job)}."
    if job.state == "cancelled":
        where = f" at step {job.step:,} of {job.total:,}" if job.step else " before it began"
        if job.kind not in ("unlearn", "train"):
            return f"Cancelled{where}. What was finished before is kept."
        if (kept := kept_from(job)) is not None:
            return f"Cancelled{where}. Its checkpoint was kept as {kept}."
        return f"Cancelled{where}. No encoder was saved; nothing else has changed."
    return sentence(job.error or "it ended without a word")


def time_left(job: Job) -> str:
    """How much longer it will take at its pace so far, to be put after what it does; empty while that is not known."""
    if job.seconds is None or not job.step or job.attempt > 1:  # how much was done before is not known
        return ""
    return f", about {duration(job.seconds / job.step * max(0, job.total - job.step))} left"


def _took(job: Job) -> str:
    return "" if job.seconds is None else f"; it took {duration(job.seconds)}"


def duration(seconds: float) -> str:
    """Seconds for people: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
