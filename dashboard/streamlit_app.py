"""The router: which pages there are. Everything else is in the pages."""

from pathlib import Path

import streamlit as st

from dashboard.components.choices import keep_choices

PAGES = (
    ("overview", "Overview", ":material/home:"),
    ("check_my_pictures", "Check my pictures", ":material/add_photo_alternate:"),
    ("matrices", "Matrices", ":material/grid_on:"),
    ("embedding_map", "Embedding map", ":material/scatter_plot:"),
    ("unlearn", "Unlearn", ":material/ink_eraser:"),
    ("encoders", "Encoders", ":material/deployed_code:"),
)

# The icon is a file of ours: one by name would be fetched from the network by the browser.
st.set_page_config(page_title="MUC audit", page_icon=str(Path(__file__).with_name("icon.png")), layout="wide")
keep_choices()
st.navigation([st.Page(f"app_pages/{name}.py", title=title, icon=icon) for name, title, icon in PAGES]).run()
