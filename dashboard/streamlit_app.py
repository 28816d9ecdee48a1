"""The router: which pages there are. Everything else is in the pages."""

from pathlib import Path

import streamlit as st

from dashboard.components.choices import keep_choices
from dashboard.components.exposure import warn_if_exposed
from dashboard.components.login import entrance, refuse, user_in_sidebar
from dashboard.components.page import errors_as_sentences, is_dark

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
# The accent of the dark theme is light, to be legible as text: Streamlit's white label could not be read on it.
# Popovers lie outside of what Streamlit tells the theme.
STYLE = """<style>
[data-testid^=stBaseButton-primary] {{ color: light-dark(#ffffff, #0b0d12) }}
[data-testid=stPopoverBody] {{ color-scheme: {theme} }}
</style>"""

# The icon is a file of ours: one by name would be fetched from the network by the browser.
st.set_page_config(page_title="MUC audit", page_icon=str(Path(__file__).with_name("icon.png")), layout="wide")
st.html(STYLE.format(theme="dark" if is_dark() else "light"))
keep_choices()
warn_if_exposed()
user = entrance()
seen = [name for name, *_ in PAGES if user is not None and user.sees(name)]
pages = {
    name: st.Page(f"app_pages/{name}.py", title=title, icon=icon, visibility="visible" if name in seen else "hidden")
    for name, title, icon in PAGES
} | {name: st.Page(f"app_pages/{name}.py", title=title, visibility="hidden") for name, title in FORMER}
page = st.navigation([*pages.values()], expanded=True, position="hidden" if user is None else "sidebar")
if user is not None:
    name = next(name for name, one in pages.items() if one is page)
    with errors_as_sentences():
        user_in_sidebar(user)
        if user.sees(name):
            page.run()
        else:
            refuse(user, name, page.title)
