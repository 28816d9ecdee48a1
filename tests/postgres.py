"""A PostgreSQL server of one's own: in a temporary folder, on a free port of 127.0.0.1, gone after the tests."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.ports import free_port

USER = "muc"
MISSING = (
    "the tests of the index in PostgreSQL need its programs initdb and pg_ctl (Debian: apt-get install postgresql); "
    "all other tests: pytest -m 'not postgres'"
)
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60")


class Server:
    """A server that listens on 127.0.0.1 and asks for a password.

    Args:
        folder: for its data; the unprivileged user who runs it must be able to reach it.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._programs = _programs()
        self._runs_as = _unprivileged()
        self.password = secrets.token_hex(12)
        if self._runs_as is not None:
            os.chown(folder, self._runs_as.pw_uid, self._runs_as.pw_gid)
        self.port = free_port()
        word = folder / "password"
        word.write_text(self.password)
        if self._runs_as is not None:
            os.chown(word, self._runs_as.pw_uid, self._runs_as.pw_gid)
        self._run("initdb", "--username", USER, "--auth", "scram-sha-256", "--pwfile", str(word), "--no-sync")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("\n".join((f"port={self.port}", "unix_socket_directories=''", *_SETTINGS, "")))

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(self._data / "log"))

    def stop(self, mode: str = "fast") -> None:
        """As if somebody restarted it: whoever is connected is thrown out."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode)

    def url(self, database: str, *, password: str | None = None, user: str = USER) -> str:
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty one."""
        name = f"muc_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def emptied_database(self) -> str:
        """The URL of one that is emptied each time: quicker than a new one, and takes no room."""
        with self.connect() as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url("postgres")

    def connect(self, url: str | None = None) -> "psycopg.Connection[tuple[object, ...]]":
        """Besides the program, to look or to meddle."""
        return psycopg.connect(url or self.url("postgres"), autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        user = self._runs_as
        result = subprocess.run(
            [str(self._programs / program), "--pgdata", str(self._data), *arguments],
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=[] if user else None,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            # not a pipe: the server inherits it and would keep it open
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            text=True,
            check=False,
        )
        if result.returncode:
            log = self._data / "log"
            raise RuntimeError(f"{program} failed: {result.stderr or (log.read_text() if log.exists() else '')}")


@contextmanager
def served() -> Iterator[Server]:
    """A started server, until the block ends."""
    # Not in a folder of pytest: those can be reached by their owner only.
    with tempfile.TemporaryDirectory(prefix="muc-postgres-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def _programs() -> Path:
    """Debian keeps them off the PATH, in a folder for each version. Raises `RuntimeError` where there are none."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb") or (str(newest[-1]) if newest else None)
    if found is None:
        raise RuntimeError(MISSING)
    return Path(found).resolve().parent


def _unprivileged() -> pwd.struct_passwd | None:
    """Who runs the server where root runs the tests: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
