"""Verdicts on pictures for pages that only sort or colour by them: made on request, with a bar."""

import streamlit as st

from dashboard.charts.verdict_looks import LOOKS
from dashboard.components.choices import Pair
from dashboard.components.evidence_offer import evidence_offer
from dashboard.components.progress_bar import ProgressBar
from dashboard.components.uploads import plain
from dashboard.services import AuditPlan, make_audit
from dashboard.services.evidence import evidence_of_plan
from dashboard.services.matrices import audit_of
from muc_core.audit.result import AuditResult
from muc_core.data.dataset import ImageTextDataset
from muc_core.errors import MucError

ASKED = "audit_asked"


def verdicts_on(
    items: ImageTextDataset, controls: ImageTextDataset | None, pair: Pair, *, until_then: str
) -> AuditResult | None:
    """The audit of these pictures; a button where it has not been made, a sentence where it cannot be.

    Args:
        until_then: what the page does without verdicts, to end a sentence.
    """
    try:
        plan, result = audit_of(pair.before, pair.after, items, controls)
        if result is not None:
            _say(result, plan)
            return result
        if plan.long:
            raise MucError("this audit is too long for a page; make it with `muc audit`, or choose a smaller set")
        if st.session_state.pop(ASKED, False):
            bar = ProgressBar("Auditing")
            try:
                result = make_audit(plan, bar)
            finally:
                bar.done()
            _say(result, plan)
            return result
    except MucError as refusal:
        st.info(f"There are no verdicts: {plain(str(refusal))}.", icon=":material/info:")
        return None
    st.info(f"These pictures have no verdicts yet; until then {until_then}.", icon=":material/info:")
    st.button("Audit these pictures", icon=":material/gavel:", on_click=_ask, help="Takes about a minute.")
    return None


def _say(result: AuditResult, plan: AuditPlan) -> None:
    """What the verdicts rest on, and the offer of evidence of it."""
    look = LOOKS[result.verdict]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"The verdicts are those of an audit of these {result.n_items:,} pictures, as a whole "
            f":{look.colour}[:material/{look.icon}: {look.word}]",
            width="content",
        )
        evidence_offer(evidence_of_plan(plan))


def _ask() -> None:
    st.session_state[ASKED] = True
