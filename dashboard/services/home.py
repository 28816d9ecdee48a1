"""The workspace as pages use it: for whoever is in front of them, who may do there what their roles allow."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import streamlit as st

from dashboard.services.people import current_user
from muc_core.encoders.remote.address import lock_private_addresses
from muc_core.errors import MucError
from muc_core.workspace import EncoderRecord, Workspace
from muc_core.workspace.index import MANIFEST
from muc_core.workspace.log import Deed

Visit = Literal["login", "logout", "refusal"]


class Refused(MucError):
    """The user's roles do not allow it."""


def workspace() -> Workspace:
    """The user's workspace, opened once per server and MUC_HOME. Raises `MucError` when the user may not see it."""
    current_user()
    return _workspace(os.environ.get("MUC_HOME"))


@st.cache_resource(show_spinner=False)
def _workspace(home: str | None) -> Workspace:
    # Whoever opens the page must not reach through an encoder's URL what only this machine can reach.
    lock_private_addresses()
    return _PageWorkspace()


def note_visit(who: str, what: Visit, which: Mapping[str, str], *, once: str | None = None) -> None:
    """Log how somebody comes, goes or is turned away.

    Args:
        once: what it is about: it is logged once for each `who` as long as this server runs; None: each time.
    """
    if once is not None and (who, what, once) in _noted():
        return
    _workspace(os.environ.get("MUC_HOME")).log.append(who, what, which)
    if once is not None:
        _noted().add((who, what, once))


@st.cache_resource(show_spinner=False)
def _noted() -> set[tuple[str, Visit, str]]:
    return set()


class _PageWorkspace(Workspace):
    """A workspace that reads its encoders again only when their folders changed: a page asks for them many times.

    Every deed is noted before it is done, so a note is where one is refused.
    """

    _known: tuple[object, list[EncoderRecord]] | None = None

    def who(self) -> str:
        return current_user().who

    def note(self, what: Deed, which: Mapping[str, str]) -> None:
        user = current_user()
        if not user.may(what, which):
            super().note("refusal", {"deed": what, **which})
            raise Refused(f"this is not for you to do as {' and '.join(sorted(user.roles))}: ask an engineer")
        super().note(what, which)

    def encoders(self) -> list[EncoderRecord]:
        state = [_state(folder) for folder in (self.encoders_folder, self.shipped_folder)]
        if self._known is None or self._known[0] != state:
            self._known = state, super().encoders()
        return list(self._known[1])


def _state(parent: Path) -> list[tuple[str, int, int]]:
    """Changes whenever an encoder is added, removed, renamed or written anew."""
    if not parent.is_dir():
        return []
    found = []
    for folder in sorted(parent.iterdir()):
        for path in (folder, folder / MANIFEST):
            try:
                status = path.stat()
            except OSError:  # being removed at this moment, or not an encoder
                continue
            found.append((str(path), status.st_mtime_ns, status.st_ino))
    return found
