"""Progress over pieces of work of different weight, told as one."""

from collections.abc import Mapping
from dataclasses import dataclass

from muc_core.progress import Progress


class Stages:
    """Tells the progress of pieces of work, begun one after the other, as that of the whole.

    Args:
        whole: is told.
        total: weight of all pieces together.
    """

    def __init__(self, whole: Progress, total: int) -> None:
        self._whole = whole
        self._total = total
        self._begun = 0

    def next(self, weight: int) -> Progress:
        """Progress of the next piece."""
        self._begun += weight
        return _Stage(self._whole, self._begun - weight, weight, self._total)


@dataclass(frozen=True)
class _Stage:
    whole: Progress
    start: int
    weight: int
    total: int

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        share = min(step / max(total, 1), 1.0)
        self.whole.report(round(100 * (self.start + self.weight * share)), 100 * self.total, message, values)


@dataclass(frozen=True)
class Renamed:
    """Progress of a training under another message."""

    inner: Progress
    message: str

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.inner.report(step, total, self.message)
