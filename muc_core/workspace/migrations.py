"""What turns the tables of an earlier version into those of this one, a step a version, in SQLite and PostgreSQL.

Each step only adds, so that a program of the version before, still running on the same workspace, goes on working.
A new version appends its step and commits the file of the version before to `tests/fixtures/workspaces`.
"""

from sqlalchemy import Connection, text

STEPS: dict[int, tuple[str, ...]] = {
    # How often a job was begun, so that a worker that was given up cannot speak for the one that took its place; and
    # when it began by the monotonic clock, because the other may be set while it runs.
    1: (
        "ALTER TABLE jobs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE jobs ADD COLUMN started_ticks FLOAT",
    ),
    # Who asked for a job, as the log names them.
    2: ("ALTER TABLE jobs ADD COLUMN who VARCHAR",),
}
"""By the version that they start from."""

SCHEMA_VERSION = max(STEPS) + 1
"""Kept in `PRAGMA user_version`, in PostgreSQL in the table `workspace`."""


def migrate(connection: Connection, found: int) -> None:
    """Bring the tables from version `found` to `SCHEMA_VERSION`, inside the caller's transaction."""
    for version in range(found, SCHEMA_VERSION):
        for statement in STEPS[version]:
            connection.execute(text(statement))
