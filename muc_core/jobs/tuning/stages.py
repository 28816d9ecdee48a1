"""Progress over several pieces of work as that of one."""

from collections.abc import Mapping
from dataclasses import dataclass

from muc_core.progress import Progress

STEPS = 100


@dataclass
class Stages:
    """Each piece is an equal part of the whole, which never goes back.

    Attributes:
        whole: what is told.
        count: of the pieces.
        title: of the current piece.
    """

    whole: Progress
    count: int
    title: str = ""
    place: int = -1
    done: int = 0

    def next(self, title: str) -> "Stages":
        """Begin the next piece. Raises `Cancelled`."""
        self.place, self.title = self.place + 1, title
        self.report(0, 1, "")
        return self

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        here = STEPS * self.place + round(STEPS * min(step / max(total, 1), 1))
        self.done = max(self.done, min(here, STEPS * self.count))
        words = ", ".join(filter(None, (self.title, message)))
        self.whole.report(self.done, STEPS * self.count, words)


@dataclass(frozen=True)
class Aside:
    """A look along the way of longer work, which stays where it is meanwhile."""

    whole: Progress
    step: int
    total: int
    title: str

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.whole.report(self.step, self.total, self.title)
