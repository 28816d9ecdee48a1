"""The pair of encoders under audit, chosen once and kept on every page."""

from collections.abc import Container, Mapping, Sequence
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

    The choice is in the page's address, so that a link shows the same pair; it is kept on every page.

    Raises:
        MucError: there is no encoder to choose from, or one of the pair cannot be loaded.
    """
    records = {record.manifest.name: record for record in encoder_records()}
    if not records:
        raise MucError(
            "There is no encoder to look at yet. Run `muc demo build` in a terminal to train the demo's, or "
            "`muc train` to train one on your own pictures, then reload this page."
        )
    _follow_link(records)
    left, right = st.columns(2)
    with left:
        before = _choose(
            BEFORE, _first_before(records), list(records), "Before", "The encoder as it was: it saw the forget set."
        )
    with right:
        after = _choose(
            AFTER,
            _first_after(list(records.values()), before),
            list(records),
            "After",
            "The encoder after unlearning, or retrained without the set.",
        )
    pair = Pair(before, after)
    left.caption(_describe(records[pair.before]))
    right.caption(_describe(records[pair.after]))
    if pair.before != pair.after and (notes := pair_notes(pair.before, pair.after)):
        st.caption("  \n".join(f":material/info: {plain(note)}" for note in notes))
    return pair


def _choose(key: str, first: str, names: Sequence[str], label: str, meaning: str) -> str:
    """One of the pair. The address leaves the first option out, so that must be what a page without a choice shows."""
    if st.session_state.get(key) not in names:
        st.session_state[key] = first
    options = [first, *(name for name in names if name != first)]
    return st.selectbox(label, options, key=key, bind="query-params", help=meaning)


def _follow_link(known: Container[str]) -> None:
    """Take the pair of the page's address. Another encoder in the place of a missing one must not go unnoticed."""
    linked = {key: st.query_params[key] for key in (BEFORE, AFTER) if key in st.query_params}
    for key, name in linked.items():
        if name in known and key not in st.session_state:
            st.session_state[key] = name
    if missing := [name for name in linked.values() if name not in known]:
        st.warning(
            f"The link names {' and '.join(plain(name) for name in missing)}, which this workspace does not have. Add "
            "it on the page Encoders, or choose another one here.",
            icon=":material/link_off:",
        )


def _first_before(records: Mapping[str, EncoderRecord]) -> str:
    if _FIRST_BEFORE in records:
        return _FIRST_BEFORE
    originals = [name for name, record in records.items() if record.manifest.method is None]
    return originals[0] if originals else next(iter(records))


def _first_after(records: Sequence[EncoderRecord], before: str) -> str:
    unlearned = [record.manifest.name for record in records if record.manifest.original == before]
    if _FIRST_AFTER in unlearned:
        return _FIRST_AFTER
    return unlearned[0] if unlearned else before


def _describe(record: EncoderRecord) -> str:
    manifest = record.manifest
    origin = "comes with the program" if record.shipped else "yours"
    return f"{plain(manifest.title)} · {origin}"
