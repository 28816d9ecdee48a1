"""How long tests of jobs wait."""

import pytest

CANCELLED_WITHIN_S = 10.0
"""The program allows itself `CANCEL_WITHIN_S`; the rest is for a busy machine. The jobs would go on for a minute."""


def leave_killing_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels from this process waits: on a busy machine the worker may not have had its turn within the limit."""
    monkeypatch.setattr("muc_core.jobs.launcher.CANCEL_WITHIN_S", 60.0)
    monkeypatch.setattr("muc_core.jobs.table.CANCEL_WITHIN_S", 60.0)
