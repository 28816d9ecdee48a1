"""One queue in PostgreSQL for many hosts: each job is done once, whoever is killed and whenever the server is away.

Another host is played by processes that find another name of this machine.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.errors import MucError
from muc_core.jobs import Job, JobTable, cancel, follow, launcher, resume, submit
from muc_core.jobs.table import CANCEL_WITHIN_S, SILENT_AFTER_S
from muc_core.workspace import Workspace
from muc_core.workspace.place import VARIABLE
from muc_core.workspace.tables import jobs
from tests.postgres import Server
from tests.unit.jobs.sample_tasks import Sample

pytestmark = pytest.mark.postgres

MODULE = "tests.unit.jobs.sample_tasks"
ROOT = Path(__file__).parents[3]
ELSEWHERE = """
import platform, sys
name, code = sys.argv.pop(1), sys.argv.pop(1)
platform.node = lambda: name
exec(code)
"""
WORKER = "from muc_core.jobs import worker; worker.main()"
TAKER = f"""
from pathlib import Path
from muc_core.jobs import launcher
from muc_core.workspace import Workspace
begin = launcher._start
launcher._start = lambda command, log, environment: begin(
    [sys.executable, "-c", {ELSEWHERE!r}, name, {WORKER!r}, *command[3:]], log, environment
)
for job in launcher.work(Workspace(Path(sys.argv[1])), every_s=0.1, task_modules=["{MODULE}"]):
    print(job and job.id, flush=True)
    if job is None:
        break
"""


@pytest.fixture
def workspace(postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv(VARIABLE, postgres_server.emptied_database())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    workspace = Workspace(tmp_path / "home")
    yield workspace
    for job in JobTable(workspace).active():
        cancel(workspace, job.id)


def start(workspace: Workspace, kind: str, settings: Sample | None = None) -> Job:
    return submit(workspace, kind, settings or Sample(), task_modules=[MODULE])


def finish(workspace: Workspace, job: Job) -> Job:
    return list(follow(workspace, job.id, every_s=0.05))[-1]


def wait_for(workspace: Workspace, job: Job, state: str) -> Job:
    deadline = time.monotonic() + 60
    while (found := JobTable(workspace).job(job.id)).state != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def host_of(workspace: Workspace, job_id: str) -> str:
    with workspace.database.read() as connection:
        return str(connection.execute(select(jobs.c.host).where(jobs.c.id == job_id)).scalar_one())


def pretend(workspace: Workspace, job_id: str, **columns: object) -> None:
    with workspace.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**columns))


class TestTaking:
    def queued(self, workspace: Workspace, number: int, *, host: str = "busy") -> list[str]:
        """Jobs that wait on another host behind one that runs there."""
        table = JobTable(workspace)
        made = [table.add("count", {"label": str(label)}, unique=False)[0].id for label in range(number + 1)]
        for job_id in made:
            pretend(workspace, job_id, host=host)
        pretend(workspace, made[0], state="running")
        return made[1:]

    def test_of_many_hosts_that_ask_at_once_each_gets_another(self, workspace: Workspace) -> None:
        waiting = self.queued(workspace, 20)
        pipes = []
        for number in range(4):
            reading, writing = os.pipe()
            if os.fork() == 0:
                try:
                    platform.node = lambda name=f"host{number}": name  # type: ignore[misc]
                    table, found = JobTable(Workspace(workspace.home)), []
                    while (job := table.take()) is not None:
                        found.append(job.id)
                        table.close(job.id, "done", attempt=job.attempt)
                    os.write(writing, json.dumps(found).encode())
                finally:
                    os._exit(0)
            os.close(writing)
            pipes.append(reading)
        taken = []
        for reading in pipes:
            with os.fdopen(reading) as said:
                taken.append(json.loads(said.read()))
            os.wait()
        assert Counter(job_id for found in taken for job_id in found) == Counter(waiting)
        assert all(found == sorted(found) for found in taken)

    def test_what_another_holds_is_passed_over(self, workspace: Workspace, postgres_server: Server) -> None:
        first, second = self.queued(workspace, 2)
        with postgres_server.connect(os.environ[VARIABLE]) as other, other.transaction():
            other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [first])
            assert (job := JobTable(workspace).take()) is not None
        assert (job.id, job.state, job.attempt) == (second, "queued", 2)
        assert host_of(workspace, second) == platform.node()

    def test_what_is_next_on_its_host_stays_there(self, workspace: Workspace) -> None:
        waiting = self.queued(workspace, 1)
        table = JobTable(workspace)
        (running,) = [job.id for job in table.active() if job.id not in waiting]
        table.close(running, "done")
        assert table.take() is None

    def test_a_host_that_has_work_takes_none(self, workspace: Workspace) -> None:
        self.queued(workspace, 2)
        table = JobTable(workspace)
        assert table.take() is not None
        assert table.take() is None

    def test_a_worker_whose_job_was_taken_cannot_begin_it(self, workspace: Workspace) -> None:
        (job_id,) = self.queued(workspace, 1)
        table = JobTable(workspace)
        assert (job := table.take()) is not None
        assert not table.claim(job_id, attempt=1)
        assert table.is_wanted(job_id, attempt=1) is None
        pretend(workspace, job_id, host="third")
        assert table.attach(job_id, os.getpid()) == 0  # one that is slow to start
        assert table.job(job_id).pid is None
        pretend(workspace, job_id, host=platform.node())
        assert table.claim(job_id, attempt=job.attempt)

    def test_a_file_is_not_shared(self, tmp_path: Path) -> None:
        with pytest.raises(MucError, match="is in a file, which other hosts do not share"):
            next(launcher.work(Workspace(tmp_path / "alone")))

    def test_the_command_ends_when_nothing_waits(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MUC_HOME", str(workspace.home))
        told = CliRunner().invoke(app, ["jobs", "work", "--until-empty"])
        assert (told.exit_code, told.output) == (0, "")


class TestClocks:
    def test_a_wish_to_cancel_from_another_host_counts_from_when_it_is_seen(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1e6  # this host runs for long
        monkeypatch.setattr("muc_core.jobs.table._ticks", lambda: now)
        table = JobTable(workspace)
        job, _ = table.add("count", {}, unique=False)
        table.claim(job.id)
        pretend(workspace, job.id, host="elsewhere", ticks=5.0, started_ticks=2.0)
        table.request_cancel(job.id)
        assert table.job(job.id).state == "running"
        now += CANCEL_WITHIN_S - 0.1
        assert table.job(job.id).state == "running"
        now += 0.2
        closed = table.job(job.id)
        assert (closed.state, closed.seconds) == ("cancelled", 3.0)

    def test_nobody_is_silent_while_the_server_is_away(
        self, workspace: Workspace, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.monotonic()
        monkeypatch.setattr("muc_core.jobs.table._ticks", lambda: now)
        table = JobTable(workspace)
        job, _ = table.add("count", {}, unique=False)
        table.claim(job.id)
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", job.id]) as process:
            table.attach(job.id, process.pid)
            assert table.job(job.id).state == "running"
            postgres_server.stop()
            now += SILENT_AFTER_S + 1
            with pytest.raises(MucError, match="could not be reached"):
                table.job(job.id)
            postgres_server.start()
            assert table.job(job.id).state == "running"
            now += SILENT_AFTER_S + 1
            assert "no sign of life for 121 s" in str(table.job(job.id).error)
            assert process.wait(timeout=5) != 0


class TestWorkers:
    def test_two_hosts_do_each_job_once(self, workspace: Workspace, tmp_path: Path) -> None:
        made = [start(workspace, "count", Sample(label="0", on_request=True, folder=tmp_path))]
        wait_for(workspace, made[0], "running")
        made += [start(workspace, "count", Sample(label=str(label), folder=tmp_path)) for label in (1, 2)]
        helper = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, "other", TAKER, str(workspace.home)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        )
        (tmp_path / "1").touch()
        took = helper.stdout.split()
        assert took[-1] == "None"
        assert {host_of(workspace, job_id) for job_id in took[:-1]} == {"other"}
        assert [finish(workspace, job).state for job in made] == ["done"] * 3
        assert {job.id for job in made[1:]} >= set(took[:-1]) != set()
        assert sorted((tmp_path / "notes").read_text().split("\n")[:-1]) == sorted(
            f"{label} {what}" for label in "012" for what in ("begins", "ends")
        )

    def test_a_worker_that_is_killed_is_found_lost_and_gone_on_with(self, workspace: Workspace, tmp_path: Path) -> None:
        job = start(workspace, "count", Sample(on_request=True, folder=tmp_path))
        running = wait_for(workspace, job, "running")
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        lost = finish(workspace, job)
        assert (lost.state, f"muc jobs resume {job.id}" in str(lost.error)) == ("lost", True)
        (tmp_path / "1").touch()
        again = finish(workspace, resume(workspace, job.id, task_modules=[MODULE]))
        assert (again.state, again.attempt, again.result["steps"]) == ("done", 2, 1)

    def test_the_server_is_restarted_under_a_job_and_one_that_waits(
        self, workspace: Workspace, postgres_server: Server
    ) -> None:
        job = start(workspace, "count", Sample(steps=30, pause_s=0.05))
        wait_for(workspace, job, "running")
        waiting = start(workspace, "be_wrong")
        while not JobTable(workspace).job(waiting.id).message:
            time.sleep(0.02)
        postgres_server.stop()
        time.sleep(2)  # longer than the job takes: its end is noted when the server is back
        postgres_server.start()
        done = finish(workspace, job)
        assert (done.state, done.step, done.result["steps"]) == ("done", 30, 30)
        assert len(done.history) == 30
        failed = finish(workspace, waiting)
        assert (failed.state, str(failed.values["loss"])) == ("failed", "nan")
        for one in (job, waiting):
            assert postgres_server.password not in JobTable(workspace).log(one.id).read_text()
