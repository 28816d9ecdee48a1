"""The parts of the page Compare: the table, the gaps, the attacker's view."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.charts import compare as charts
from dashboard.charts.style import HUES
from dashboard.components.evidence_offer import evidence_offer
from dashboard.components.links import linked_number, linked_select
from dashboard.components.page import is_dark
from dashboard.components.pictures import Shown, picture_strip
from dashboard.components.tables import csv_of
from dashboard.components.uploads import plain
from dashboard.services import picture_url
from dashboard.services.evidence import evidence_of_measured
from dashboard.services.side_by_side import bench_of, comparison_table
from muc_core.evaluation.attacker import caught, threshold_at
from muc_core.jobs.tasks.compare import Compared, SideBySide
from muc_core.jobs.tuning.measure import Figures
from muc_core.unlearning.method import METHODS

CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage"]], "scrollZoom": False}
"""Shows Plotly's button that saves the figure as a file."""

MOST_CAUGHT = 12
FALSE_ALARMS = 0.05


def comparison_section(side: SideBySide) -> None:
    """One row an encoder, with downloads."""
    table = comparison_table(side)
    st.dataframe(
        _for_people(table),
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={
            "Effect": st.column_config.NumberColumn(
                format="%.2f",
                help="How far the forget pictures stand above never-trained ones, in units of their spread. 0 = alike.",
            ),
            "Gap to Retrain": st.column_config.NumberColumn(
                format="%.3f", help="Mean difference to Retrain in six figures; 0 = like Retrain."
            ),
            "Forget found": st.column_config.NumberColumn(format="%.0f %%", help="Own partner is the nearest."),
            "Retain found": st.column_config.NumberColumn(format="%.0f %%", help="Own partner is the nearest."),
            "Held-out found": st.column_config.NumberColumn(format="%.0f %%", help="Own partner is the nearest."),
            "Collateral": st.column_config.NumberColumn(
                format="%.2f", help="Own similarity that retained pictures lost; 0 = none."
            ),
            "Run time (s)": st.column_config.NumberColumn(format="%.0f", help="Of the training alone (RTE)."),
        },
    )
    st.caption(
        "How to read this: Retrain, which never saw the forget pictures, is the yardstick. A good method has its "
        "figures in less time. Click a heading to sort. Probes are made before an encoder is called forgotten; "
        "Check my pictures makes them for every verdict."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for label, content, name, kind in (
            ("Table (CSV)", csv_of(table), "compare.csv", "text/csv"),
            ("Table (LaTeX)", _latex(table), "compare.tex", "text/x-tex"),
        ):
            st.download_button(
                label, content, name, kind, icon=":material/download:", on_click="ignore", key=f"get {name}"
            )
        _evidence(side)


def _evidence(side: SideBySide) -> None:
    """Evidence of one of the verdicts in the table."""
    names = [one.manifest.name for one in side.encoders if one.figures is not None]
    if side.original.figures is None or not names:
        return
    chosen = linked_select(
        st.container(width=280), "Verdict on", names, key="evidence of", first=names[0], what="an encoder"
    )
    bench = bench_of(side.original.manifest.name, tuple(one.manifest.name for one in side.encoders))
    evidence_offer(evidence_of_measured(bench, chosen))


def _for_people(table: pd.DataFrame) -> pd.DataFrame:
    wanted = table.reindex(
        columns=[
            "encoder",
            "verdict",
            "effect",
            "gap_to_retrain",
            "forget_top1",
            "retain_top1",
            "held_out_top1",
            "collateral",
            "run_time_s",
            "method",
        ]
    )
    for share in ("forget_top1", "retain_top1", "held_out_top1"):
        wanted[share] = 100 * wanted[share]
    wanted["method"] = [METHODS.get(name).title if name in METHODS.names() else name for name in wanted["method"]]
    wanted.columns = pd.Index(
        [
            "Encoder",
            "Verdict",
            "Effect",
            "Gap to Retrain",
            "Forget found",
            "Retain found",
            "Held-out found",
            "Collateral",
            "Run time (s)",
            "Method",
        ]
    )
    return wanted


def _latex(table: pd.DataFrame) -> str:
    return table.to_latex(index=False, float_format="%.3f", escape=True, na_rep="--")


def gaps_section(side: SideBySide, encoders: Sequence[Compared]) -> None:
    """The gap matrices of those that were measured."""
    original = side.original.figures
    if original is None or not encoders:
        return
    st.plotly_chart(
        charts.gaps_figure(original, encoders, dark=is_dark()),
        key="gaps",
        theme=None,
        width="stretch",
        config=CONFIG,
    )
    st.caption(charts.HOW_TO_READ_GAPS)


def attack_section(side: SideBySide, encoders: Sequence[Compared]) -> None:
    """Drag a threshold, see which pictures it would catch, before and after."""
    st.subheader("The attacker's view", anchor=False)
    before = side.original.figures
    known = {one.manifest.name: one.figures for one in encoders if one.figures is not None}
    if before is None or not known:
        st.caption("There is nothing to attack until the original and one more encoder have been measured.")
        return
    name = linked_select(
        st.container(), "Encoder", list(known), key="attacked", first=next(iter(known)), what="an encoder"
    )
    after = known[name]
    margins = (*before.margin, *before.control_margin, *after.margin, *after.control_margin)
    low, high = round(min(margins) - 0.01, 2), round(max(margins) + 0.01, 2)
    start = round(threshold_at(before.control_margin, FALSE_ALARMS), 2)
    key, title = f"threshold {name}", "Called trained on above a margin of"
    linked_number(key, title, first=start, low=low, high=high)
    threshold = st.slider(title, low, high, step=0.01, key=key, persist_state="session")
    st.plotly_chart(
        charts.attack_figure(before, after, threshold, dark=is_dark()),
        key="attack",
        theme=None,
        width="stretch",
        config=CONFIG,
    )
    st.caption(charts.HOW_TO_READ_ATTACK)
    left, right = st.columns(2, gap="large")
    with left:
        _caught("Caught before", before, side, before, after, threshold)
    with right:
        _caught(f"Caught in {name}", after, side, before, after, threshold)


def _caught(title: str, attacked: Figures, side: SideBySide, before: Figures, after: Figures, threshold: float) -> None:
    found = caught(attacked.margin, attacked.control_margin, threshold).found
    pictures = side.material.forget
    st.markdown(f"**{plain(title)}: {len(found):,} of {len(pictures):,}**")
    if not found:
        st.caption("None.")
        return
    shown = [
        Shown(
            picture_url(pictures, place),
            pictures.texts[place] or pictures.ids[place],
            before.positive[place],
            after.positive[place],
        )
        for place in found[:MOST_CAUGHT]
    ]
    picture_strip(shown, HUES["forget"])
    if len(found) > MOST_CAUGHT:
        st.caption(f"The {MOST_CAUGHT} most conspicuous of {len(found):,}.")
