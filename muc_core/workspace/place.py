"""Where the index of a workspace is kept: in its SQLite file, or in PostgreSQL when MUC_DATABASE_URL names a database.

A workspace whose index was moved says so in `index.json`. Without that a forgotten variable would begin a second table
of jobs beside the first, and a database that two workspaces share would list the folders of one as lost by the other.
"""

import os
import re
import secrets
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from muc_core.errors import MucError
from muc_core.workspace.files import write_file, writing

VARIABLE = "MUC_DATABASE_URL"
ACCEPTED = "postgresql://USER:PASSWORD@HOST/DATABASE"

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


class Place(BaseModel):
    """Content of `index.json`.

    Attributes:
        workspace: id of the workspace; the database has the same.
        database: where the index was moved to, for people and without user and password; None: it is in SQLite.
    """

    model_config = ConfigDict(frozen=True)

    workspace: str
    database: str | None = None


def read_place(home: Path) -> Place | None:
    """None: never moved. Raises `MucError` when the file is damaged."""
    path = _file(home)
    try:
        return Place.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise MucError(f"{path} says where the index of the workspace is and cannot be read; restore it") from error


def write_place(home: Path, place: Place) -> None:
    """Replace it as a whole. Raises `MucError` when it cannot be written."""
    write_file(_file(home), place.model_dump_json().encode())


def own_place(home: Path) -> Place:
    """That of a workspace which is going to have one; all who ask get the same id. Raises `MucError`."""
    if found := read_place(home):
        return found
    with writing(_file(home)), FileLock(_file(home).with_suffix(".json.lock"), timeout=30):
        place = read_place(home)
        if place is None:
            place = Place(workspace=secrets.token_hex(8))
            write_place(home, place)
        return place


def refuse_if_moved(home: Path) -> None:
    """Raises `MucError` where the index in SQLite is no longer the one in use."""
    place = read_place(home)
    if place is not None and place.database is not None:
        raise MucError(
            f"the index of the workspace {home} is in the database {place.database}; name it in {VARIABLE} ({ACCEPTED})"
        )


def database_url() -> URL | None:
    """What MUC_DATABASE_URL names, None where it is not set. Raises `MucError`, as `read_url` does."""
    text = os.environ.get(VARIABLE)
    return read_url(text) if text else None


def read_url(text: str) -> URL:
    """The URL of a PostgreSQL database. Raises `MucError`, which tells nothing of what may be a password."""
    scheme = re.match(r"[a-z][a-z0-9+]*(?=://)", text)
    if scheme is None:
        raise MucError(f"{VARIABLE} is not a URL; {ACCEPTED} is accepted")
    if scheme[0] not in _SCHEMES:
        raise MucError(f"{VARIABLE} begins with {scheme[0]}://; {ACCEPTED} is accepted, no other kind of database is")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Its text may quote the URL, and it stays out of the traceback as well.
        raise MucError(_badly_formed("it cannot be taken apart")) from None
    if "@" in f"{url.host}{url.database}":
        raise MucError(_badly_formed("it has more than one @"))
    if not url.database:
        raise MucError(_badly_formed("it names no database"))
    return url.set(drivername="postgresql+psycopg")


def name_of(url: URL) -> str:
    """HOST:PORT/DATABASE for people."""
    host = url.host or url.query.get("host") or "localhost"
    return f"{host}{f':{url.port}' if url.port else ''}/{url.database}"


def _badly_formed(what: str) -> str:
    return (
        f"{VARIABLE} is not well formed: {what}; {ACCEPTED} is accepted, with signs such as @ : / in user and password "
        "written as %40 %3A %2F"
    )


def _file(home: Path) -> Path:
    return home / "index.json"
