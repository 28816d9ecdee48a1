"""The tables of a workspace's index, alike in SQLite and PostgreSQL."""

import json
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Dialect, Float, Integer, MetaData, String, Table, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

metadata = MetaData()


class _PlainText(TypeDecorator[str]):
    """Text that sorts by its bytes, as SQLite does without being told, and without the sign that PostgreSQL refuses."""

    impl = String(collation="C")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "\ufffd")


class _JsonText(TypeDecorator[Any]):
    """JSON as text: PostgreSQL's own type refuses NaN, which a loss may be."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


def _on(sqlite: TypeEngine[Any], postgresql: TypeEngine[Any]) -> TypeEngine[Any]:
    return sqlite.with_variant(postgresql, "postgresql")


_STRING = _on(String(), _PlainText())
_TEXT = _on(Text(), _PlainText())
_JSON = _on(JSON(), _JsonText())

records = Table(
    "records",
    metadata,
    Column("kind", _STRING, primary_key=True),
    Column("name", _STRING, primary_key=True),
    Column("signature", _STRING, nullable=False),
    Column("created", _STRING),
    Column("family", _STRING),
    Column("method", _STRING),
    Column("original", _STRING),
    Column("manifest", _TEXT),
    Column("problem", _TEXT),
)
"""One row a folder: either its manifest (as JSON) or what is wrong with it."""

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", _STRING, unique=True, nullable=False),
    Column("kind", _STRING, nullable=False),
    Column("settings", _JSON, nullable=False),
    Column("state", _STRING, nullable=False, index=True),
    Column("step", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("message", _TEXT, nullable=False, default=""),
    Column("values", _JSON, nullable=False, default=dict),
    Column("history", _JSON, nullable=False, default=list),
    Column("host", _STRING, nullable=False),
    Column("pid", Integer),
    Column("heartbeat", Float, nullable=False),
    Column("ticks", Float, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("cancel_ticks", Float),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("error", _TEXT),
    Column("result", _JSON, nullable=False, default=dict),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("started_ticks", Float),
    Column("who", _STRING),
    sqlite_autoincrement=True,
)
"""Moments are seconds since 1970; `ticks` are of the monotonic clock, which neither sleeps late nor is set back, of the
machine that the job is on."""

identity = Table("workspace", MetaData(), Column("id", String, primary_key=True), Column("version", Integer))
"""In PostgreSQL, a single row: whose index it is, and the version of its tables, which SQLite keeps in its head."""
