"""Moves the index of a workspace from SQLite to PostgreSQL and back, as a whole or not at all.

What counts is the note of where it is (`place`): it is written last, while those who would change the index wait. Until
then the old one is in use and complete; a move that was killed is made again from it.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select, text

from muc_core.errors import MucError
from muc_core.workspace.place import ACCEPTED, VARIABLE, database_url, own_place, read_place, write_place
from muc_core.workspace.postgres import PostgresDatabase
from muc_core.workspace.sqlite import FILE, SqliteDatabase
from muc_core.workspace.tables import identity, jobs, metadata


@dataclass(frozen=True)
class Moved:
    """Where the index is, for people; how many jobs are in it; whether it was moved just now or had been before."""

    name: str
    jobs: int
    just_now: bool


def move_index(home: Path, *, back: bool = False) -> Moved:
    """Move the index to the database that MUC_DATABASE_URL names, or `back` from there to SQLite.

    The SQLite file stays behind as it was; the tables in PostgreSQL are dropped, so that nobody goes on with them.

    Raises:
        MucError: the variable is not set, the database cannot be used or is another workspace's, or jobs are queued or
            running.
    """
    url = database_url()
    if url is None:
        raise MucError(f"name the database in {VARIABLE}: {ACCEPTED}")
    place = own_place(home)
    is_there = place.database is not None
    sqlite = SqliteDatabase(home / FILE, moved=True)
    if back and not is_there:
        with sqlite.read() as here:
            return Moved(sqlite.name, _count(here), just_now=False)
    postgres = PostgresDatabase(url, place.workspace, is_new=not is_there)
    if not back and is_there:
        with postgres.read() as there:
            return Moved(postgres.name, _count(there), just_now=False)
    if back:
        with postgres.write(alone=True) as there:
            there.execute(text("LOCK TABLE jobs, records IN EXCLUSIVE MODE"))
            with sqlite.write() as here:
                count = _copy(there, here)
            write_place(home, place.model_copy(update={"database": None}))
            metadata.drop_all(there)
            identity.drop(there)
        return Moved(sqlite.name, count, just_now=True)
    with sqlite.write() as here:
        if read_place(home) != place:
            raise MucError(f"somebody else has just moved the index of {home}; look where it is: muc workspace")
        with postgres.write(alone=True) as there:
            count = _copy(here, there)
            highest = select(func.coalesce(func.max(jobs.c.number), 0) + 1).scalar_subquery()
            there.execute(select(func.setval(func.pg_get_serial_sequence("jobs", "number"), highest, False)))
        write_place(home, place.model_copy(update={"database": postgres.name}))
    return Moved(postgres.name, count, just_now=True)


def _copy(old: Connection, new: Connection) -> int:
    """Replace all rows; gives the number of jobs. Raises `MucError` when one is not over."""
    active = old.execute(select(jobs.c.id).where(jobs.c.finished.is_(None)).order_by(jobs.c.number)).scalars().all()
    if active:
        raise MucError(
            f"the job {active[0]} is queued or running ({len(active)} in all); let them end or cancel them "
            "(`muc jobs cancel ID`), then move the index"
        )
    for table in metadata.sorted_tables:
        rows = [dict(row) for row in old.execute(select(table)).mappings()]
        new.execute(delete(table))
        if rows:
            new.execute(insert(table), rows)
    return _count(new)


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(jobs)).scalar_one()
