"""Starting a job in a process of its own, cancelling it, and watching it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel

import muc_core
from muc_core.errors import MucError
from muc_core.jobs.launchers.settings import keep, launch_of
from muc_core.jobs.launchers.supervise import refuse_without_means
from muc_core.jobs.table import CANCEL_WITHIN_S, Job, JobTable, kill_worker
from muc_core.jobs.tasks import find_task
from muc_core.workspace import Workspace
from muc_core.workspace.files import writing
from muc_core.workspace.workspace import JOBS_WAIT_S


def submit(
    workspace: Workspace,
    kind: str,
    settings: BaseModel,
    *,
    unique: bool = False,
    launcher: str | None = None,
    task_modules: Sequence[str] = (),
) -> Job:
    """Queue a job and start its worker process, which waits for its turn.

    The worker outlives the calling process. It resolves relative paths as the caller would.

    Args:
        workspace: where the job is kept and works.
        kind: of the task.
        settings: an instance of the task's settings model.
        unique: return the queued or running job of the same kind and settings, if there is one, instead of a second.
        launcher: local, accelerate or slurm: by which processes the job is done, see `launchers`. None: as the
            workspace says, for kinds that several processes can do together.
        task_modules: further modules to import that register tasks.

    Raises:
        UnknownName: there is no such kind or launcher; lists the known ones.
        MucError: the workspace cannot be written, no process can be started, or the launcher is not to be had here or
            not for this kind.
    """
    task = find_task(kind, task_modules)
    if not isinstance(settings, task.settings):
        raise TypeError(f"{kind} takes {task.settings.__name__}, got {type(settings).__name__}")
    launch = launch_of(workspace, task, launcher)
    refuse_without_means(launch)
    table = JobTable(workspace)
    job, is_new = table.add(kind, settings.model_dump(mode="json"), unique=unique)
    if not is_new:
        return job
    try:
        keep(workspace, job.id, launch)
    except MucError as error:
        table.close(job.id, "failed", error=str(error))
        raise
    return _start_worker(workspace, table, job, task_modules)


def resume(workspace: Workspace, job_id: str, *, task_modules: Sequence[str] = ()) -> Job:
    """Go on with a job that failed, was cancelled or lost, in a new worker process.

    Training goes on from the state it kept last, to the same weights; measurements that were kept are not made again.

    Args:
        workspace: where the job is kept.
        job_id: of the job, which keeps its id.
        task_modules: as for `submit`.

    Raises:
        UnknownName: there is no such job, or its kind is not known.
        MucError: it is still going on or done; the workspace cannot be written or no process can be started.
    """
    table = JobTable(workspace)
    find_task(table.job(job_id).kind, task_modules)
    return _start_worker(workspace, table, table.queue_again(job_id), task_modules)


def _start_worker(workspace: Workspace, table: JobTable, job: Job, task_modules: Sequence[str]) -> Job:
    command = [sys.executable, "-m", "muc_core.jobs.worker", "--home", str(workspace.home)]
    for module in task_modules:
        command += ["--tasks", module]
    try:
        with writing(table.log(job.id)):
            log = table.log(job.id).open("ab")
        with log:
            process = _start([*command, job.id], log, worker_environment(workspace, os.environ))
    except MucError as error:
        table.close(job.id, "failed", error=str(error))
        raise
    table.attach(job.id, process.pid)
    # Somebody must wait for a child, or it stays behind as a zombie for as long as this process lives.
    threading.Thread(target=process.wait, name=f"wait for job {job.id}", daemon=True).start()
    return table.job(job.id)


def _start(command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        # no shell, and a module of ours
        return subprocess.Popen(  # nosec B603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    except OSError as error:
        raise MucError(f"the worker process could not be started ({error.strerror}); try again later") from error


def work(workspace: Workspace, *, every_s: float = 1.0, task_modules: Sequence[str] = ()) -> Iterator[Job | None]:
    """Take jobs that wait on other hosts, whenever this host has none, and do them here one after the other.

    Args:
        workspace: the same folder at the same path on all of these hosts, with its index in the same database.
        every_s: how long to wait before asking again.
        task_modules: as for `submit`.

    Yields:
        Each job when it was begun and when it is over, and None whenever there is none to take.

    Raises:
        MucError: the index is in SQLite, which is not shared, or the database is away for long.
    """
    if not workspace.database.shared:
        raise MucError(
            f"the queue of {workspace.home} is in a file, which other hosts do not share; move it to a database "
            "(`muc workspace move`)"
        )
    workspace.database.patience_s = JOBS_WAIT_S
    table = JobTable(workspace)
    while True:
        job = table.take()
        if job is None:
            yield None
            time.sleep(every_s)
            continue
        yield _start_worker(workspace, table, job, task_modules)
        *_, over = follow(workspace, job.id)
        yield over


def cancel(workspace: Workspace, job_id: str) -> Job:
    """Cancel a job; when this returns, within 2 s, it is in a final state (done, if it just finished).

    Raises:
        UnknownName: there is no such job.
    """
    table = JobTable(workspace)
    job = table.request_cancel(job_id)
    deadline = time.monotonic() + CANCEL_WITHIN_S
    while job.active and time.monotonic() < deadline:
        time.sleep(0.05)
        job = table.job(job_id)
    if job.started is None:
        kill_worker(job.pid, job.id)  # it only waits and has nothing to lose
    if job.active:
        # Its watching thread has no turn, because one call into compiled code keeps the interpreter for itself.
        kill_worker(job.pid, job.id)
        table.close(job.id, "cancelled")
    return table.job(job_id)


def follow(workspace: Workspace, job_id: str, *, every_s: float = 0.25) -> Iterator[Job]:
    """Yield a job again and again until it is in a final state, which is yielded too. Raises `UnknownName`."""
    table = JobTable(workspace)
    while True:
        job = table.job(job_id)
        yield job
        if not job.active:
            return
        time.sleep(every_s)


def worker_threads() -> int:
    """Threads a worker computes with: one core is left to the page."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # systems without affinities
        cores = os.cpu_count() or 1
    return max(1, cores - 1)


def worker_environment(workspace: Workspace, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker process. Numerical libraries read their threads from it when they are loaded."""
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(worker_threads())
    )
    result = {
        **environment,
        **threads,
        "NUMBA_CACHE_DIR": str(workspace.numba_folder),
        "PYTHONUNBUFFERED": "1",
    }
    source = Path(muc_core.__file__).parents[1]
    if source.name not in ("site-packages", "dist-packages"):
        # Run from a checkout that is not installed: the worker must find the same one.
        result["PYTHONPATH"] = os.pathsep.join([str(source), *filter(None, [environment.get("PYTHONPATH")])])
    return result
