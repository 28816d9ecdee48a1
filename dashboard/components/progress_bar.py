"""A progress bar on a page for work that the page does itself; another click on the page stops the work."""

import time
from collections.abc import Mapping

import streamlit as st

from dashboard.components.uploads import plain

EVERY_S = 0.2


class ProgressBar:
    """A `muc_core.progress.Progress` drawn a few times a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar = st.progress(0.0, text=f"{what} ...")
        self._told = 0.0

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        if time.monotonic() - self._told > EVERY_S:
            self._told = time.monotonic()
            self._bar.progress(min(step / max(total, 1), 1.0), text=f"{self._what}: {plain(message)} ...")

    def done(self) -> None:
        """Take the bar away."""
        self._bar.empty()
