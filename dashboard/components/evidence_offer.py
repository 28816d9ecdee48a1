"""The button "Evidence pack" under the result of an audit: signs what it was computed from, for others to check."""

import streamlit as st

from dashboard.components.words import plain, sentence
from dashboard.services.evidence import SigningKey, TakeDraft, make_pack, signing_key
from muc_core.errors import MucError

_FIRST, _AGAIN, _OPEN = "new passphrase", "new passphrase again", "no passphrase"
_KNOWN = "passphrase"


def evidence_offer(take_draft: TakeDraft, *, key: str) -> None:
    """A popover in which a pack is made and saved.

    Args:
        key: tells the packs of several audits apart.
    """
    with st.popover("Evidence pack", icon=":material/verified:", key=f"evidence {key}"):
        st.markdown(
            "One signed file for others to check: what the audit was computed from, its numbers, and a report to read. "
            "Your pictures stay out; only digests of them are in it."
        )
        known = signing_key()
        with st.form(f"sign {key}", border=False):
            if known is None:
                _ask_for_a_new_one(key)
            elif known.locked:
                st.text_input("Passphrase of the signing key", type="password", key=f"{_KNOWN} {key}")
            pressed = st.form_submit_button("Make the evidence pack", type="primary", icon=":material/draw:")
        if pressed:
            try:
                with st.spinner("Signing ..."):
                    st.session_state[f"pack {key}"] = make_pack(take_draft(), _passphrase(known, key))
            except MucError as refusal:
                st.error(plain(sentence(str(refusal))), icon=":material/error:")
        if (path := st.session_state.get(f"pack {key}")) is not None and path.exists():
            st.download_button(
                "Save the evidence pack",
                path.read_bytes(),
                path.name,
                "application/zip",
                key=f"save {path.name}",
                icon=":material/download:",
                on_click="ignore",
            )
            st.caption("The page *Evidence* lists it, and checks it as anyone can.")


def _ask_for_a_new_one(key: str) -> None:
    st.caption(
        "There is no signing key yet; one is made now and kept in the workspace, readable by its owner alone. A "
        "passphrase locks it, and cannot be recovered."
    )
    st.text_input("Passphrase for the new key", type="password", key=f"{_FIRST} {key}")
    st.text_input("The same again", type="password", key=f"{_AGAIN} {key}")
    st.checkbox("Without a passphrase: whoever can read the key's file could sign", key=f"{_OPEN} {key}")


def _passphrase(known: SigningKey | None, key: str) -> str | None:
    if known is not None:
        return st.session_state.get(f"{_KNOWN} {key}") if known.locked else None
    first, again = st.session_state[f"{_FIRST} {key}"], st.session_state[f"{_AGAIN} {key}"]
    if st.session_state[f"{_OPEN} {key}"]:
        if first:
            raise MucError("a passphrase was typed, and one without is ticked; choose one of the two")
        return None
    if not first:
        raise MucError("the passphrase is empty; type one, or tick that the key goes without")
    if first != again:
        raise MucError("the two passphrases differ; type the same in both fields")
    return str(first)
