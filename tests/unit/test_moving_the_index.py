"""The index is moved to PostgreSQL and back: all of it or nothing, and nobody goes on with the old one."""

import os
import signal
import time
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.errors import MucError
from muc_core.jobs.table import JobTable
from muc_core.workspace import Workspace, moving
from muc_core.workspace.moving import move_index
from muc_core.workspace.place import VARIABLE, read_place
from muc_core.workspace.tables import metadata
from tests.fixtures.workspaces import make
from tests.postgres import Server

pytestmark = pytest.mark.postgres

Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of the first version, with encoders, a run, an audit and two jobs that are over."""
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    with zipfile.ZipFile(Path(make.__file__).parent / "schema-1.zip") as archive:
        archive.extractall(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def url(postgres_server: Server) -> str:
    return postgres_server.emptied_database()


def rows(home: Path) -> Rows:
    """All that the index holds, brought up to date with the folders."""
    workspace = Workspace(home)
    workspace.problems()
    with workspace.database.read() as connection:
        return {
            name: sorted(tuple(row) for row in connection.execute(select(table)))
            for name, table in metadata.tables.items()
        }


def test_all_of_it_is_there_and_back_again(home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(home)
    assert (len(before["records"]), len(before["jobs"])) == (4, 2)
    monkeypatch.setenv(VARIABLE, url)
    assert (moved := move_index(home)).just_now
    assert (moved.jobs, url.endswith(moved.name)) == (2, True)
    assert rows(home) == before
    again = move_index(home)
    assert (again.just_now, again.jobs) == (False, 2)

    table = JobTable(Workspace(home))
    job, _ = table.add("train", {}, unique=False)
    assert [active.id for active in table.active()] == [job.id]  # it has a number of its own, the highest
    table.close(job.id, "failed", error="of this test")
    changed = rows(home)
    assert move_index(home, back=True).just_now
    assert not move_index(home, back=True).just_now
    with pytest.raises(MucError, match=r"is still in index\.sqlite"):
        Workspace(home)
    monkeypatch.delenv(VARIABLE)
    assert rows(home) == changed
    assert JobTable(Workspace(home)).jobs()[0].id == job.id

    monkeypatch.setenv(VARIABLE, url)
    assert move_index(home).just_now
    assert rows(home) == changed


def test_who_has_either_open_is_told_when_it_moves(home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Workspace(home)
    monkeypatch.setenv(VARIABLE, url)
    move_index(home)
    for use in (there.problems, lambda: JobTable(there).add("train", {}, unique=False)):
        with pytest.raises(MucError, match=f"is in the database .*name it in {VARIABLE}"):
            use()
    there = Workspace(home)
    move_index(home, back=True)
    with pytest.raises(MucError, match=r"the tables in the database .* are gone .*unset"):
        JobTable(there).add("train", {}, unique=False)


@pytest.mark.parametrize("back", [False, True])
def test_not_while_a_job_is_active(home: Path, url: str, monkeypatch: pytest.MonkeyPatch, back: bool) -> None:
    if back:
        monkeypatch.setenv(VARIABLE, url)
        move_index(home)
    job, _ = JobTable(Workspace(home)).add("train", {}, unique=False)
    before = read_place(home)
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(MucError, match=f"the job {job.id} is queued or running"):
        move_index(home, back=back)
    if not back:
        monkeypatch.delenv(VARIABLE)
    assert (before and before.database) == ((place := read_place(home)) and place.database)
    assert JobTable(Workspace(home)).job(job.id).active


def test_what_was_begun_and_failed_is_made_again(home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(home)
    monkeypatch.setenv(VARIABLE, url)
    with monkeypatch.context() as failing:
        failing.setattr(moving, "write_place", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert _killed(home, after_s=60)
    with pytest.raises(MucError, match=r"is still in index\.sqlite"):
        Workspace(home)
    monkeypatch.delenv(VARIABLE)
    JobTable(Workspace(home)).queue_again(job_id := str(before["jobs"][1][1]))
    JobTable(Workspace(home)).request_cancel(job_id)
    changed = rows(home)
    assert changed != before
    monkeypatch.setenv(VARIABLE, url)
    move_index(home)
    assert rows(home) == changed


def test_killed_at_any_moment_it_is_here_or_there(home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(home)
    monkeypatch.setenv(VARIABLE, url)
    began = time.monotonic()
    move_index(home)
    took = time.monotonic() - began
    for trial in range(8):
        monkeypatch.setenv(VARIABLE, url)
        back = (place := read_place(home)) is not None and place.database is not None
        _killed(home, after_s=took * (trial + 0.5) / 6, back=back)
        place = read_place(home)
        if place is None or place.database is None:
            monkeypatch.delenv(VARIABLE)
        assert rows(home) == before


def _killed(home: Path, *, after_s: float, back: bool = False) -> bool:
    """Move in a process that is killed; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            move_index(home, back=back)
        finally:
            os._exit(0)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def test_the_command(home: Path, url: str, monkeypatch: pytest.MonkeyPatch, postgres_server: Server) -> None:
    monkeypatch.setenv("MUC_HOME", str(home))
    nothing = CliRunner().invoke(app, ["workspace", "move"])
    assert nothing.exit_code == 2
    assert f"name the database in {VARIABLE}: postgresql://" in nothing.stderr
    assert "index.sqlite" in CliRunner().invoke(app, ["workspace"]).stdout
    monkeypatch.setenv(VARIABLE, url)
    told = [CliRunner().invoke(app, ["workspace", *words]) for words in (["move"], ["move"], ["show"], ["--json"])]
    assert [result.exit_code for result in told] == [0, 0, 0, 0]
    name = f"127.0.0.1:{postgres_server.port}/postgres"
    assert (
        told[0].stdout
        == f"The index is in {name} now, 2 jobs in it. Keep {VARIABLE} set wherever this workspace is used.\n"
    )
    assert told[1].stdout == f"The index is in {name} already, 2 jobs in it.\n"
    assert name in told[2].stdout
    assert postgres_server.password not in "".join(result.output for result in told)
    back = CliRunner().invoke(app, ["workspace", "move", "--back"])
    assert back.stdout.endswith(f"Unset {VARIABLE} wherever this workspace is used.\n")


def test_a_wrong_password_is_not_told_and_nothing_moved(
    home: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: Server
) -> None:
    monkeypatch.setenv("MUC_HOME", str(home))
    monkeypatch.setenv(VARIABLE, postgres_server.url("postgres", password="hunter2-hunter2"))
    told = CliRunner().invoke(app, ["workspace", "move"])
    assert (told.exit_code, "refused the user or the password" in told.stderr) == (2, True)
    assert "hunter2" not in told.output
    monkeypatch.delenv(VARIABLE)
    assert len(rows(home)["jobs"]) == 2
