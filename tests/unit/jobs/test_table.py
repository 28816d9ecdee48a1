"""The table of jobs by itself: what is accepted, who is given up and when, and which changes of state are possible."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy import update

from muc_core.errors import MucError, UnknownName
from muc_core.jobs import JobTable, cancel, submit
from muc_core.jobs.launcher import worker_environment
from muc_core.jobs.table import CANCEL_WITHIN_S, SILENT_AFTER_S, START_WITHIN_S, State, kill_worker
from muc_core.jobs.tasks import TASKS, Task, find_task, task_kinds
from muc_core.jobs.worker import HISTORY_POINTS, History
from muc_core.workspace import Workspace
from muc_core.workspace.tables import jobs
from tests.unit.jobs import sample_tasks
from tests.unit.jobs.sample_tasks import Sample


@pytest.fixture
def workspace(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    return Workspace(tmp_path / "home")


@pytest.fixture
def table(workspace: Workspace) -> JobTable:
    return JobTable(workspace)


@pytest.fixture
def impostor() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with jobs."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def queue(table: JobTable, *, pid: int | None = None, state: str = "queued") -> str:
    job, _ = table.add("count", {"label": ""}, unique=False)
    if pid is not None:
        table.attach(job.id, pid)
    if state == "running":
        assert table.claim(job.id)
    return job.id


def pretend(workspace: Workspace, job_id: str, **columns: object) -> None:
    with workspace.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**columns))


class TestSubmit:
    def test_an_unknown_kind_lists_the_known_ones(self, workspace: Workspace) -> None:
        with pytest.raises(UnknownName, match=r"no kind of job 'cook'; known: .*embedding_map"):
            submit(workspace, "cook", Sample())
        assert JobTable(workspace).jobs() == []

    def test_settings_of_another_kind_are_refused(self, workspace: Workspace) -> None:
        class Other(BaseModel):
            label: str = ""

        with pytest.raises(TypeError, match="count takes Sample, got Other"):
            submit(workspace, "count", Other())
        assert JobTable(workspace).jobs() == []

    def test_a_second_submission_of_the_same_returns_the_first(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[list[str]] = []
        monkeypatch.setattr("muc_core.jobs.launcher._start", _sleeper(started))
        options = Sample(label="a", numbers=(1.0, 0.1), folder=Path("x"))
        first = submit(workspace, "count", options, unique=True)
        assert submit(workspace, "count", options.model_copy(), unique=True).id == first.id
        assert len(started) == 1
        others = [
            submit(workspace, "count", options),
            submit(workspace, "count", Sample(label="b"), unique=True),
            submit(workspace, "look_around", options, unique=True),
        ]
        assert len({first.id, *(other.id for other in others)}) == 4
        JobTable(workspace).close(first.id, "done")
        JobTable(workspace).close(others[0].id, "done")
        assert submit(workspace, "count", options, unique=True).id not in (first.id, others[0].id)
        for job in JobTable(workspace).active():
            cancel(workspace, job.id)

    def test_a_worker_that_cannot_be_started_is_said(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(workspace.home / "no-python"))
        with pytest.raises(MucError, match="could not be started"):
            submit(workspace, "count", Sample())
        (job,) = JobTable(workspace).jobs()
        assert job.state == "failed"
        assert "could not be started" in str(job.error)

    def test_the_environment_of_a_worker(self, workspace: Workspace) -> None:
        environment = worker_environment(workspace, {"OMP_NUM_THREADS": "64", "KEPT": "x", "PYTHONPATH": "/y"})
        assert environment["OMP_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] != "64"
        assert environment["KEPT"] == "x"
        assert environment["PYTHONPATH"].split(os.pathsep) == [str(Path(__file__).parents[3]), "/y"]


def _sleeper(started: list[list[str]]) -> object:
    def start(command: list[str], _log: object, _environment: object) -> "subprocess.Popen[bytes]":
        started.append(command)
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", command[-1]])

    return start


class TestTable:
    def test_an_unknown_job(self, table: JobTable) -> None:
        with pytest.raises(UnknownName, match="no job 'x'"):
            table.job("x")
        with pytest.raises(UnknownName):
            table.request_cancel("x")

    def test_jobs_by_state(self, table: JobTable) -> None:
        first, second = queue(table), queue(table)
        table.close(first, "done", result={"a": [1]})
        assert [job.id for job in table.jobs()] == [second, first]
        assert [job.id for job in table.jobs(states=["done"])] == [first]
        assert [job.id for job in table.active()] == [second]
        assert table.job(first).result == {"a": [1]}
        assert len(table.jobs(limit=1)) == 1

    def test_the_first_to_close_a_job_has_the_say(self, table: JobTable) -> None:
        job_id = queue(table)
        assert table.close(job_id, "cancelled")
        assert not table.close(job_id, "done", result={"late": True})
        assert not table.claim(job_id)
        table.tell(job_id, {"message": "late"})
        job = table.job(job_id)
        assert (job.state, job.message, job.result) == ("cancelled", "", {})

    def test_what_the_worker_asks(self, table: JobTable) -> None:
        first, second = queue(table, pid=None), queue(table)
        assert (table.waiting_before(first), table.waiting_before(second)) == (0, 1)
        assert table.is_wanted(first) is True
        table.claim(first)
        assert table.waiting_before(second) == 1
        table.request_cancel(first)
        assert table.is_wanted(first) is False
        table.close(first, "cancelled")
        assert table.is_wanted(first) is None
        assert table.waiting_before(second) == 0

    def test_jobs_survive_when_the_workspace_is_opened_again(self, workspace: Workspace, table: JobTable) -> None:
        job_id = queue(table)
        assert JobTable(Workspace(workspace.home)).job(job_id).state == "queued"


class TestGivenUp:
    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_the_process_is_gone(self, table: JobTable, state: str) -> None:
        job_id = queue(table, pid=2**22 + 1, state=state)
        job = table.job(job_id)
        assert job.state == "lost"
        assert f"process {2**22 + 1} is gone" in str(job.error)
        assert str(table.log(job_id)) in str(job.error)

    def test_another_process_with_its_pid_is_not_taken_for_it(
        self, table: JobTable, impostor: "subprocess.Popen[bytes]"
    ) -> None:
        job_id = queue(table, pid=impostor.pid, state="running")
        assert table.job(job_id).state == "lost"
        kill_worker(impostor.pid, job_id)
        assert impostor.poll() is None

    def test_a_silent_worker_is_given_up_and_killed(self, table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
        now = time.monotonic()
        monkeypatch.setattr("muc_core.jobs.table._ticks", lambda: now)
        job_id = queue(table, state="running")
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", job_id]) as worker:
            table.attach(job_id, worker.pid)
            assert table.job(job_id).state == "running"
            now += SILENT_AFTER_S + 1
            job = table.job(job_id)
            assert job.state == "lost"
            assert "no sign of life for 121 s" in str(job.error)
            assert worker.wait(timeout=5) != 0

    def test_a_clock_that_is_set_changes_nothing(self, workspace: Workspace, table: JobTable) -> None:
        job_id = queue(table, state="running")
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", job_id]) as worker:
            table.attach(job_id, worker.pid)
            pretend(workspace, job_id, heartbeat=time.time() - 86400)
            assert table.job(job_id).state == "running"
            worker.kill()

    def test_a_job_whose_submitter_died_before_starting_a_worker(self, workspace: Workspace, table: JobTable) -> None:
        job_id = queue(table)
        pretend(workspace, job_id, ticks=time.monotonic() - START_WITHIN_S + 5)
        assert table.job(job_id).state == "queued"
        pretend(workspace, job_id, ticks=time.monotonic() - START_WITHIN_S - 1)
        assert "it was never started" in str(table.job(job_id).error)

    def test_processes_of_another_machine_are_judged_by_how_long_none_of_their_signs_came(
        self, workspace: Workspace, table: JobTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.monotonic()
        monkeypatch.setattr("muc_core.jobs.table._ticks", lambda: now)
        job_id = queue(table, pid=1, state="running")
        # that machine's clock, or this one's, may be wrong by a day
        pretend(workspace, job_id, host="elsewhere", heartbeat=time.time() - 86400)
        assert table.job(job_id).state == "running"
        now += SILENT_AFTER_S - 1
        assert table.job(job_id).state == "running"
        pretend(workspace, job_id, heartbeat=time.time() - 86399)
        now += SILENT_AFTER_S - 1
        assert table.job(job_id).state == "running"
        now += SILENT_AFTER_S + 1
        assert "no sign of life from elsewhere for 121 s" in str(table.job(job_id).error)

    def test_an_overdue_wish_to_cancel_is_carried_out_by_whoever_looks(
        self, workspace: Workspace, table: JobTable
    ) -> None:
        job_id = queue(table, state="running")
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", job_id]) as worker:
            table.attach(job_id, worker.pid)
            assert table.request_cancel(job_id).state == "running"
            assert table.job(job_id).cancel_requested
            pretend(workspace, job_id, cancel_ticks=time.monotonic() - CANCEL_WITHIN_S - 0.1)
            assert table.job(job_id).state == "cancelled"
            assert worker.wait(timeout=5) != 0

    def test_a_worker_that_died_while_being_cancelled_is_cancelled(self, table: JobTable) -> None:
        job_id = queue(table, pid=2**22 + 1, state="queued")
        table.claim(job_id)
        table.request_cancel(job_id)
        assert table.job(job_id).state in ("cancelled", "lost")


class TestGoingOn:
    @pytest.mark.parametrize("state", ["lost", "failed", "cancelled"])
    def test_what_ended_without_a_result_is_queued_again_under_its_id(self, table: JobTable, state: State) -> None:
        first, second = queue(table, state="running"), queue(table)
        table.tell(first, {"step": 3, "total": 9, "message": "working"})
        table.close(first, state, error="something")
        job = table.queue_again(first)
        assert (job.id, job.state, job.attempt, job.error) == (first, "queued", 2, None)
        assert (job.started, job.finished, job.seconds, job.pid) == (None, None, None, None)
        assert [active.id for active in table.active()] == [first, second]

    @pytest.mark.parametrize("state", ["queued", "running", "done"])
    def test_nothing_else_is(self, table: JobTable, state: State) -> None:
        job_id = queue(table, state="running" if state == "running" else "queued")
        if state == "done":
            table.close(job_id, "done")
        with pytest.raises(MucError, match=f"is {state}; only one that failed, was cancelled or lost"):
            table.queue_again(job_id)
        with pytest.raises(UnknownName):
            table.queue_again("x")

    def test_a_worker_that_was_given_up_and_lives_changes_nothing_any_more(self, table: JobTable) -> None:
        job_id = queue(table)
        first = table.attach(job_id, os.getpid())
        assert table.claim(job_id, attempt=first)
        table.close(job_id, "lost")
        second = table.queue_again(job_id).attempt
        assert table.is_wanted(job_id, attempt=first) is None
        assert not table.claim(job_id, attempt=first)
        table.tell(job_id, {"message": "from the grave"}, attempt=first)
        assert not table.close(job_id, "done", attempt=first)
        job = table.job(job_id)
        assert (job.state, job.message, job.attempt) == ("queued", "", second)
        assert table.claim(job_id, attempt=second)
        assert table.close(job_id, "done", attempt=second)

    def test_how_long_it_ran_is_told_by_a_clock_that_nobody_sets(
        self, workspace: Workspace, table: JobTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.monotonic()
        monkeypatch.setattr("muc_core.jobs.table._ticks", lambda: now)
        job_id = queue(table, state="running")
        monkeypatch.setattr("muc_core.jobs.table.time.time", lambda: 0.0)
        now += 7
        table.close(job_id, "done")
        job = table.job(job_id)
        assert job.seconds == 7
        assert job.finished is not None
        assert job.started is not None
        assert job.finished < job.started
        pretend(workspace, job_id, started_ticks=now + 1)  # the machine was started anew
        assert table.job(job_id).seconds is None


class TestTasks:
    def test_a_file_is_a_kind(self) -> None:
        assert "embedding_map" in task_kinds()
        assert "count" in task_kinds()

    def test_each_file_registers_the_task_of_its_name(self) -> None:
        for kind in task_kinds():
            assert find_task(kind).kind == kind

    def test_a_kind_is_registered_once(self) -> None:
        with pytest.raises(ValueError, match="already registered"):
            TASKS.register("count", Task("count", Sample, sample_tasks.count))


class TestHistory:
    def test_few_points_are_all_kept(self) -> None:
        history = History()
        assert history.points() == []
        for step in range(5):
            history.add(step, {"loss": step})
        assert history.points() == [(step, {"loss": step}) for step in range(5)]

    def test_many_points_are_thinned_evenly_and_the_latest_kept(self) -> None:
        history = History()
        for step in range(100_000):
            history.add(step, {"loss": float(step)})
            if step % 997 == 0:
                assert len(history.points()) <= HISTORY_POINTS + 1
        steps = [step for step, _ in history.points()]
        assert steps[0] == 0
        assert steps[-1] == 99_999
        assert len(steps) > HISTORY_POINTS // 3
        assert len({after - before for before, after in pairwise(steps[:-1])}) == 1
