"""What a job was asked to do and what its worker wrote."""

import json
from collections.abc import Sequence

import streamlit as st

from dashboard.components.links import linked_ids
from dashboard.components.uploads import plain
from dashboard.services.jobs import job_log
from muc_core.jobs import Job

OPENED = "job"
"""Key of the jobs whose details are shown, in the session and in the address."""
LINES = 200


def job_details(job: Job, *, opened: bool) -> None:
    """When, with which settings, and the log: folded away, and read only when it is not."""
    details = st.expander(
        "Details",
        icon=":material/article:",
        expanded=opened,
        key=f"details of {job.id}",
        on_change=_turn,
        args=(job.id,),
    )
    if not details.open:
        return
    with details:
        st.caption(_times(job))
        st.markdown("**Settings**")
        # st.code shows it as it is: captions and file names of users may be among the settings
        st.code(json.dumps(_short(job), indent=1, ensure_ascii=False), language="json", height=160)
        log = _log(job.id)
        if log:
            st.markdown("**Log**")
            st.code(log, language=None, height=240)
            st.download_button(
                "Download the log",
                log,
                f"job-{job.id}.log",
                "text/plain",
                icon=":material/download:",
                on_click="ignore",
                key=f"log of {job.id}",
            )
        else:
            st.caption("The worker wrote nothing.")


def opened_jobs(jobs: Sequence[Job]) -> tuple[str, ...]:
    """Ids of the jobs whose details are shown, at first those of the link."""
    return linked_ids(OPENED, [job.id for job in jobs], "a job")


def _turn(job_id: str) -> None:
    opened: tuple[str, ...] = st.session_state[OPENED]
    others = tuple(name for name in opened if name != job_id)
    st.session_state[OPENED] = others if job_id in opened else (*others, job_id)


def _times(job: Job) -> str:
    named = (("Queued", job.created), ("started", job.started), ("ended", job.finished))
    when = ", ".join(f"{word} {moment:%Y-%m-%d %H:%M:%S}" for word, moment in named if moment is not None)
    return plain(f"{when} UTC · job {job.id}")


def _short(job: Job) -> dict[str, object]:
    """The settings, long lists by their length."""
    return {
        name: f"{len(value)} entries" if isinstance(value, list | dict) and len(value) > 20 else value
        for name, value in job.settings.items()
    }


def _log(job_id: str) -> str:
    try:
        lines = job_log(job_id).splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-LINES:])
