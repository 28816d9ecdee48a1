"""Workspaces that earlier versions wrote, packed when they were the latest: opened, brought up to date, and used."""

import sqlite3
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from muc_core.encoders.checkpoint import load_weights
from muc_core.errors import MucError
from muc_core.jobs.table import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.migrations import SCHEMA_VERSION, STEPS
from muc_core.workspace.sqlite import SqliteDatabase
from tests.fixtures.workspaces import make

FIXTURES = Path(make.__file__).parent
EARLIER = sorted(STEPS)


def unpacked(version: int, home: Path) -> Path:
    with zipfile.ZipFile(FIXTURES / f"schema-{version}.zip") as archive:
        archive.extractall(home)
    assert version_of(home) == version
    return home


def version_of(home: Path) -> int:
    with closing(sqlite3.connect(home / "index.sqlite")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def columns_of(home: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(home / "index.sqlite")) as connection:
        return {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        }


def test_every_earlier_version_is_there() -> None:
    assert list(range(1, SCHEMA_VERSION)) == EARLIER
    assert {path.name for path in FIXTURES.glob("*.zip")} == {f"schema-{version}.zip" for version in EARLIER}


@pytest.mark.parametrize("version", EARLIER)
def test_all_of_it_is_there_afterwards_and_can_be_used(version: int, tmp_path: Path) -> None:
    workspace = Workspace(unpacked(version, tmp_path / "home"), assets=tmp_path)
    assert version_of(workspace.home) == SCHEMA_VERSION
    assert workspace.problems() == ()
    assert [record.manifest.name for record in workspace.encoders()] == ["original", "after"]
    assert load_weights(workspace.encoder("original").weights)["w"].tolist() == [0, 1, 2, 3]
    (run,) = workspace.runs()
    assert (run.state, run.manifest.encoder) == ("done", "after")
    assert [entry.values for entry in run.history()] == [{"loss": 1.0}, {"loss": 1 / 3}]
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [1, 3]
    assert workspace.audits()[0].read("audit.json") == b"{}"
    table = JobTable(workspace)
    lost, done = table.jobs()
    assert (done.state, done.result, done.attempt) == ("done", {"encoder": "after", "run": run.manifest.id}, 1)
    assert done.history == ((1, {"loss": 1.0}), (3, {"loss": 0.5}))
    assert lost.state == "lost"
    assert table.queue_again(lost.id).attempt == 2
    job, _ = table.add("train", {}, unique=False)
    assert [active.id for active in table.active()] == [lost.id, job.id]


@pytest.mark.parametrize("version", EARLIER)
def test_the_tables_are_those_of_a_new_workspace(version: int, tmp_path: Path) -> None:
    old, new = (Workspace(home, assets=tmp_path) for home in (unpacked(version, tmp_path / "old"), tmp_path / "new"))
    assert columns_of(old.home) == columns_of(new.home)


def test_two_that_open_it_at_once_bring_it_up_to_date_once(tmp_path: Path) -> None:
    path = unpacked(EARLIER[0], tmp_path) / "index.sqlite"
    begin, faults = threading.Barrier(4), []

    def open_it() -> None:
        begin.wait()
        try:
            SqliteDatabase(path)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert version_of(tmp_path) == SCHEMA_VERSION


def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = unpacked(1, tmp_path)
    before = columns_of(home)
    monkeypatch.setitem(STEPS, 1, (*STEPS[1], "ALTER TABLE nonsense ADD COLUMN x"))
    with pytest.raises(Exception, match="nonsense"):
        Workspace(home)
    assert (version_of(home), columns_of(home)) == (1, before)


def test_what_this_version_packs_can_be_opened(tmp_path: Path) -> None:
    make.fill(tmp_path / "home")
    assert version_of(tmp_path / "home") == SCHEMA_VERSION
    assert Workspace(tmp_path / "home", assets=tmp_path).problems() == ()


def test_a_newer_one_is_refused_and_left_alone(tmp_path: Path) -> None:
    home = unpacked(1, tmp_path)
    with closing(sqlite3.connect(home / "index.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = (home / "index.sqlite").read_bytes()
    with pytest.raises(MucError, match=f"newer version of this program .schema {SCHEMA_VERSION + 1}.*update the"):
        Workspace(home)
    assert (home / "index.sqlite").read_bytes() == before
