"""The pair of encoders under audit, chosen once and kept on every page."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard.components.uploads import plain
from dashboard.services import encoder_records, pair_notes
from muc_core.errors import MucError
from muc_core.workspace import EncoderRecord

BEFORE, AFTER = "before", "after"
"""Keys of the choice in the session's state; a page that makes a new encoder puts its name under AFTER."""

_FIRST_BEFORE, _FIRST_AFTER = "demo-clip", "demo-clip-ac"


@dataclass(frozen=True)
class Pair:
    """Names of the encoder before unlearning and the one after it."""

    before: str
    after: str


def keep_choices() -> None:
    """Carry the choice over to pages that do not show it: Streamlit forgets the state of widgets that are not drawn."""
    for key in (BEFORE, AFTER):
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]


def pick_pair() -> Pair:
    """Two select boxes, "Before" and "After", and what is odd about the pair.

    Raises:
        MucError: there is no encoder to choose from, or one of the pair cannot be loaded.
    """
    records = {record.manifest.name: record for record in encoder_records()}
    if not records:
        raise MucError(
            "There is no encoder to look at yet. Run `muc demo build` in a terminal to train the demo's, or "
            "`muc train` to train one on your own pictures, then reload this page."
        )
    names = list(records)
    if st.session_state.get(BEFORE) not in records:
        st.session_state[BEFORE] = (
            _FIRST_BEFORE if _FIRST_BEFORE in records else _first_original(list(records.values()))
        )
    if st.session_state.get(AFTER) not in records:
        st.session_state[AFTER] = _first_after(list(records.values()), st.session_state[BEFORE])
    left, right = st.columns(2)
    before = left.selectbox("Before", names, key=BEFORE, help="The encoder as it was: it saw the forget set.")
    after = right.selectbox(
        "After", names, key=AFTER, help="The encoder after unlearning, or retrained without the set."
    )
    left.caption(_describe(records[before]))
    right.caption(_describe(records[after]))
    if before != after and (notes := pair_notes(before, after)):
        st.caption("  \n".join(f":material/info: {plain(note)}" for note in notes))
    return Pair(before, after)


def _first_original(records: Sequence[EncoderRecord]) -> str:
    originals = [record.manifest.name for record in records if record.manifest.method is None]
    return originals[0] if originals else records[0].manifest.name


def _first_after(records: Sequence[EncoderRecord], before: str) -> str:
    unlearned = [record.manifest.name for record in records if record.manifest.original == before]
    if _FIRST_AFTER in unlearned:
        return _FIRST_AFTER
    return unlearned[0] if unlearned else before


def _describe(record: EncoderRecord) -> str:
    manifest = record.manifest
    origin = "comes with the program" if record.shipped else "yours"
    return f"{plain(manifest.title)} · {origin}"
