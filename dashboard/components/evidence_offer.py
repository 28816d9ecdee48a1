"""The button "Evidence pack" under the result of an audit: signs what it was computed from, for others to check."""

import streamlit as st

from dashboard.components.words import plain, sentence
from dashboard.services.evidence import Evidence, SigningKey, make_pack, signing_key
from dashboard.texts import FIRST, Texts, texts
from muc_core.errors import MucError

_FIRST, _AGAIN, _OPEN = "new passphrase", "new passphrase again", "no passphrase"
_KNOWN = "passphrase"


def evidence_offer(evidence: Evidence, words: Texts | None = None) -> None:
    """A popover in which a pack is made and saved.

    Args:
        words: of a page that speaks several languages; English without.
    """
    words, key = words or texts(FIRST), evidence.key
    with st.popover(words.say("evidence.button"), icon=":material/verified:", key=f"evidence {key}"):
        st.markdown(words.say("evidence.what"))
        known = signing_key()
        with st.form(f"sign {key}", border=False):
            if known is None:
                _ask_for_a_new_one(key, words)
            elif known.locked:
                st.text_input(words.say("evidence.passphrase"), type="password", key=f"{_KNOWN} {key}")
            pressed = st.form_submit_button(words.say("evidence.make"), type="primary", icon=":material/draw:")
        if pressed:
            try:
                with st.spinner(words.say("evidence.making")):
                    draft = evidence.take_draft()
                    st.session_state[f"pack {key}"] = make_pack(draft, _passphrase(known, key, words))
            except MucError as refusal:
                st.error(plain(sentence(str(refusal))), icon=":material/error:")
        if (path := st.session_state.get(f"pack {key}")) is not None and path.exists():
            st.download_button(
                words.say("evidence.save"),
                path.read_bytes(),
                path.name,
                "application/zip",
                key=f"save {path.name}",
                icon=":material/download:",
                on_click="ignore",
            )
            st.caption(words.say("evidence.listed"))


def _ask_for_a_new_one(key: str, words: Texts) -> None:
    st.caption(words.say("evidence.no_key"))
    st.text_input(words.say("evidence.new"), type="password", key=f"{_FIRST} {key}")
    st.text_input(words.say("evidence.again"), type="password", key=f"{_AGAIN} {key}")
    st.checkbox(words.say("evidence.open"), key=f"{_OPEN} {key}")


def _passphrase(known: SigningKey | None, key: str, words: Texts) -> str | None:
    if known is not None:
        return st.session_state.get(f"{_KNOWN} {key}") if known.locked else None
    first, again = st.session_state[f"{_FIRST} {key}"], st.session_state[f"{_AGAIN} {key}"]
    if st.session_state[f"{_OPEN} {key}"]:
        if first:
            raise MucError(words.say("evidence.both"))
        return None
    if not first:
        raise MucError(words.say("evidence.empty"))
    if first != again:
        raise MucError(words.say("evidence.differ"))
    return str(first)
