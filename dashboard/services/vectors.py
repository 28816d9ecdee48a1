"""Audits of a file of vectors, for owners who show no picture and hosts who lend no encoder."""

import hashlib

import streamlit as st

from dashboard.services.home import workspace
from muc_core.audit.audit import AuditSettings
from muc_core.audit.result import AuditResult
from muc_core.errors import MucError
from muc_core.evidence.embeddings import read_embeddings

MOST_WORK = 10**8
"""Items times permutations, at most, of an audit that a page makes itself: some ten seconds."""


def audit_of_vectors(name: str, content: bytes) -> AuditResult:
    """The audit of an uploaded file; made once. Raises `MucError` for a file that no audit can be made of."""
    return _audit(hashlib.sha256(content).hexdigest(), name, _content=content)


@st.cache_data(show_spinner="Auditing the vectors ...", scope="session", max_entries=4)
def _audit(digest: str, name: str, *, _content: bytes) -> AuditResult:
    found, settings = read_embeddings(_content, name), AuditSettings()
    items = len(found.owner_ids) + len(found.control_ids)
    if items * settings.permutations > MOST_WORK:
        raise MucError(
            f"{name} holds {items:,} pictures and controls, which take a page too long; up to "
            f"{MOST_WORK // settings.permutations:,} are accepted here, and more by muc audit --embeddings"
        )
    workspace().note("audit", {"vectors": digest})
    return found.inputs(settings).result()


def forget_vectors() -> None:
    """Delete what was found of uploaded files."""
    _audit.clear()
