"""The process that does one job: waits for its turn, runs the task, and says what became of it.

    python -m muc_core.jobs.worker --home FOLDER [--tasks MODULE ...] JOB_ID

A second thread writes what the task reports, gives a sign of life every second, and sees to it that a cancelled job
ends in time even if the task never reports again. Heavy libraries are imported only when the job has its turn.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import JsonValue, ValidationError

from muc_core.encoders.manifest import explain
from muc_core.errors import Cancelled, MucError
from muc_core.jobs.ends import end_of
from muc_core.jobs.launcher import worker_threads
from muc_core.jobs.launchers.board import Order
from muc_core.jobs.launchers.settings import kept
from muc_core.jobs.launchers.supervise import done_by_many
from muc_core.jobs.table import JobTable, kill_worker
from muc_core.jobs.tasks import find_task
from muc_core.workspace import Workspace

TICK_S = 0.2
HEARTBEAT_S = 1.0
STOP_WITHIN_S = 1.2
"""From noticing the wish to cancel to giving up on the task; the table's own limit is a little later."""

HISTORY_POINTS = 400

Done = TypeVar("Done")


class History:
    """Figures along the way, evenly thinned to at most `HISTORY_POINTS`; the latest is always among them."""

    def __init__(self) -> None:
        self._points: list[tuple[int, dict[str, float]]] = []
        self._latest: tuple[int, dict[str, float]] | None = None
        self._seen = 0
        self._stride = 1

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._latest = (step, dict(values))
        if self._seen % self._stride == 0:
            self._points.append(self._latest)
        self._seen += 1
        if len(self._points) >= HISTORY_POINTS:
            self._points = self._points[::2]
            self._stride *= 2

    def points(self) -> list[tuple[int, dict[str, float]]]:
        if self._latest is None or self._points[-1] is self._latest:
            return list(self._points)
        return [*self._points, self._latest]


class Watcher:
    """The `Progress` of the task, and the thread that writes it down."""

    def __init__(self, table: JobTable, job_id: str, attempt: int) -> None:
        self._table = table
        self._job_id = job_id
        self._attempt = attempt
        self._lock = threading.Lock()
        self._history = History()
        self._news: dict[str, object] = {}
        self._cancelled = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        """See `Progress`. Writes nothing itself, so that it costs the task nothing however often it is called."""
        if self._cancelled.is_set():
            raise Cancelled
        with self._lock:
            self._news.update({"step": step, "total": total, "message": message})
            if values is not None:
                figures = {name: float(value) for name, value in values.items()}
                self._history.add(step, figures)
                self._news.update({"values": figures, "history": None})

    def say(self, message: str) -> None:
        """A message without a step."""
        with self._lock:
            self._news["message"] = message

    def stop(self) -> None:
        """Write what is left and end the thread; from now on nobody ends this process by force."""
        self._over.set()
        self._thread.join()
        self._write()

    def _write(self) -> None:
        with self._lock:
            news, self._news = self._news, {}
            if "history" in news:
                news["history"] = self._history.points()
        try:
            self._table.tell(self._job_id, news, attempt=self._attempt)
        except MucError:
            with self._lock:
                self._news = {**news, **self._news}
            raise

    def _watch(self) -> None:
        last_beat = noticed = 0.0
        while not self._over.wait(TICK_S):
            try:
                wanted = self._table.is_wanted(self._job_id, attempt=self._attempt)
                if wanted is None:
                    self._end_process()
                if not wanted and not self._cancelled.is_set():
                    noticed = time.monotonic()
                    self._cancelled.set()
                if self._cancelled.is_set() and time.monotonic() - noticed > STOP_WITHIN_S:
                    self._table.close(self._job_id, "cancelled", attempt=self._attempt)
                    self._end_process()
                if self._news or time.monotonic() - last_beat >= HEARTBEAT_S:
                    self._write()
                    last_beat = time.monotonic()
            except MucError as error:  # the disk is full, say: the task may still end well, so go on watching
                print(f"watcher: {error}", file=sys.stderr)

    def _end_process(self) -> None:
        print("watcher: the job has been closed; ending the process", file=sys.stderr)
        sys.stderr.flush()
        kill_worker(os.getpid(), self._job_id)
        os._exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m muc_core.jobs.worker", description="Do one job of a workspace.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the workspace")
    parser.add_argument("--tasks", action="append", default=[], help="a further module that registers tasks")
    parser.add_argument("job_id", metavar="JOB_ID")
    arguments = parser.parse_args()

    workspace = Workspace(arguments.home, job=arguments.job_id)
    table = JobTable(workspace)
    attempt = table.attach(arguments.job_id, os.getpid())
    workspace.act_for(table.job(arguments.job_id).who)
    watcher = Watcher(table, arguments.job_id, attempt)
    watcher.start()
    slot = wait_for_turn(table, arguments.job_id, attempt, table.slot, watcher)
    if slot is None:
        return 0
    try:
        do(workspace, table, arguments.job_id, attempt, arguments.tasks, watcher)
    finally:
        slot.release()
    return 0


def wait_for_turn(table: JobTable, job_id: str, attempt: int, lock: Path, watcher: Watcher) -> FileLock | None:
    """The acquired slot, once no earlier job is waiting or running; None when the job was closed meanwhile."""
    slot = FileLock(lock, thread_local=False)
    while patiently("look at the queue", lambda: table.is_wanted(job_id, attempt=attempt)):
        before = patiently("look at the queue", lambda: table.waiting_before(job_id))
        if before:
            watcher.say(f"waiting for {before} earlier job{'s' if before > 1 else ''}")
        else:
            try:
                slot.acquire(timeout=0)
            except Timeout:  # the job before has said its last word and is about to leave
                pass
            else:
                if table.claim(job_id, attempt=attempt):
                    return slot
                slot.release()
        time.sleep(TICK_S)
    return None


def do(
    workspace: Workspace, table: JobTable, job_id: str, attempt: int, task_modules: list[str], watcher: Watcher
) -> None:
    """Run the task and close the job with what became of it."""
    end = end_of(lambda: run_task(workspace, table, job_id, attempt, task_modules, watcher), table.log(job_id))

    def close() -> None:
        watcher.stop()
        table.close(job_id, end.state, error=end.error, result=end.result, attempt=attempt)

    # Unsaid in the end, the job counts as lost.
    patiently(f"note the end of the job ({end.state})", close)


def patiently(what: str, act: Callable[[], Done]) -> Done:
    """Do it; when it is refused, again after a while: the disk is full, say, and somebody is making room this moment.

    Raises `MucError` when it is refused for a quarter of a minute.
    """
    for patience in (0.5, 1.0, 2.0, 4.0, 8.0):
        try:
            return act()
        except MucError as refusal:
            print(f"cannot {what}: {refusal}", file=sys.stderr)
            time.sleep(patience)
    return act()


def run_task(
    workspace: Workspace, table: JobTable, job_id: str, attempt: int, task_modules: list[str], watcher: Watcher
) -> dict[str, JsonValue]:
    job = table.job(job_id)
    launch = kept(workspace, job_id)
    if launch.launcher != "local":
        order = Order(
            home=workspace.home,
            job=job_id,
            who=job.who,
            kind=job.kind,
            settings=job.settings,
            log=table.log(job_id),
            task_modules=tuple(task_modules),
            pid=os.getpid() if launch.here else None,
        )
        return done_by_many(launch, order, workspace.jobs_folder / f"{job_id}.launch" / str(attempt), watcher)
    task = find_task(job.kind, task_modules)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(worker_threads())
    try:
        settings = task.settings.model_validate(job.settings)
    except ValidationError as error:
        raise MucError(f"the settings of this {job.kind} job are not valid ({explain(error)})") from error
    return task.run(settings, workspace, watcher)


if __name__ == "__main__":
    sys.exit(main())
