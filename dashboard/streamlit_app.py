"""The router: which pages there are. Everything else is in the pages."""

from pathlib import Path

import streamlit as st

from dashboard.components.choices import keep_choices
from dashboard.components.exposure import warn_if_exposed

# Without sections: Streamlit nests their headings in a way that screen readers cannot follow.
PAGES = (
    ("start", "Start", ":material/home:"),
    ("overview", "Overview", ":material/dashboard:"),
    ("present", "Present", ":material/slideshow:"),
    ("check_my_pictures", "Check my pictures", ":material/add_photo_alternate:"),
    ("matrices", "Matrices", ":material/grid_on:"),
    ("embedding_map", "Embedding map", ":material/scatter_plot:"),
    ("stress_test", "Stress test", ":material/compress:"),
    ("tune", "Tune", ":material/tune:"),
    ("compare", "Compare", ":material/compare:"),
    ("evidence", "Evidence", ":material/verified:"),
    ("encoders", "Encoders", ":material/deployed_code:"),
    ("jobs", "Jobs", ":material/list_alt:"),
    ("settings", "Settings", ":material/settings:"),
)
# Addresses that lead to another page now.
FORMER = (("unlearn", "Unlearn"),)

# The icon is a file of ours: one by name would be fetched from the network by the browser.
st.set_page_config(page_title="MUC audit", page_icon=str(Path(__file__).with_name("icon.png")), layout="wide")
keep_choices()
warn_if_exposed()
shown = [st.Page(f"app_pages/{name}.py", title=title, icon=icon) for name, title, icon in PAGES]
former = [st.Page(f"app_pages/{name}.py", title=title, visibility="hidden") for name, title in FORMER]
st.navigation([*shown, *former], expanded=True).run()
