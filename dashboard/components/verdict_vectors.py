"""The audit of a file of vectors on the page: without pictures and encoders, and what that leaves open."""

import streamlit as st

from dashboard.components.links import linked_state
from dashboard.components.uploads import my_vectors
from dashboard.components.verdict_audit import show_audit
from dashboard.components.words import plain, sentence
from dashboard.services.vectors import audit_of_vectors
from muc_core.errors import MucError

BRING, PICTURES, VECTORS = "bring", "pictures", "vectors"
_LABELS = {PICTURES: "Pictures", VECTORS: "A file of vectors"}


def brings_vectors() -> bool:
    """Ask whether pictures are shown or only vectors of them."""
    linked_state(BRING, {kind: kind for kind in _LABELS}, first=PICTURES, what="what is audited")
    chosen = st.segmented_control(
        "What do you show?",
        list(_LABELS),
        format_func=_LABELS.__getitem__,
        key=BRING,
        required=True,
        persist_state="session",
    )
    return chosen == VECTORS


def vectors_section() -> None:
    """Ask for a file of vectors; its verdict, or why there is none."""
    file = my_vectors()
    if file is None:
        return
    name, content = file
    try:
        result = audit_of_vectors(name, content)
    except MucError as refusal:
        st.error(f"**No verdict.** {plain(sentence(str(refusal)))}", icon=":material/error:")
        return
    st.divider()
    st.info(
        "Vectors alone were audited. Whether the controls are fair and the answers honest takes pictures and the "
        "encoder to check, so the verdict here is never “forgotten”.",
        icon=":material/visibility_off:",
    )
    show_audit(result, {}, {}, title=name, pair=None, evidence=None)
