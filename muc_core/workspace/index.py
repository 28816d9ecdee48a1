"""Keeps the index in step with the manifests in the folders, which are the truth.

Before each listing the folders' time stamps are compared with those in the index, and only what changed is read again.
So writers need not know of the index, and a deleted, damaged or outdated one costs a second reading and nothing else.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError
from sqlalchemy import delete, insert, select

from muc_core.encoders.manifest import SCHEMA_VERSION, AuditManifest, EncoderManifest, RunManifest, explain
from muc_core.errors import MucError
from muc_core.workspace.database import Database
from muc_core.workspace.tables import records

MANIFEST = "manifest.json"

M = TypeVar("M", EncoderManifest, RunManifest, AuditManifest)


@dataclass(frozen=True)
class Shelf(Generic[M]):
    """A folder of the workspace with one sub-folder an entry.

    Attributes:
        kind: its key in the index.
        model: of the manifests.
        naming: the field of the manifest that must equal the name of the folder.
        needs: files an entry is not complete without.
        watched: whether the entry is read again when any of its files changes, not only those it needs.
    """

    kind: str
    model: type[M]
    naming: str
    needs: tuple[str, ...] = (MANIFEST,)
    watched: bool = False


ENCODERS = Shelf("encoder", EncoderManifest, "name", watched=True)
RUNS = Shelf("run", RunManifest, "id")
AUDITS = Shelf("audit", AuditManifest, "id")


def read_entry(folder: Path, shelf: Shelf[M]) -> M:
    """The manifest of one entry. Raises `MucError` saying what is wrong with it and where."""
    _check_complete(folder, shelf.needs)
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        found = json.loads(content)
    except OSError as error:
        raise MucError(f"{path} cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MucError(f"{path} is damaged: it is not complete JSON; restore it or delete its folder") from error
    schema = found.get("schema_version") if isinstance(found, dict) else None
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise MucError(
            f"{path} was written by a newer version of this program (schema {schema}, this one reads up to "
            f"{SCHEMA_VERSION}); update the program"
        )
    try:
        manifest = shelf.model.model_validate_json(content)
    except ValidationError as error:
        raise MucError(f"{path} is damaged ({explain(error)}); restore it or delete its folder") from error
    if getattr(manifest, shelf.naming) != folder.name:
        raise MucError(
            f"{path} says its {shelf.naming} is {getattr(manifest, shelf.naming)!r} but its folder is called "
            f"{folder.name!r}; give both the same name"
        )
    _check_complete(folder, getattr(manifest, "files", ()))
    return manifest


def _check_complete(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise MucError(f"{folder} has no {name}; put it back or delete the folder")


def folders(parent: Path) -> list[Path]:
    """The entries in a folder, by name; none when the folder is missing. Hidden ones are unfinished or deleted."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def bring_up_to_date(database: Database, parent: Path, shelf: Shelf[M]) -> None:
    """Make the index say what the folders say. Raises `MucError` when the index cannot be written."""
    there: dict[str, str] = {folder.name: _signature(folder, shelf) for folder in folders(parent)}
    if _indexed(database, shelf) == there:
        return
    with database.write(alone=True) as connection:
        rows = connection.execute(select(records.c.name, records.c.signature).where(records.c.kind == shelf.kind))
        known: dict[str, str] = {name: signature for name, signature in rows}
        changed: list[str] = [name for name in there if known.get(name) != there[name]]
        for name in [*(known.keys() - there.keys()), *changed]:
            connection.execute(delete(records).where(records.c.kind == shelf.kind, records.c.name == name))
        for name in changed:
            connection.execute(insert(records).values(_row(parent / name, shelf, there[name])))


def manifests(database: Database, shelf: Shelf[M], *, where: Mapping[str, str | None] | None = None) -> list[M]:
    """The sound entries of an index that is up to date, oldest first; `where` gives columns that must be equal."""
    query = select(records.c.manifest).where(records.c.kind == shelf.kind, records.c.problem.is_(None))
    for column, value in (where or {}).items():
        query = query.where(records.c[column] == value)
    with database.read() as connection:
        texts = connection.execute(query.order_by(records.c.created, records.c.name)).scalars().all()
    return [shelf.model.model_validate_json(text) for text in texts]


def problems(database: Database) -> list[str]:
    """What is wrong with the entries that are not listed, one sentence each."""
    query = select(records.c.problem).where(records.c.problem.is_not(None)).order_by(records.c.kind, records.c.name)
    with database.read() as connection:
        return [str(problem) for problem in connection.execute(query).scalars()]


def _indexed(database: Database, shelf: Shelf[M]) -> dict[str, str]:
    with database.read() as connection:
        rows = connection.execute(select(records.c.name, records.c.signature).where(records.c.kind == shelf.kind))
        return {name: signature for name, signature in rows}


def _signature(folder: Path, shelf: Shelf[M]) -> str:
    """Changes whenever a file the entry needs is replaced: every replacement is a new inode."""
    parts = [str(SCHEMA_VERSION)]
    for path in sorted(folder.iterdir()) if shelf.watched else [folder / name for name in shelf.needs]:
        try:
            state = path.stat()
        except OSError:
            parts.append(f"{path.name} missing")
        else:
            parts.append(f"{path.name}.{state.st_ino}.{state.st_size}.{state.st_mtime_ns}")
    return " ".join(parts)


def _row(folder: Path, shelf: Shelf[M], signature: str) -> dict[str, str | None]:
    row: dict[str, str | None] = {"kind": shelf.kind, "name": folder.name, "signature": signature}
    columns = ("created", "family", "method", "original")
    try:
        manifest = read_entry(folder, shelf)
    except MucError as problem:
        return {**row, **dict.fromkeys(columns), "manifest": None, "problem": str(problem)}
    known = {column: getattr(manifest, column, None) for column in columns}
    return {**row, **known, "manifest": manifest.model_dump_json(), "problem": None}
