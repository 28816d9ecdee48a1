"""The index in PostgreSQL, in a real server: what is refused and how, versions, restarts; a password is never told."""

import os
import subprocess
import sys
import textwrap
import threading
import traceback
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from muc_core.errors import MucError
from muc_core.jobs.table import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.migrations import SCHEMA_VERSION, STEPS
from muc_core.workspace.place import VARIABLE, name_of, read_url
from muc_core.workspace.postgres import PostgresDatabase
from muc_core.workspace.tables import identity, jobs, metadata
from tests.ports import free_port
from tests.postgres import Server

SECRET = "hunter2-hunter2"


@pytest.fixture
def url(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    found = postgres_server.emptied_database()
    monkeypatch.setenv(VARIABLE, found)
    return found


def refusal(home: Path, secret: str) -> str:
    """What is said when the workspace is opened; neither it nor its traceback holds the secret."""
    with pytest.raises(MucError) as caught:
        Workspace(home)
    told = "".join(traceback.format_exception(caught.value))
    assert secret not in told
    return str(caught.value)


class TestUrl:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (SECRET, "is not a URL; postgresql://"),
            (f"mysql://u:{SECRET}@h/d", "begins with mysql://; postgresql://"),
            (f"sqlite:///{SECRET}", "begins with sqlite://"),
            (f"postgresql+psycopg2://u:{SECRET}@h/d", r"begins with postgresql\+psycopg2://"),
            (f"postgresql://u:{SECRET}@h", "names no database"),
            (f"postgresql://u:{SECRET}@h:port/d", "cannot be taken apart"),
            (f"postgresql://u:{SECRET}:x@[::1/d", "cannot be taken apart"),
            (f"postgresql://u:p@{SECRET}@h/d", "more than one @"),
            (f"postgresql://u:p@x/{SECRET}@h/d", "more than one @"),
        ],
    )
    def test_what_is_no_url_of_a_database_is_refused_without_a_word_of_it(self, text: str, words: str) -> None:
        with pytest.raises(MucError, match=words) as caught:
            read_url(text)
        assert VARIABLE in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
    def test_a_password_with_signs(self, scheme: str) -> None:
        url = read_url(f"{scheme}://u:p%40s%2Fs@db.example:5433/muc?sslmode=verify-full")
        assert (url.password, url.host, name_of(url)) == ("p@s/s", "db.example", "db.example:5433/muc")
        assert "p@s/s" not in repr(url)

    def test_a_socket(self) -> None:
        assert name_of(read_url("postgresql:///muc?host=/run/postgresql")) == "/run/postgresql/muc"


def test_the_driver_is_loaded_only_when_it_is_used(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from muc_core.jobs import JobTable
        from muc_core.workspace import Workspace
        JobTable(Workspace(Path(sys.argv[1]))).jobs()
        sys.exit("psycopg" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(command, env=environment, check=False).returncode == 0


@pytest.mark.postgres
class TestRefusals:
    def test_the_server_is_down(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, f"postgresql://u:{SECRET}@127.0.0.1:{(port := free_port())}/muc")
        told = refusal(tmp_path / "home", SECRET)
        assert told.startswith(f"the database 127.0.0.1:{port}/muc could not be reached (")
        assert "Connection refused" in told
        assert not (tmp_path / "home" / "index.sqlite").exists()

    def test_a_wrong_password(self, postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, postgres_server.url("postgres", password=SECRET))
        assert "refused the user or the password" in refusal(tmp_path / "home", SECRET)

    def test_an_unknown_user(self, postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, postgres_server.url("postgres", user="nobody"))
        assert "refused the user or the password" in refusal(tmp_path / "home", postgres_server.password)

    def test_no_such_database(self, postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, postgres_server.url("nothing"))
        told = refusal(tmp_path / "home", postgres_server.password)
        assert f"there is no database 127.0.0.1:{postgres_server.port}/nothing; create it (createdb nothing)" in told

    def test_an_unknown_option(self, postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, f"{postgres_server.url('postgres')}?colour=blue")
        assert f'invalid connection option "colour"); try again when its server runs, or mend {VARIABLE}' in refusal(
            tmp_path / "home", postgres_server.password
        )

    def test_a_user_who_may_not_make_tables(
        self, postgres_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with postgres_server.connect() as connection:
            connection.execute("DROP ROLE IF EXISTS guest")
            connection.execute(f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'")
        monkeypatch.setenv(VARIABLE, postgres_server.url("postgres", user="guest", password=SECRET))
        assert "may not do this in the database" in refusal(tmp_path / "home", SECRET)

    def test_tables_of_another_program(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        with postgres_server.connect() as connection:
            connection.execute("CREATE TABLE jobs (title TEXT)")
            told = refusal(tmp_path / "home", postgres_server.password)
            assert "has a table jobs of another program; name a database of its own" in told
            for columns in ("title TEXT", "id TEXT, version INTEGER"):
                connection.execute(f"CREATE TABLE workspace ({columns})")
                assert "or another program's; name a database" in refusal(tmp_path / "home", postgres_server.password)
                connection.execute("DROP TABLE workspace")

    def test_another_workspace(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        Workspace(tmp_path / "first")
        assert "is the index of another workspace" in refusal(tmp_path / "second", postgres_server.password)

    def test_an_index_that_is_still_in_sqlite(
        self, postgres_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(VARIABLE)
        Workspace(tmp_path / "home")
        monkeypatch.setenv(VARIABLE, url)
        assert "is still in index.sqlite; `muc workspace move`" in refusal(tmp_path / "home", postgres_server.password)
        monkeypatch.delenv(VARIABLE)
        Workspace(tmp_path / "home")

    def test_a_forgotten_variable_begins_no_second_table(
        self, postgres_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Workspace(tmp_path / "home")
        monkeypatch.delenv(VARIABLE)
        told = refusal(tmp_path / "home", postgres_server.password)
        assert f"is in the database 127.0.0.1:{postgres_server.port}/postgres; name it in {VARIABLE}" in told
        assert not (tmp_path / "home" / "index.sqlite").exists()

    def test_an_empty_database_in_place_of_that_of_the_workspace(
        self, postgres_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Workspace(tmp_path / "home")
        monkeypatch.setenv(VARIABLE, postgres_server.new_database())
        assert "has no tables of this workspace" in refusal(tmp_path / "home", postgres_server.password)

    def test_tables_that_go_away(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "home")
        postgres_server.emptied_database()
        with pytest.raises(MucError, match=r"the tables in the database .* are gone"):
            workspace.encoders()

    def test_a_damaged_note_of_the_place(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        Workspace(tmp_path / "home")
        (tmp_path / "home" / "index.json").write_text("{")
        assert "index.json says where the index" in refusal(tmp_path / "home", postgres_server.password)

    def test_nothing_that_can_be_printed_holds_the_password(
        self, postgres_server: Server, url: str, tmp_path: Path
    ) -> None:
        workspace = Workspace(tmp_path / "home")
        database = workspace.database
        assert isinstance(database, PostgresDatabase)
        assert database.name == f"127.0.0.1:{postgres_server.port}/postgres"
        seen = [repr(database), repr(database._writer), repr(database._url), str(database._writer.url)]
        seen += [path.read_text() for path in workspace.home.iterdir() if path.is_file()]
        assert postgres_server.password not in "".join(seen)
        with pytest.raises(Exception, match="nothing") as defect, database.read() as connection:
            connection.execute(text("SELECT nothing('of it')"))
        assert not isinstance(defect.value, MucError)
        assert postgres_server.password not in "".join(traceback.format_exception(defect.value))


@pytest.mark.postgres
class TestTables:
    def test_all_who_open_it_at_once_find_one_index(self, url: str, tmp_path: Path) -> None:
        begin, faults = threading.Barrier(4), []

        def open_it() -> None:
            begin.wait()
            try:
                JobTable(Workspace(tmp_path / "home")).add("train", {}, unique=False)
            except Exception as fault:
                faults.append(fault)

        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(JobTable(Workspace(tmp_path / "home")).active()) == 4

    def test_of_two_that_queue_the_same_at_once_one_does(self, url: str, tmp_path: Path) -> None:
        table, begin, found = JobTable(Workspace(tmp_path / "home")), threading.Barrier(4), []

        def add() -> None:
            begin.wait()
            found.append(table.add("train", {"name": "a"}, unique=True))

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({job.id for job, _ in found}) == 1
        assert sum(is_new for _, is_new in found) == 1

    @pytest.mark.parametrize("version", sorted(STEPS))
    def test_an_earlier_version_is_brought_up_to_date(self, url: str, tmp_path: Path, version: int) -> None:
        workspace = Workspace(tmp_path / "home")
        job, _ = JobTable(workspace).add("train", {}, unique=False)
        new = columns_of(workspace)
        _undo(workspace, version)
        assert columns_of(workspace) != new
        again = Workspace(workspace.home)
        assert columns_of(again) == new
        assert version_of(again) == SCHEMA_VERSION
        assert JobTable(again).job(job.id).attempt == 1

    def test_a_step_that_fails_leaves_the_version_before(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace = Workspace(tmp_path / "home")
        _undo(workspace, 1)
        before = columns_of(workspace)
        monkeypatch.setitem(STEPS, 1, (*STEPS[1], "ALTER TABLE nonsense ADD COLUMN x INTEGER"))
        with pytest.raises(Exception, match="nonsense"):
            Workspace(workspace.home)
        assert (version_of(workspace), columns_of(workspace)) == (1, before)

    def test_a_newer_one_is_refused_and_left_alone(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "home")
        with workspace.database.write() as connection:
            connection.execute(text(f"UPDATE workspace SET version = {SCHEMA_VERSION + 1}"))
        told = refusal(workspace.home, postgres_server.password)
        assert f"was written by a newer version of this program (schema {SCHEMA_VERSION + 1}" in told
        assert version_of(workspace) == SCHEMA_VERSION + 1

    def test_what_sqlite_takes_comes_back(self, url: str, tmp_path: Path) -> None:
        table = JobTable(Workspace(tmp_path / "home"))
        job, _ = table.add("train", {"name": "a\0b", "rate": 1e-300, "none": None}, unique=False)
        table.tell(job.id, {"message": "zero \0 sign", "values": {"loss": float("nan"), "other": float("-inf")}})
        found = table.job(job.id)
        assert found.settings == {"name": "a\0b", "rate": 1e-300, "none": None}
        assert (str(found.values["loss"]), found.values["other"]) == ("nan", float("-inf"))
        assert found.message == "zero \ufffd sign"

    def test_text_sorts_by_its_bytes(self, url: str, tmp_path: Path) -> None:
        columns = inspect(_engine(Workspace(tmp_path / "home"))).get_columns("records")
        assert {column["name"]: getattr(column["type"], "collation", None) for column in columns}["created"] == "C"


@pytest.mark.postgres
class TestRestarts:
    def test_a_workspace_goes_on_after_the_server_was_away(
        self, postgres_server: Server, url: str, tmp_path: Path
    ) -> None:
        workspace = Workspace(tmp_path / "home")
        table = JobTable(workspace)
        job, _ = table.add("train", {}, unique=False)
        postgres_server.stop()
        try:
            with pytest.raises(MucError, match="could not be reached"):
                table.job(job.id)
        finally:
            postgres_server.start()
        assert table.job(job.id).state == "queued"

    def test_a_job_waits_until_it_is_back(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        table = JobTable(Workspace(tmp_path / "home", job="1"))
        job, _ = table.add("train", {}, unique=False)
        postgres_server.stop()
        later = threading.Timer(0.5, postgres_server.start)
        later.start()
        try:
            assert table.claim(job.id)
        finally:
            later.join()

    def test_it_goes_away_in_the_middle(self, postgres_server: Server, url: str, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "home")
        table = JobTable(workspace)
        job, _ = table.add("train", {}, unique=False)

        def change() -> None:
            with workspace.database.write() as connection:
                connection.execute(jobs.update().values(state="done"))
                postgres_server.stop()
                postgres_server.start()
                connection.execute(select(jobs))

        with pytest.raises(MucError, match="could not be reached"):
            change()
        assert table.job(job.id).state == "queued"

    def test_a_lock_that_somebody_keeps_is_said(
        self, postgres_server: Server, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, f"{url}?options=-c%20lock_timeout%3D100ms")
        workspace = Workspace(tmp_path / "home")
        with postgres_server.connect(url) as other, other.transaction():
            other.execute("LOCK TABLE jobs")
            with pytest.raises(MucError, match="kept busy by another process"):
                JobTable(workspace).add("train", {}, unique=False)

    def test_an_upper_limit_of_connections_is_said(
        self, postgres_server: Server, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with postgres_server.connect() as connection:
            connection.execute("DROP ROLE IF EXISTS narrow")
            connection.execute(f"CREATE ROLE narrow LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 0")
        monkeypatch.setenv(VARIABLE, postgres_server.url("postgres", user="narrow", password=SECRET))
        assert "takes no more connections" in refusal(tmp_path / "home", SECRET)


def _undo(workspace: Workspace, version: int) -> None:
    """Make the tables those of an earlier version: what its steps add is taken away."""
    with workspace.database.write() as connection:
        for step in range(version, SCHEMA_VERSION):
            for statement in STEPS[step]:
                words = statement.split()
                assert words[:2] + words[3:5] == ["ALTER", "TABLE", "ADD", "COLUMN"], "a step to be undone otherwise"
                connection.execute(text(f"ALTER TABLE {words[2]} DROP COLUMN {words[5]}"))
        connection.execute(identity.update().values(version=version))


def _engine(workspace: Workspace) -> object:
    assert isinstance(workspace.database, PostgresDatabase)
    return workspace.database._writer


def columns_of(workspace: Workspace) -> dict[str, dict[str, str]]:
    with workspace.database.read() as connection:
        seen = inspect(connection)
        return {
            table: {
                # but for the collation: columns that a step adds are not sorted by
                column[
                    "name"
                ]: f"{str(column['type']).partition(' COLLATE')[0]} {column['nullable']} {column['default']}"
                for column in seen.get_columns(table)
            }
            for table in metadata.tables
        }


def version_of(workspace: Workspace) -> int:
    with workspace.database.read() as connection:
        return int(connection.execute(select(identity.c.version)).scalar_one() or 0)
