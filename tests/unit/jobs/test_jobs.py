"""Jobs in real worker processes: turns, progress, ends of every kind, cancelling in time, and deaths noticed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from muc_core.jobs import Job, JobTable, cancel, follow, submit
from muc_core.jobs.launcher import worker_threads
from muc_core.workspace import Workspace
from tests.unit.jobs.limits import CANCELLED_WITHIN_S, leave_killing_to_the_worker
from tests.unit.jobs.sample_tasks import Sample

MODULE = "tests.unit.jobs.sample_tasks"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    workspace = Workspace(tmp_path / "home")
    yield workspace
    for job in JobTable(workspace).active():
        cancel(workspace, job.id)


def start(workspace: Workspace, kind: str, settings: Sample | None = None, *, unique: bool = False) -> Job:
    return submit(workspace, kind, settings or Sample(), unique=unique, task_modules=[MODULE])


def nobodys_turn(workspace: Workspace) -> FileLock:
    """While this is held no worker begins its job, however long the test is kept waiting."""
    return FileLock(JobTable(workspace).slot)


def finish(workspace: Workspace, job: Job) -> Job:
    return list(follow(workspace, job.id, every_s=0.05))[-1]


def wait_until(workspace: Workspace, job: Job, condition: Callable[[Job], bool], *, seconds: float = 40) -> Job:
    deadline = time.monotonic() + seconds
    while not condition(found := JobTable(workspace).job(job.id)):
        assert time.monotonic() < deadline, f"what was waited for did not happen: {found}"
        time.sleep(0.02)
    return found


def is_gone(pid: int | None) -> bool:
    assert pid is not None
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pid: int | None) -> None:
    deadline = time.monotonic() + CANCELLED_WITHIN_S
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


class TestEnds:
    def test_a_job_that_ends_well(self, workspace: Workspace) -> None:
        with nobodys_turn(workspace):
            job = start(workspace, "count", Sample(label="a", steps=3))
        assert job.state == "queued"
        job = finish(workspace, job)
        assert (job.state, job.error) == ("done", None)
        assert job.result == {"label": "a", "steps": 3}
        assert (job.step, job.total, job.message) == (3, 3, "a step 3")
        assert job.history == ((1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 1 / 3}))
        assert job.started is not None
        assert job.finished is not None
        assert job.created <= job.started <= job.finished
        wait_until_gone(job.pid)

    def test_the_user_is_told_what_she_can_mend(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "be_wrong"))
        assert job.state == "failed"
        assert job.error == "the forget set is empty; name at least one item"
        assert (job.step, job.message) == (3, "about to fail")
        assert "NaN" in job.model_dump_json()

    def test_a_defect_is_a_sentence_and_its_traceback_is_in_the_log(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "be_broken"))
        log = JobTable(workspace).log(job.id)
        assert job.state == "failed"
        assert job.error == f"the job ended with an unexpected ZeroDivisionError; the details are in {log}"
        assert "Traceback" in log.read_text()
        assert "a secret detail" in log.read_text()

    def test_other_failures(self, workspace: Workspace) -> None:
        nonsense, memory = start(workspace, "give_back_nonsense"), start(workspace, "run_out_of_memory")
        assert "unexpected TypeError" in str(finish(workspace, nonsense).error)
        assert "ran out of memory" in str(finish(workspace, memory).error)

    def test_a_worker_that_dies_is_found_lost(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "kill_itself"))
        assert job.state == "lost"
        assert str(job.error).startswith("the worker process ended without a word (process ")
        assert str(job.error).endswith(f"or by `muc jobs resume {job.id}`; nothing already saved is lost")
        assert (job.step, job.message) == (1, "alive")
        assert "famous last words" in JobTable(workspace).log(job.id).read_text()
        assert finish(workspace, start(workspace, "count")).state == "done"

    def test_a_worker_killed_in_the_queue_is_found_lost(self, workspace: Workspace) -> None:
        first = start(workspace, "block")
        waiting = start(workspace, "count")
        wait_until(workspace, waiting, lambda job: "waiting" in job.message)
        assert waiting.pid is not None
        os.kill(waiting.pid, signal.SIGKILL)
        assert finish(workspace, waiting).state == "lost"
        assert JobTable(workspace).job(first.id).active


class TestProcess:
    def test_what_the_worker_is_like(self, workspace: Workspace) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        try:
            job = start(workspace, "look_around")
        finally:
            os.close(reading)
            os.close(writing)
        job = finish(workspace, job)
        cores = len(os.sched_getaffinity(0))
        assert worker_threads() == max(1, cores - 1)
        assert job.result["threads"] == job.result["numba_threads"] == str(worker_threads())
        assert job.result["numba_cache"] == str(workspace.home / "cache" / "numba")
        assert job.result["job"] == job.id
        assert job.result["home"] == str(workspace.home)
        assert job.result["session"] is True
        assert job.result["folder"] == str(Path.cwd())
        descriptors = job.result["descriptors"]
        assert isinstance(descriptors, list)
        assert "/dev/null" in descriptors
        assert not [one for one in descriptors if str(one).startswith("pipe:")]

    def test_what_waits_its_turn_has_not_loaded_torch(self) -> None:
        # The split's module names the type of a data set, and that module needs torch; here it is a stand-in.
        code = """
            import sys, types
            data = types.ModuleType("muc_core.data.dataset")
            data.ImageTextDataset = object
            sys.modules[data.__name__] = data
            import muc_core.jobs.worker
            sys.exit("torch" in sys.modules)
        """
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert (
            subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, check=False).returncode == 0
        )

    def test_torch_takes_one_core_less(self, workspace: Workspace) -> None:
        assert finish(workspace, start(workspace, "use_torch")).result == {"threads": worker_threads()}

    def test_a_job_outlives_the_process_that_submitted_it(self, workspace: Workspace) -> None:
        code = f"""
            import os, signal, sys
            from pathlib import Path
            from muc_core.jobs import submit
            from muc_core.workspace import Workspace
            from {MODULE} import Sample
            job = submit(Workspace(Path(sys.argv[1])), "count", Sample(steps=8), task_modules=["{MODULE}"])
            print(job.id, flush=True)
            os.killpg(0, signal.SIGKILL)
        """
        with nobodys_turn(workspace):
            submitter = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(code), str(workspace.home)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                start_new_session=True,
                check=False,
            )
            assert submitter.returncode == -signal.SIGKILL
            (job,) = JobTable(workspace).jobs()
        assert job.id == submitter.stdout.decode().strip()
        assert job.active
        assert finish(workspace, job).result["steps"] == 8


class TestTurns:
    def test_one_at_a_time_and_the_oldest_first(self, workspace: Workspace, tmp_path: Path) -> None:
        with nobodys_turn(workspace):
            jobs = [
                start(workspace, "count", Sample(label=label, steps=2, pause_s=0.15, folder=tmp_path))
                for label in "abc"
            ]
            assert [job.id for job in JobTable(workspace).active()] == [job.id for job in jobs]
            last = wait_until(workspace, jobs[2], lambda job: job.message != "")
        assert last.message == "waiting for 2 earlier jobs"
        ended = [finish(workspace, job) for job in jobs]
        assert [job.state for job in ended] == ["done"] * 3
        assert (tmp_path / "notes").read_text().split("\n")[:-1] == [
            f"{label} {what}" for label in "abc" for what in ("begins", "ends")
        ]
        assert [job.id for job in JobTable(workspace).jobs()] == [job.id for job in jobs[::-1]]

    def test_the_slot_is_free_again_after_a_crash_and_after_cancelling(self, workspace: Workspace) -> None:
        crash, blocked, good = start(workspace, "kill_itself"), start(workspace, "block"), start(workspace, "count")
        wait_until(workspace, blocked, lambda job: job.message == "blocked")
        assert JobTable(workspace).job(crash.id).state == "lost"
        assert JobTable(workspace).job(good.id).state == "queued"
        assert cancel(workspace, blocked.id).state == "cancelled"
        assert finish(workspace, good).state == "done"


class TestProgress:
    def test_progress_is_seen_while_the_job_runs(self, workspace: Workspace, tmp_path: Path) -> None:
        job = start(workspace, "count", Sample(label="n", steps=80, pause_s=0.02, on_request=True, folder=tmp_path))
        for step in range(1, 81):
            if step <= 4:  # those to be seen on the way
                wait_until(workspace, job, lambda job, step=step: job.step == step)  # type: ignore[misc]
            (tmp_path / str(step)).touch()
        ended = finish(workspace, job)
        assert ended.step == 80
        assert ended.values == {"loss": 1 / 80}
        assert [step for step, _ in ended.history] == list(range(1, 81))

    def test_a_heartbeat_is_given_without_any_report(self, workspace: Workspace) -> None:
        job = wait_until(workspace, start(workspace, "block"), lambda job: job.message == "blocked")
        later = wait_until(workspace, job, lambda now: (now.heartbeat - job.heartbeat).total_seconds() >= 1.5)
        assert later.state == "running"


class TestCancel:
    def cancel_in_time(self, workspace: Workspace, job: Job) -> Job:
        begun = time.monotonic()
        cancelled = cancel(workspace, job.id)
        took = time.monotonic() - begun
        assert cancelled.state == "cancelled"
        assert cancelled.error is None
        assert cancelled.finished is not None
        assert took < CANCELLED_WITHIN_S
        wait_until_gone(job.pid)
        return cancelled

    def test_a_job_that_reports(self, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave_killing_to_the_worker(monkeypatch)
        job = start(workspace, "tidy_up", Sample(label="t", folder=tmp_path))
        wait_until(workspace, job, lambda job: job.message == "working")
        self.cancel_in_time(workspace, job)
        assert (tmp_path / "notes").read_text() == "t tidied up\n"

    def test_a_job_that_waits_its_turn(self, workspace: Workspace) -> None:
        start(workspace, "block")
        waiting = start(workspace, "count")
        wait_until(workspace, waiting, lambda job: "waiting" in job.message)
        cancelled = self.cancel_in_time(workspace, waiting)
        assert cancelled.started is None

    def test_a_job_that_has_only_been_submitted(self, workspace: Workspace) -> None:
        with nobodys_turn(workspace):
            job = start(workspace, "count")
            assert cancel(workspace, job.id).state == "cancelled"
        wait_until_gone(job.pid)
        assert JobTable(workspace).job(job.id).started is None

    @pytest.mark.parametrize("kind", ["block", "block_everything", "be_stubborn"])
    def test_a_job_that_does_not_heed(
        self, workspace: Workspace, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if kind == "be_stubborn":
            leave_killing_to_the_worker(monkeypatch)
        job = start(workspace, kind, Sample(label="s", folder=tmp_path))
        wait_until(workspace, job, lambda job: job.message in ("blocked", "stubborn"))
        time.sleep(0.8)
        self.cancel_in_time(workspace, job)
        if kind == "be_stubborn":
            assert "s heard" in (tmp_path / "notes").read_text()

    def test_the_worker_ends_itself_when_the_canceller_has_gone(self, workspace: Workspace) -> None:
        job = wait_until(workspace, start(workspace, "block"), lambda job: job.message == "blocked")
        JobTable(workspace).request_cancel(job.id)
        begun = time.monotonic()
        wait_until_gone(job.pid)
        assert time.monotonic() - begun < CANCELLED_WITHIN_S
        assert JobTable(workspace).job(job.id).state == "cancelled"

    def test_what_the_worker_started_ends_with_it(self, workspace: Workspace) -> None:
        job = wait_until(workspace, start(workspace, "block_with_child"), lambda job: job.message.isdigit())
        self.cancel_in_time(workspace, job)
        wait_until_gone(int(job.message))

    def test_a_finished_job_stays_as_it_is(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "count"))
        assert cancel(workspace, job.id) == job
