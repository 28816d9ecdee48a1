"""What the index of a workspace can do, wherever it is kept."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from muc_core.errors import MucError
from muc_core.workspace.migrations import SCHEMA_VERSION

BUSY_TIMEOUT_S = 15.0
"""How long one waits for another who writes."""


class Database(ABC):
    """The index of what the folders hold, and the table of jobs.

    Attributes:
        name: where it is, for people; without user and password.
        problem: what was wrong with it when it was opened, a sentence; None when nothing was.
        shared: other machines use it too, each with a clock and processes of its own.
        patience_s: how long a transaction waits at its beginning for a server that is away.
    """

    name: str
    problem: str | None
    shared: bool
    patience_s: float = 0.0

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A consistent view for several queries. Raises `MucError`."""

    @abstractmethod
    def write(self, *, alone: bool = False) -> AbstractContextManager[Connection]:
        """A transaction, undone when the block raises. Raises `MucError`.

        Args:
            alone: no other that asks for it runs beside this one; in SQLite none at all does.
        """


def newer_version(name: str, found: int, variable: str) -> MucError:
    """What to say of tables that a newer version of this program wrote; `variable` chooses others."""
    return MucError(
        f"{name} was written by a newer version of this program (schema {found}, this one reads up to "
        f"{SCHEMA_VERSION}); update the program or choose another workspace with {variable}"
    )
