"""The index of a workspace in a PostgreSQL database, so that several machines share one queue of jobs.

The folders stay the truth and are on a disk that these machines share. One connection is kept, because making one takes
longer than what is asked through it, and is tried before it is used again: a server may be restarted.
"""

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import Connection, Engine, Row, create_engine, func, insert, inspect, select, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from muc_core.errors import MucError
from muc_core.workspace.database import BUSY_TIMEOUT_S, Database, newer_version
from muc_core.workspace.migrations import SCHEMA_VERSION, migrate
from muc_core.workspace.place import VARIABLE, name_of
from muc_core.workspace.tables import identity, metadata

RETRY_AFTER_S = 0.25

_ALONE = 0x6D7563
"""Key of the advisory lock, any number."""

_OPTIONS = {
    "connect_timeout": "10",
    "application_name": "muc",
    # A machine that vanishes must not keep what it locked, and one whose server vanishes must notice.
    "options": f"-c lock_timeout={BUSY_TIMEOUT_S:.0f}s -c idle_in_transaction_session_timeout=60s",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""Of libpq; the URL may set others."""

Trouble = Literal["away", "refused", "missing", "crowded", "full", "busy", "forbidden", "gone", "defect"]


class PostgresDatabase(Database):
    """One database, which holds one index.

    Args:
        url: as `read_url` gives it.
        workspace: id of the workspace that the index is of.
        is_new: the database may be empty; its tables are made. Otherwise it must have them.
        patience_s: how long to wait for a server that is away before saying so.

    Tables of an earlier version are brought up to date when it is opened.

    Raises:
        MucError: the server is away or refuses, there is no such database, it is another workspace's, or a newer
            version of this program wrote it.
    """

    shared = True
    problem = None

    def __init__(self, url: URL, workspace: str, *, is_new: bool, patience_s: float = 0.0) -> None:
        self.name = name_of(url)
        self._url = url
        self.patience_s = patience_s
        options = {name: value for name, value in _OPTIONS.items() if name not in url.query}
        # pool_pre_ping asks for a sign of life first
        engine = create_engine(url, pool_size=1, max_overflow=-1, pool_pre_ping=True, connect_args=options)
        weakref.finalize(self, engine.dispose)
        self._writer = engine
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._prepare(workspace, is_new=is_new)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._telling(), self._connected(self._reader) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        with self._telling(), self._connected(self._writer) as connection, connection.begin():
            if alone:
                connection.execute(select(func.pg_advisory_xact_lock(_ALONE)))
            yield connection

    def _connected(self, engine: Engine) -> Connection:
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return engine.connect()
            except DBAPIError as error:
                if _trouble(error) != "away" or time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_AFTER_S)

    def _prepare(self, workspace: str, *, is_new: bool) -> None:
        with self.read() as connection:
            found = self._found(connection, workspace)
        if found is not None and found.version == SCHEMA_VERSION:
            return
        with self.write(alone=True) as connection:
            found = self._found(connection, workspace)  # another process may have been here meanwhile
            if found is not None:
                migrate(connection, found.version)
                connection.execute(update(identity).values(version=SCHEMA_VERSION))
                return
            if not is_new:
                raise MucError(
                    f"the database {self.name} has no tables of this workspace, whose index was moved to a database; "
                    f"name that one in {VARIABLE}, or, if it is lost, delete index.json in the workspace to begin anew"
                )
            if taken := {table.name for table in metadata.sorted_tables} & set(inspect(connection).get_table_names()):
                raise MucError(
                    f"the database {self.name} has a table {min(taken)} of another program; name a database of its "
                    f"own in {VARIABLE}"
                )
            metadata.create_all(connection)
            identity.create(connection)
            connection.execute(insert(identity).values(id=workspace, version=SCHEMA_VERSION))

    def _found(self, connection: Connection, workspace: str) -> Row[str, int | None] | None:
        """Whose tables of which version there are, None where there are none. Raises `MucError`."""
        tables = inspect(connection)
        if not tables.has_table(identity.name):
            return None
        ours = {column["name"] for column in tables.get_columns(identity.name)} >= set(identity.c.keys())
        found = connection.execute(select(identity.c.id, identity.c.version)).one_or_none() if ours else None
        if found is None or found.id != workspace:
            raise MucError(
                f"the database {self.name} is the index of another workspace, or another program's; name a database of "
                f"its own in {VARIABLE}"
            )
        if found.version > SCHEMA_VERSION:
            raise newer_version(f"the database {self.name}", found.version, f"MUC_HOME and {VARIABLE}")
        return found

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._explained(error) from error

    def _explained(self, error: DBAPIError) -> Exception:
        """A `MucError` for what the user can put right; the error itself when it is a defect of ours."""
        name, words = self.name, _first_line(error)
        if self._url.password:
            words = words.replace(str(self._url.password), "***")
        match _trouble(error):
            case "away":
                return MucError(
                    f"the database {name} could not be reached ({words}); try again when its server runs, or mend "
                    f"{VARIABLE}"
                )
            case "refused":
                return MucError(
                    f"the server of the database {name} refused the user or the password ({words}); mend them in "
                    f"{VARIABLE}, PGPASSWORD or the file that PGPASSFILE names"
                )
            case "missing":
                return MucError(
                    f"there is no database {name}; create it (createdb {self._url.database}) or name another in "
                    f"{VARIABLE}"
                )
            case "crowded":
                return MucError(f"the server of the database {name} takes no more connections ({words}); try later")
            case "full":
                return MucError(f"the disk of the database {name} is full ({words}); free some space and try again")
            case "busy":
                return MucError(
                    f"the database {name} is kept busy by another process for more than {BUSY_TIMEOUT_S:.0f} s; try "
                    "again in a moment"
                )
            case "forbidden":
                return MucError(
                    f"the user of {VARIABLE} may not do this in the database {name} ({words}); make it the owner of "
                    "that database, on a server that takes writes"
                )
            case "gone":
                return MucError(
                    f"the tables in the database {name} are gone ({words}); if the index was moved back, unset "
                    f"{VARIABLE} and start the program again"
                )
            case "defect":
                return error


def _first_line(error: DBAPIError) -> str:
    line = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
    return line.removeprefix("connection failed: ").removeprefix("connection is bad: ")


def _trouble(error: DBAPIError) -> Trouble:
    """What is wrong, by PostgreSQL's code. Connecting gives words instead, English unless told otherwise."""
    code, words = getattr(error.orig, "sqlstate", None), _first_line(error)
    if code is None:
        if not isinstance(error, OperationalError | ProgrammingError):
            return "defect"
        if 'database "' in words and "does not exist" in words:
            return "missing"
        if "too many" in words or "remaining connection slots" in words:
            return "crowded"
        refused = any(sign in words for sign in ("password", "authentication", "pg_hba.conf", 'role "'))
        return "refused" if refused else "away"
    match code[:2], code:
        case ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "25P03"):
            return "away"
        case ("28", _):
            return "refused"
        case (_, "3D000"):
            return "missing"
        case (_, "53300"):
            return "crowded"
        case (_, "53100" | "53200"):
            return "full"
        case (_, "55P03" | "40P01" | "40001"):
            return "busy"
        case (_, "42501" | "3F000" | "25006"):
            return "forbidden"
        case (_, "42P01" | "42703"):
            return "gone"
        case _:
            return "defect"
