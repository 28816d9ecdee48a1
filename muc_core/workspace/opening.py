"""Opens the index of a workspace where it is."""

from pathlib import Path

from muc_core.errors import MucError
from muc_core.workspace.database import Database
from muc_core.workspace.place import VARIABLE, database_url, own_place, write_place
from muc_core.workspace.postgres import PostgresDatabase
from muc_core.workspace.sqlite import FILE, SqliteDatabase


def open_index(home: Path, *, patience_s: float) -> Database:
    """In the database that MUC_DATABASE_URL names, otherwise in SQLite.

    Args:
        home: the folder of the workspace.
        patience_s: how long to wait for a database server that is away.

    Raises:
        MucError: it cannot be opened, or is elsewhere.
    """
    url = database_url()
    if url is None:
        return SqliteDatabase(home / FILE)
    place = own_place(home)
    is_new = place.database is None
    if is_new and (home / FILE).exists():
        raise MucError(
            f"{VARIABLE} is set, but the index of the workspace {home} is still in {FILE}; `muc workspace move` moves "
            "it to the database"
        )
    database = PostgresDatabase(url, place.workspace, is_new=is_new, patience_s=patience_s)
    if is_new:
        write_place(home, place.model_copy(update={"database": database.name}))
    return database
