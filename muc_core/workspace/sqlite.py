"""The index of a workspace in SQLite, which is where it is unless MUC_DATABASE_URL names another place.

Many processes use it at once (page, command line, one worker a job), hence WAL, a busy timeout, transactions that take
the write lock at their beginning, and a fresh connection for each of them. The index can always be rebuilt from the
manifests; so a damaged file is set aside and a new one begun.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from muc_core.errors import MucError
from muc_core.workspace.database import BUSY_TIMEOUT_S, Database, newer_version
from muc_core.workspace.files import writing
from muc_core.workspace.migrations import SCHEMA_VERSION, migrate
from muc_core.workspace.place import refuse_if_moved
from muc_core.workspace.tables import metadata

FILE = "index.sqlite"


class SqliteDatabase(Database):
    """index.sqlite of a workspace.

    Args:
        path: the file; created, or set aside and created anew when it is damaged.
        moved: it is opened to move the index into it or out of it, and may be used while the index is elsewhere.

    One of an earlier version is brought up to date when it is opened.

    Raises:
        MucError: it cannot be written, a newer version of this program wrote it, or the index was moved elsewhere.
    """

    shared = False

    def __init__(self, path: Path, *, moved: bool = False) -> None:
        self.path = path
        self.name = str(path)
        self.problem = None
        self._moved = moved
        self._refuse_if_moved()
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            connect_args={"timeout": BUSY_TIMEOUT_S},
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        self._reader = engine
        self._writer = engine.execution_options(takes_write_lock=True)
        self._prepare()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._recreate_if_deleted()
        with self._telling(), self._reader.begin() as connection:
            self._refuse_if_moved()
            yield connection

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        self._recreate_if_deleted()
        with self._telling(), self._writer.begin() as connection:
            self._refuse_if_moved()
            yield connection

    def _refuse_if_moved(self) -> None:
        if not self._moved:
            refuse_if_moved(self.path.parent)

    def _recreate_if_deleted(self) -> None:
        if not self.path.exists():
            self._prepare()

    def _prepare(self) -> None:
        if self.path.exists() and self._is_sound():
            return
        with writing(self.path), FileLock(self.path.with_suffix(".lock"), timeout=2 * BUSY_TIMEOUT_S):
            if self.path.exists() and self._is_damaged():
                self._set_aside()
            if not self.path.exists():
                for suffix in ("-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            with self._telling(), self._reader.connect() as connection:
                connection.exec_driver_sql("COMMIT")  # the journal mode cannot change inside a transaction
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                found = self._version(connection)
                if found:  # another process may have brought it up to date meanwhile
                    migrate(connection, found)
                else:
                    metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
                connection.commit()

    def _is_sound(self) -> bool:
        if self._is_damaged():
            return False
        with self._telling(), self._reader.connect() as connection:
            return self._version(connection) == SCHEMA_VERSION

    def _version(self, connection: Connection) -> int:
        """Of the tables; 0 where there are none. Raises `MucError` when a newer program wrote them."""
        found: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found > SCHEMA_VERSION:
            raise newer_version(self.name, found, "MUC_HOME")
        return found

    def _is_damaged(self) -> bool:
        try:
            with self._reader.connect() as connection:
                return bool(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() != "ok")
        except DatabaseError as error:
            if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                return True
            raise _explained(self.path, error) from error

    def _set_aside(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{os.urandom(4).hex()}")
        os.replace(self.path, aside)
        self.problem = (
            f"{self.path} was damaged and is now called {aside.name}; the index was rebuilt from the manifests, "
            "the list of past jobs is gone"
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise _explained(self.path, error) from error


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's own transaction handling would begin too late, after the first SELECT.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Connection) -> None:
    takes_write_lock = connection.get_execution_options().get("takes_write_lock", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if takes_write_lock else "BEGIN")


def _code(error: DatabaseError) -> int:
    # The low byte is the primary code; the rest says more precisely why.
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF


def _explained(path: Path, error: DatabaseError) -> Exception:
    """A `MucError` for what the user can put right; the error itself when it is a defect of ours."""
    match _code(error):
        case sqlite3.SQLITE_FULL:
            return MucError(f"the disk is full: {path} could not be written; free some space and try again")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return MucError(
                f"{path} is kept busy by another process for more than {BUSY_TIMEOUT_S:.0f} s; try again in a moment"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return MucError(
                f"{path} could not be opened or written ({error.orig}); make the folder writable or choose another "
                "workspace with MUC_HOME"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return MucError(f"{path} is damaged; start the program again, it rebuilds the index from the manifests")
        case _:
            return error
