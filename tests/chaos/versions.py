"""Workspaces of earlier versions, killed while they are brought up to date, and one of a newer version."""

import sqlite3
import time
import zipfile
from contextlib import closing
from pathlib import Path

from muc_core.errors import MucError
from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.migrations import SCHEMA_VERSION, STEPS
from tests.chaos.forks import Fork
from tests.chaos.scene import DoesNotHold, Row, Scene

FIXTURES = Path(__file__).parents[1] / "fixtures" / "workspaces"


def migrations(scene: Scene) -> Row:
    """Whatever was written by an earlier version is there after a kill in the middle of the migration."""
    row = Row("kill -9 while a workspace of an earlier version is opened", "all of it is there; a newer one is refused")
    for trial in range(scene.trials):
        version = scene.random.choice(sorted(STEPS))
        home = scene.folder / f"version-{trial}"
        with zipfile.ZipFile(FIXTURES / f"schema-{version}.zip") as archive:
            archive.extractall(home)
        after_s = scene.random.uniform(0, 0.05)
        opening = Fork(lambda home=home: _open(home))  # type: ignore[misc]
        time.sleep(after_s)
        with row.trial(f"version {version} after {after_s:.3f} s"):
            opening.kill()
            opening.wait()
            workspace = Workspace(home, assets=home / "none")
            there = (len(workspace.encoders()), len(workspace.runs()), len(workspace.audits()))
            states = [job.state for job in JobTable(workspace).jobs()]
            if there != (2, 1, 1) or states != ["lost", "done"] or workspace.problems():
                raise DoesNotHold(f"found {there}, jobs {states}, {workspace.problems()}")
    with row.trial("a newer version"):
        with closing(sqlite3.connect(home / "index.sqlite")) as connection:
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        try:
            Workspace(home)
        except MucError as refusal:
            if "newer version" not in str(refusal):
                raise
        else:
            raise DoesNotHold("it was opened")
    return row


def _open(home: Path) -> int:
    Workspace(home, assets=home / "none").encoders()
    return 0
