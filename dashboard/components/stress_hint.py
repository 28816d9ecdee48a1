"""What a stress test adds to the verdict of an audit, which sees answers and no weights."""

import streamlit as st

from dashboard.charts.verdict_looks import STRESS_LOOKS
from dashboard.components.choices import AFTER, BEFORE, Pair
from dashboard.components.stress_result import draw_relearning
from dashboard.components.uploads import plain
from dashboard.services import workspace
from muc_core.audit.result import AuditResult
from muc_core.jobs.stress_plan import why_untrainable
from muc_core.jobs.tasks.residual_stress import SavedStress

UNDECIDED = ("forgotten", "cannot tell")
"""Verdicts that a stress test may overturn; the others have found a trace without it."""


def brought_back(found: SavedStress, *, key: str) -> None:
    """What the stress test of these encoders found, with its curve: below the verdict that it overturns."""
    result = found.result
    look = STRESS_LOOKS[result.verdict]
    st.markdown(
        f"**:{look.colour}[:material/{look.icon}: {look.word}]** is what the stress test of these two encoders found "
        f"({found.made:%Y-%m-%d}, {plain(result.forget)}, {result.n_items:,} pictures)."
    )
    draw_relearning(result.relearning, "effect", key=f"brought back {key}")


def offer_stress(result: AuditResult, pair: Pair) -> None:
    """Point to the stress test where its answer is missing and the weights of both encoders can be trained here."""
    if result.verdict not in UNDECIDED or pair.before == pair.after:
        return
    if any(why_untrainable(workspace().encoder(name).manifest) for name in (pair.before, pair.after)):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            ":material/compress: An audit sees answers only. The weights are here, so a stress test can try to bring "
            "the pictures back."
        )
        if st.button("Go to the stress test", key="go to stress", icon=":material/arrow_forward:"):
            st.session_state[BEFORE], st.session_state[AFTER] = pair.before, pair.after
            st.switch_page("app_pages/stress_test.py")
