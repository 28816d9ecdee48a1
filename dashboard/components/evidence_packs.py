"""The evidence packs that were made here, and the key that signs them."""

import streamlit as st

from dashboard.components.uploads import plain
from dashboard.services.evidence import MOST_LISTED, packs, signing_key
from muc_core.reports.document import shown

_DAMAGED = "cannot be read any more"


def list_packs() -> None:
    """Packs that were made here, newest first; one can be saved again."""
    st.subheader("Packs made here", anchor=False)
    found = packs()
    if not found:
        st.caption(
            "None yet. Every verdict on an encoder has a button *Evidence pack* beside it; on the command line, "
            "`muc audit … --evidence FILE.muc.zip` makes one."
        )
        return
    st.dataframe(
        {
            "Made": [one.manifest.created[:16].replace("T", " ") if one.manifest else "" for one in found],
            "What was asked": [shown(one.manifest.title) if one.manifest else _DAMAGED for one in found],
            "Pictures": [len(one.manifest.owner) if one.manifest else None for one in found],
            "Controls": [len(one.manifest.controls) if one.manifest else None for one in found],
            "MB": [one.pack.size / 2**20 for one in found],
            "File": [one.pack.path.name for one in found],
        },
        hide_index=True,
        width="stretch",
        column_config={"MB": st.column_config.NumberColumn("MB", format="%.1f", width=80)},
    )
    if len(found) == MOST_LISTED:
        st.caption(
            f"Shown are the latest {MOST_LISTED}; all are in the folder {plain(str(found[0].pack.path.parent))}."
        )
    paths = {one.pack.path.name: one.pack.path for one in found}
    chooser, button = st.columns([3, 1], vertical_alignment="bottom")
    chosen = chooser.selectbox("Save one again", list(paths), key="evidence to save")
    button.download_button(
        "Save",
        paths[chosen].read_bytes,
        chosen,
        "application/zip",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )


def show_key() -> None:
    """The fingerprint and the public key, to be handed around."""
    st.subheader("The signing key of this workspace", anchor=False)
    known = signing_key()
    if known is None:
        st.caption("There is none yet; it is made with the first evidence pack, or by `muc keys new`.")
        return
    if known.fingerprint is None:
        st.warning(f"{plain(str(known.public))} is missing, which `muc keys new` wrote beside the key.")
        return
    st.code(known.fingerprint, language=None, wrap_lines=True)
    st.caption(
        "Tell this fingerprint, or give the public key, to those who will check your evidence, by another way than the "
        f"pack itself. The private key is {'locked by a passphrase' if known.locked else 'not locked by a passphrase'}."
    )
    st.download_button(
        "Public key",
        known.public.read_bytes(),
        known.public.name,
        "application/x-pem-file",
        icon=":material/key:",
        on_click="ignore",
    )
