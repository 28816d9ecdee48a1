"""Making an audit on the page: at once with a first look, or by a job; and showing what was found."""

import time
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from dashboard.components.choices import Pair
from dashboard.components.evidence_offer import evidence_offer
from dashboard.components.job_follow import follow_job, how_it_ended, start_button
from dashboard.components.links import linked_number, linked_state
from dashboard.components.stress_hint import offer_stress
from dashboard.components.tables import csv_of
from dashboard.components.uploads import MyPictures
from dashboard.components.verdict import sureness_panel, verdict_card
from dashboard.components.verdict_cards import verdict_cards
from dashboard.components.verdict_collateral import collateral_panel
from dashboard.components.verdict_controls import Controls
from dashboard.components.words import moment, plain, sentence
from dashboard.services import (
    AuditPlan,
    PairData,
    audit_jobs,
    cost_of_audit,
    encoder_records,
    known_audit,
    make_audit,
    most_decoys,
    plan_audit,
    saved_audits,
    start_audit,
)
from dashboard.services.evidence import Evidence, evidence_of_kept, evidence_of_plan
from dashboard.services.stress import what_came_back
from muc_core.audit.result import AuditResult
from muc_core.encoders.manifest import AuditManifest
from muc_core.errors import MucError
from muc_core.jobs.tasks.audit import read_audit
from muc_core.reports import to_html

EARLIER = "earlier audit"
"""Key of the kept audit that is shown."""


_DECOYS = "Decoys for each of your pictures"


class _Bar:
    """Progress of an audit on the page, a few times a second."""

    def __init__(self) -> None:
        self._bar = st.progress(0.0, text="Looking at the controls ...")
        self._told = 0.0

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        if time.monotonic() - self._told > 0.2:
            self._told = time.monotonic()
            self._bar.progress(min(step / max(total, 1), 1.0), text=f"Auditing: {plain(message)} ...")


def audit_section(pair: Pair, pictures: MyPictures, controls: Controls, data: PairData) -> bool:
    """The verdict on the pictures, or why there is none. Whether there is one, or will be."""
    try:
        plan = plan_audit(pair.before, pair.after, pictures.dataset, controls.dataset)
        result = known_audit(plan)
    except MucError as refusal:
        _no_verdict(refusal)
        return False
    if result is None and plan.long:
        _offer_job(plan, pictures, controls, data)
        return True
    if result is None:
        try:
            result = _audit_now(plan)
        except MucError as refusal:
            _no_verdict(refusal)
            return False
    if plan.before is None:
        st.info(
            f"The vectors of {plain(pair.before)} and {plain(pair.after)} differ in length, so only the encoder after "
            "is audited: whether there was anything to forget is not asked.",
            icon=":material/info:",
        )
    thumbnails = dict(zip(pictures.dataset.ids, pictures.thumbnails, strict=True))
    show_audit(
        result,
        pictures.names,
        thumbnails,
        title=f"{pair.before} → {pair.after}",
        pair=pair,
        evidence=evidence_of_plan(plan),
    )
    return True


def _no_verdict(refusal: MucError) -> None:
    st.info(f"**No verdict.** {plain(sentence(str(refusal)))}", icon=":material/info:")


def _audit_now(plan: AuditPlan) -> AuditResult:
    """First a quick look, which stays on the page while the full audit is made."""
    place = st.empty()
    with place.container():
        bar = _Bar()
        first = make_audit(plan, bar, first_look=True)
        verdict_card(first, key="first", first_look=True)
        result = make_audit(plan, bar)
    place.empty()
    return result


def show_audit(
    result: AuditResult,
    names: Mapping[str, str],
    thumbnails: Mapping[str, str],
    *,
    title: str,
    pair: Pair | None,
    evidence: Evidence | None,
) -> None:
    """A result: verdict, how sure it is, a card for each picture, downloads, and evidence.

    Args:
        pair: the encoders audited; None when they are not here any more as they were.
        evidence: what can be signed of it; None: nothing.
    """
    stress = what_came_back(pair.before, pair.after) if pair is not None else None
    verdict_card(result, key="full", stress=stress)
    if pair is not None and stress is None:
        offer_stress(result, pair)
    sureness_panel(result)
    collateral_panel(result, names)
    st.subheader("Picture by picture", anchor=False)
    verdict_cards(result, names, thumbnails)
    with st.container(horizontal=True):
        _downloads(result, names, title)
        if evidence is not None:
            evidence_offer(evidence)


def items_frame(result: AuditResult, names: Mapping[str, str]) -> pd.DataFrame:
    """One row a picture, those of most concern first, exact numbers, named as in the result's JSON."""
    return pd.DataFrame(
        [
            {"id": item.id, "name": names.get(item.id, item.id), **item.model_dump(exclude={"id"})}
            for item in result.items
        ]
    )


def _downloads(result: AuditResult, names: Mapping[str, str], title: str) -> None:
    table = csv_of(items_frame(result, names))
    page = to_html(result, title=f"Audit: {title}")
    files = (
        (
            "Table (CSV)",
            table,
            "audit.csv",
            "text/csv",
            "A line for each picture.",
        ),
        ("Result (JSON)", result.model_dump_json(indent=1), "audit.json", "application/json", "Every number, exact."),
        ("Report (HTML)", page, "audit.html", "text/html", "One page to show or print; it needs nothing else."),
    )
    for label, content, name, kind, what in files:
        st.download_button(
            label, content, name, kind, icon=":material/download:", on_click="ignore", help=what, key=f"get {name}"
        )


def _offer_job(plan: AuditPlan, pictures: MyPictures, controls: Controls, data: PairData) -> None:
    """What a long audit costs and keeps, and the button that starts it; its progress once it was pressed."""
    job = next((job for job in audit_jobs() if job.settings.get("key") == plan.key), None)
    if job is not None and job.active:
        follow_job(job, "Auditing")
        return
    how_it_ended(job, "The audit", "It can be started again.")
    with st.container(border=True, key="long-audit"):
        st.markdown("**This audit takes a while, so it runs in the background**, also when you close this page.")
        decoys = _ask_for_decoys(most_decoys(plan, data))
        for cost in cost_of_audit(plan, decoys=decoys):
            st.markdown(plain(cost))
        if pictures.files is not None:
            st.caption(
                ":material/lock: For this, your pictures are written to the disk of the machine that runs this page "
                "until the audit ends. Small copies stay with the result, so that it can be shown."
            )
        start_button(
            "Start the audit",
            lambda: start_audit(plan, pictures.files, controls.files, data, decoys=decoys),
            key="start audit",
        )


def _ask_for_decoys(most: int) -> int:
    """How many decoys each picture is sent among; 0 where there are none to take or nobody to hide it from."""
    if most == 0:
        return 0
    linked_number("decoys", _DECOYS, first=0, low=0, high=most)
    chosen = st.number_input(
        _DECOYS,
        min_value=0,
        max_value=most,
        key="decoys",
        persist_state="session",
        help="So many other pictures are asked about with each of yours, in shuffled order. Each costs as much as a "
        "picture; the result stays the same.",
    )
    st.caption(
        "Without decoys, whoever runs the encoder sees which pictures the audit is about: they come first. With them "
        "the order does not tell; whoever holds your pictures, or compares what both encoders make of each, still can."
    )
    return int(chosen)


def earlier_audits() -> None:
    """Audits that run in the background, and those that were kept: also what a closed tab asked for."""
    for job in audit_jobs():
        if job.active:
            follow_job(job, "Auditing")
    records = {record.manifest.id: record for record in saved_audits()}
    if not records:
        return
    st.subheader("Earlier audits", anchor=False)
    labels = {key: f"{moment(record.manifest.created)} · {record.manifest.title}" for key, record in records.items()}
    linked_state(EARLIER, {key: key for key in labels}, first=None, what="the audit")
    chosen = st.selectbox(
        "Earlier audits",
        list(labels),
        format_func=labels.__getitem__,
        label_visibility="collapsed",
        key=EARLIER,
        index=None,
        placeholder="Choose one to see what it found",
        persist_state="session",
    )
    if chosen is None:
        return
    saved = read_audit(records[chosen])
    manifest = records[chosen].manifest
    show_audit(
        saved.result,
        saved.names,
        saved.thumbnails,
        title=manifest.title,
        pair=_pair_of(manifest),
        evidence=evidence_of_kept(records[chosen]),
    )


def _pair_of(manifest: AuditManifest) -> Pair | None:
    """The encoders of an earlier audit; None when one of them has been removed or changed since."""
    known = {record.manifest.name: record.manifest.content_digest for record in encoder_records()}
    names = manifest.before, manifest.after
    same = all(name in known and known[name] == manifest.digests.get(f"encoder {name}") for name in names)
    return Pair(*names) if same else None
