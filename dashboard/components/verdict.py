"""The verdict of an audit on the page: in words, with the meter of what would have been seen, and how sure it is."""

import pandas as pd
import streamlit as st

from dashboard.charts import verdict as charts
from dashboard.charts.style import CONFIG, two_decimals
from dashboard.charts.verdict_looks import LOOKS, STRESS_LOOKS
from dashboard.components.page import is_dark
from dashboard.components.stress_hint import UNDECIDED, brought_back
from dashboard.components.uploads import plain
from muc_core.audit.result import GUARD, VERDICT_MEANING, AuditResult, Check
from muc_core.jobs.tasks.residual_stress import SavedStress

_CHECKED = {
    True: ":blue-badge[:material/check: passed]",
    False: ":red-badge[:material/close: failed]",
    None: ":gray-badge[:material/remove: not made]",
}

OVERTURNED = (
    "The answers of the encoder after show no trace of these pictures, but a stress test of its weights brought "
    "forgotten pictures back."
)


def verdict_card(result: AuditResult, *, key: str, first_look: bool = False, stress: SavedStress | None = None) -> None:
    """The verdict on the set, its rule, and the meter.

    Args:
        key: tells the charts of several cards apart.
        first_look: it rests on few views and no probes, and another one follows.
        stress: of the same encoders, in which pictures came back; a verdict that has found no trace gives way to it.
    """
    overturned = stress is not None and result.verdict == "forgotten"
    look = STRESS_LOOKS["hidden, not forgotten"] if overturned else LOOKS[result.verdict]
    with st.container(border=True, key=f"verdict-{key}"):
        words, meter = st.columns([1, 1], gap="large", vertical_alignment="center")
        with words:
            if first_look:
                st.caption("A first look with 2 views of each picture and no probes; the full audit follows.")
            st.markdown(f"## :{look.colour}[:material/{look.icon}: {look.word}]")
            if overturned:
                st.markdown(f"**{OVERTURNED}**")
            else:
                st.markdown(f"**{plain(VERDICT_MEANING[result.verdict])}**")
            st.markdown(plain(result.rule))
            st.caption(_counts(result))
        with meter:
            st.plotly_chart(
                charts.meter_figure(result, dark=is_dark()),
                key=f"meter {key}",
                theme=None,
                width="stretch",
                config=CONFIG,
            )
            st.caption(charts.how_to_read_meter(result))
        if stress is not None and result.verdict in UNDECIDED:
            brought_back(stress, key=key)
    if first_look:
        return
    if result.detectability.effect > 0:
        with st.expander("What would more or fewer pictures show?"):
            st.plotly_chart(
                charts.curve_figure(result, dark=is_dark()),
                key=f"curve {key}",
                theme=None,
                width="stretch",
                config=CONFIG,
            )
            st.caption(charts.HOW_TO_READ_CURVE)


def _counts(result: AuditResult) -> str:
    how = "with their captions" if result.mode == "image-text" else "with changed copies of themselves"
    return (
        f"{result.n_items:,} pictures of yours and {result.n_controls:,} controls, compared {how}; "
        f"{result.views} views of each."
    )


def sureness_panel(result: AuditResult) -> None:
    """Everything that the verdict rests on, in one panel: controls, probes, tests, membership, and what limits it."""
    with st.expander(f"How sure are we? {_in_short(result)}", icon=":material/balance:"):
        st.markdown("**Are the controls fair, and are the answers honest?**")
        _checks(result)
        st.markdown("**The tests**")
        _tests(result)
        left, right = st.columns(2, gap="large")
        with left:
            st.plotly_chart(
                charts.tests_figure(result, dark=is_dark()), key="tests", theme=None, width="stretch", config=CONFIG
            )
            st.caption(charts.HOW_TO_READ_TESTS)
        with right:
            st.plotly_chart(
                charts.roc_figure(result, dark=is_dark()), key="roc", theme=None, width="stretch", config=CONFIG
            )
            st.caption(charts.HOW_TO_READ_ROC)
        _membership(result)
        if result.warnings:
            st.markdown("**What limits this result**")
            for warning in result.warnings:
                st.warning(plain(warning), icon=":material/warning:")
        st.markdown("**What this means, and what it does not prove**")
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in result.explain()))


def _in_short(result: AuditResult) -> str:
    """The state of guard and probes in a few words."""
    guard = next((check for check in result.checks if check.name == GUARD), None)
    probes = [check for check in result.checks if check.name != GUARD]
    said = []
    if guard is not None:
        said.append({True: "controls fair", False: "controls not fair", None: "controls not looked at"}[guard.passed])
    for passed, word in ((True, "passed"), (False, "failed"), (None, "not made")):
        if count := sum(probe.passed is passed for probe in probes):
            said.append(f"{count} {'probe' if count == 1 else 'probes'} {word}")
    if not probes:
        said.append("no probes made")
    return " · ".join([*said, *([f"{len(result.warnings)} warning(s)"] if result.warnings else [])])


def _checks(result: AuditResult) -> None:
    if not result.checks:
        st.caption("Neither the controls nor the answers were checked.")
        return
    # Failed ones first: they are what caps a verdict.
    ordered = sorted(result.checks, key=_concern)
    st.table(
        pd.DataFrame(
            [
                {
                    "Result": _CHECKED[check.passed],
                    "Check": plain(check.name),
                    "What it means": plain(check.meaning),
                    "Measured": plain(check.value),
                }
                for check in ordered
            ]
        ),
        border="horizontal",
        hide_index=True,
    )


def _concern(check: Check) -> int:
    return {False: 0, None: 1, True: 2}[check.passed]


def _tests(result: AuditResult) -> None:
    st.table(
        pd.DataFrame(
            [
                {
                    "Question": plain(finding.question),
                    "Effect": f"{two_decimals(finding.effect.value)} ({two_decimals(finding.effect.low)} to "
                    f"{two_decimals(finding.effect.high)})",
                    "p": _p(finding.p),
                    "Answer": plain(finding.meaning),
                    "Test": plain(finding.test),
                }
                for finding in result.findings.values()
            ]
        ),
        border="horizontal",
        hide_index=True,
    )
    st.caption(
        "Effects are in units of the controls' spread, with 95 % intervals. p is how often chance alone would give a "
        f"result like this or clearer; below {result.alpha:g} counts as an answer."
    )


def _membership(result: AuditResult) -> None:
    """How many of the owner's pictures somebody would find, at what price."""
    rows = []
    for name, found in result.membership.items():
        for rate, label in ((found.tpr_at_1_percent, "1 %"), (found.tpr_at_01_percent, "0.1 %")):
            if rate is not None:
                rows.append(
                    f"{name.capitalize()}: {rate.value:.0%} of your pictures are found with {label} false alarms "
                    f"({rate.low:.0%} to {rate.high:.0%})."
                )
    if rows:
        st.caption("  \n".join(row.replace("%", " %").replace("  %", " %") for row in rows))


def _p(p: float) -> str:
    return "<\u00a0.001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)
