"""What the latest check of an encoder found, and starting a new one."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.components.job_follow import follow_job, how_it_ended
from dashboard.components.uploads import plain
from dashboard.services import LARGE_BYTES, check_now, cost_of_check, size_of, workspace
from muc_core.encoders.probes import Probe
from muc_core.encoders.remote.encoder import FAMILY as REMOTE
from muc_core.errors import MucError
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.tasks.check_encoder import KIND, Check, CheckEncoderSettings, forget_canaries, read_check
from muc_core.workspace import EncoderRecord

FAULT = "encoder check fault"

_BADGES = {
    True: ":blue-badge[:material/check: passed]",
    False: ":red-badge[:material/close: failed]",
    None: ":gray-badge[:material/remove: noted]",
}


def show_checks(records: Sequence[EncoderRecord]) -> None:
    """For each encoder its latest check and the button for a new one."""
    st.subheader("Does it answer as an audit needs?", anchor=False)
    for place, record in zip(st.columns(len(records)), records, strict=True):
        with place, st.container(key=f"check-{record.manifest.name}".replace(".", "-")):
            if len(records) > 1:
                st.markdown(f"**{plain(record.manifest.name)}**")
            _one(record, brief=len(records) > 1)


def _one(record: EncoderRecord, *, brief: bool) -> None:
    name, digest = record.manifest.name, record.manifest.content_digest
    job = _latest_job(name)
    if job is not None and job.active:
        follow_job(job, f"Checking {name}")
        return
    how_it_ended(job, "The check", "It can be made again.")
    found = read_check(workspace(), digest)
    if found is not None:
        _table(found, brief=brief)
    _offer(record, again=found is not None)
    if found is not None and any(probe.name == "drift" and probe.passed is False for probe in found.probes):
        st.button(
            "Take the next check as the first",
            key=f"forget canaries {name}",
            icon=":material/restart_alt:",
            on_click=_forget,
            args=(name, digest),
            help="Forgets the vectors kept at the first check: for a model that was changed with your knowledge.",
        )


def _table(found: Check, *, brief: bool) -> None:
    failed = len(found.failed)
    passed = sum(probe.passed is True for probe in found.probes)
    verdict = f"{failed} of {failed + passed} probes failed" if failed else f"All {passed} probes passed"
    st.markdown(f"{verdict} on {found.moment[:10]} at {found.moment[11:16]} UTC.")
    st.table(pd.DataFrame([_line(probe, brief) for probe in found.probes]), border="horizontal", hide_index=True)
    if brief:
        for probe in found.failed:
            st.caption(f"**{plain(probe.title)}**: {plain(probe.meaning)}")


def _line(probe: Probe, brief: bool) -> dict[str, str]:
    line = {"Result": _BADGES[probe.passed], "Probe": plain(probe.title), "Measured": plain(probe.value)}
    return line if brief else line | {"What it means": plain(probe.meaning)}


def _offer(record: EncoderRecord, *, again: bool) -> None:
    name = record.manifest.name
    if record.manifest.family == REMOTE:
        st.caption(plain(cost_of_check(record)))
    st.button(
        "Check it again" if again else "Check it",
        key=f"check {name}",
        icon=":material/fact_check:",
        on_click=_start,
        args=(record,),
        help="Looks at drawings of the demo in several ways and says what an audit may rely on.",
    )
    if fault := st.session_state.pop(f"{FAULT} {name}", None):
        st.error(plain(fault), icon=":material/error:")


def _start(record: EncoderRecord) -> None:
    """A small encoder answers at once; a large one and one behind a URL are asked by a job."""
    name = record.manifest.name
    try:
        if record.manifest.family == REMOTE or size_of(record) > LARGE_BYTES:
            submit(workspace(), KIND, CheckEncoderSettings(encoder=name), unique=True)
        else:
            check_now(name)
    except MucError as fault:
        st.session_state[f"{FAULT} {name}"] = f"Not checked: {fault}"


def _forget(name: str, digest: str) -> None:
    try:
        forget_canaries(workspace(), digest)
    except MucError as fault:
        st.session_state[f"{FAULT} {name}"] = str(fault)


def _latest_job(name: str) -> Job | None:
    jobs = JobTable(workspace()).jobs(limit=50)
    return next((job for job in jobs if job.kind == KIND and job.settings.get("encoder") == name), None)
