"""How long work reports and how it is cancelled, without knowing who listens."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        """Tell how far the work is.

        Args:
            step: steps done, 0 <= step <= total.
            total: steps in all.
            message: one short line for the user.
            values: current figures by name, such as loss terms.

        Raises:
            Cancelled: the user asked to stop.
        """


class _Silent:
    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        return None


SILENT: Progress = _Silent()
