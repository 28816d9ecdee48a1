"""Settings: where things are kept, what the numbers are computed with, and where keys come from."""

import streamlit as st

from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.uploads import delete_uploads, plain
from dashboard.services import workspace
from dashboard.services.machine import computing, key_origins, storage, versions
from dashboard.services.people import current_user


def show_storage() -> None:
    """The workspace and what is in it."""
    kept = storage()
    st.subheader("Workspace", anchor=False)
    st.code(str(kept.home), language=None)
    st.dataframe(
        {
            "What": [place.what for place in kept.places],
            "MB": [place.size / 2**20 for place in kept.places],
            "Folder": [str(place.path) for place in kept.places],
        },
        hide_index=True,
        width="stretch",
        column_config={"MB": st.column_config.NumberColumn("MB", format="%.1f", width=80)},
    )
    st.caption(
        f"{kept.free / 2**30:,.1f} GB are free on this disk. To use another folder, set the environment variable "
        "`MUC_HOME` and start again; the old folder stays as it is. Uploaded pictures are not among these: they stay "
        "in the memory of your session, unless an audit in the background needs them while it runs."
    )
    st.caption(f"The index of all this, and the list of jobs, is in {plain(kept.index)}.")
    for problem in workspace().problems():
        st.warning(plain(problem), icon=":material/warning:")


def show_uploads() -> None:
    """What is held of uploads, and the button that deletes it."""
    st.subheader("Uploads", anchor=False)
    st.button("Delete my uploads", icon=":material/delete:", on_click=delete_uploads)
    st.caption(
        "Pictures and weight files that you uploaded are held in the memory of your session, until you delete them "
        "here or close the page. What a job needs of them is written to the workspace; it is deleted when the audit "
        "has ended, by this button, and in any case when the program is started or something is uploaded a day later. "
        "Results that you saved stay: they hold figures and no pictures."
    )


def show_computing() -> None:
    """Device, threads and versions."""
    st.subheader("Computing", anchor=False)
    rows = computing() | versions()
    st.dataframe({"What": list(rows), "Found": list(rows.values())}, hide_index=True, width="stretch", height="content")
    st.caption(
        "The threads of a job follow the cores that this program may use. Limit them with `taskset` or your "
        "container's settings."
    )


def show_keys() -> None:
    """Where the keys of encoders behind URLs come from, never the keys."""
    st.subheader("Keys", anchor=False)
    origins = key_origins()
    if not origins:
        st.caption(
            "No encoder here is behind a URL, so no key is needed. One that is reads its key from an environment "
            "variable or the system's keyring; keys are never written to the workspace."
        )
        return
    st.dataframe(
        {
            "Encoder": [found.encoder for found in origins],
            "Key from": [found.origin for found in origins],
            "State": [found.fault or "in order" for found in origins],
        },
        hide_index=True,
        width="stretch",
    )
    st.caption("Only where a key comes from is kept. To change a key, change it there and start the program again.")


heading("Settings", "Where things are kept, what the numbers are computed with, and where keys come from.")
with errors_as_sentences():
    if current_user().is_engineer:
        show_storage()
        show_uploads()
        show_computing()
        show_keys()
    else:
        show_uploads()
