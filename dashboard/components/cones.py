"""Norms and cones of hyperbolic encoders, on Compare."""

import streamlit as st

from dashboard.charts.cones import HOW_TO_READ, angles_chart, roots_chart
from dashboard.charts.style import CONFIG
from dashboard.components.page import is_dark
from dashboard.services.hierarchy import cones

CHARTS = {"roots": roots_chart, "angles": angles_chart}


def cones_section(before: str, after: str) -> None:
    """Shown for a pair of hyperbolic encoders (MERU) only."""
    found = cones(before, after)
    if found is None:
        return
    st.subheader("Norms and cones", anchor=False)
    for column, (name, draw) in zip(st.columns(2), CHARTS.items(), strict=True):
        chart = draw(found.before, found.after, dark=is_dark())
        column.plotly_chart(chart, key=f"cones {name}", theme=None, width="stretch", config=CONFIG)
    st.caption(HOW_TO_READ)
