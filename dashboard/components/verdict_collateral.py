"""What pictures lost that nobody asked to forget: each kind's most harmed, with intervals."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from dashboard.charts.style import two_decimals
from dashboard.components.uploads import plain
from muc_core.audit.result import AuditResult, Change

KINDS = {"items": "Pictures", "classes": "Classes", "texts": "Texts"}


def collateral_panel(result: AuditResult, names: Mapping[str, str]) -> None:
    """Folded away: how the others moved together, and the ten most harmed of each kind. Nothing without collateral.

    Args:
        names: what pictures are called, by id.
    """
    if result.collateral is None:
        return
    with st.expander("What did others lose?", icon=":material/groups:"):
        for group in result.collateral.groups:
            st.markdown(plain(group.meaning))
        for field, title in KINDS.items():
            changes: tuple[Change, ...] = getattr(result.collateral, field)
            if not changes:
                continue
            st.markdown(f"**{title} that lost most** (of {result.collateral.compared.get(field, 0):,})")
            st.dataframe(
                pd.DataFrame([_row(change, names) for change in changes]),
                hide_index=True,
                width="stretch",
                column_config={
                    name: st.column_config.NumberColumn(format="%.2f") for name in ("Before", "After", "Lost")
                },
            )
        st.caption(
            "How to read this: the margin is how much nearer a picture is to its own partner than to the others. The "
            "intervals allow for having picked the most harmed of many."
        )


def _row(change: Change, names: Mapping[str, str]) -> dict[str, object]:
    within = change.interval
    return {
        "Name": names.get(change.name, change.name),
        "From": change.group,
        "Before": change.before,
        "After": change.after,
        "Lost": change.lost,
        "95 % interval": "–" if within is None else f"{two_decimals(within.low)} to {two_decimals(within.high)}",
        "Means of": change.count,
    }
