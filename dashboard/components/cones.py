"""Norms and cones of hyperbolic encoders, on Compare."""

import streamlit as st

from dashboard.charts.cones import HOW_TO_READ, cones_chart
from dashboard.charts.style import CONFIG
from dashboard.components.page import is_dark
from dashboard.services.hierarchy import cones


def cones_section(before: str, after: str) -> None:
    """Shown for a pair of hyperbolic encoders (MERU) only."""
    found = cones(before, after)
    if found is None:
        return
    st.subheader("Norms and cones", anchor=False)
    chart = cones_chart(found.before, found.after, dark=is_dark())
    st.plotly_chart(chart, key="cones", theme=None, width="stretch", config=CONFIG)
    st.caption(HOW_TO_READ)
