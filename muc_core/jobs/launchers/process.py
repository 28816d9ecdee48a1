"""One of the processes that do a job together.

    accelerate launch ... -m muc_core.jobs.launchers.process FOLDER

FOLDER is the board. The first process reports and writes to the workspace. None of them opens the workspace's index,
which is the worker's: each has one of its own, made from the folders, which are the truth, and thrown away.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from muc_core.encoders.manifest import explain
from muc_core.errors import Cancelled, MucError
from muc_core.jobs.ends import Lost, end_of
from muc_core.jobs.launcher import worker_threads
from muc_core.jobs.launchers.board import Board, Order, Report, as_report
from muc_core.jobs.table import SILENT_AFTER_S, is_worker
from muc_core.jobs.tasks import find_task
from muc_core.progress import SILENT, Progress
from muc_core.workspace import Workspace

TICK_S = 0.2
STOP_WITHIN_S = 1.2
"""From noticing that the work is called off to ending by force."""


class Guard:
    """Ends this process when the work is called off or its worker is gone; the first process's `Progress`."""

    def __init__(self, board: Board, order: Order, *, reports: bool) -> None:
        self._board = board
        self._order = order
        self._reports = reports
        self._lock = threading.Lock()
        self._news: list[Report] = []
        self._called_off = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="guard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        """See `Progress`."""
        if self._called_off.is_set():
            raise Cancelled
        with self._lock:
            self._news.append(as_report(step, total, message, values))

    def stop(self) -> None:
        """Write what is left."""
        self._over.set()
        self._thread.join()
        self._write()

    def _write(self) -> None:
        with self._lock:
            news, self._news = self._news, []
        if self._reports:
            self._board.report(news)

    def _watch(self) -> None:
        heard = self._board.last_beat()
        since = noticed = time.monotonic()
        while not self._over.wait(TICK_S):
            now = time.monotonic()
            if not self._called_off.is_set() and self._board.is_called_off():
                self._called_off.set()
                noticed = now
            if self._called_off.is_set() and now - noticed > STOP_WITHIN_S:
                _leave("the work was called off")
            if (beat := self._board.last_beat()) != heard:
                heard, since = beat, now
            if now - since > SILENT_AFTER_S:
                _leave(f"no sign of life of the worker for {now - since:.0f} s")
            if self._order.pid is not None and not is_worker(self._order.pid, self._order.job):
                _leave("the worker is gone")
            try:
                self._write()
            except MucError as error:  # the disk is full, say: the work may still end well
                print(f"guard: {error}", file=sys.stderr)


def _leave(why: str) -> None:
    print(f"guard: {why}; ending the process", file=sys.stderr, flush=True)
    os._exit(1)


def work(folder: str) -> int:
    """Do this process's part of the order on the board; 0 when it went well. The environment says which process it is.

    Ends the process when it did not go well: others may wait for it, and it for them.
    """
    board = Board(Path(folder))
    rank = int(os.environ["RANK"])
    order = board.order()
    guard = Guard(board, order, reports=rank == 0)
    guard.start()
    end = end_of(lambda: _do(order, guard if rank == 0 else SILENT), order.log)
    guard.stop()
    if end.state != "lost":  # then another process says why, unless it was killed
        board.end(rank, end)
    if end.state == "done":
        return 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _do(order: Order, progress: Progress) -> dict[str, JsonValue]:
    import torch
    from accelerate import PartialState

    if torch.cuda.is_available():
        _refuse_without_gpu(int(os.environ["LOCAL_RANK"]), torch.cuda.device_count())
    else:
        os.environ["ACCELERATE_USE_CPU"] = "true"  # otherwise accelerate takes this process to be alone
    PartialState()
    shared = worker_threads() // int(os.environ["LOCAL_WORLD_SIZE"])
    torch.set_num_threads(int(os.environ.get("SLURM_CPUS_PER_TASK", max(1, shared))))
    task = find_task(order.kind, order.task_modules)
    try:
        settings = task.settings.model_validate(order.settings)
    except ValidationError as error:
        raise MucError(f"the settings of this {order.kind} job are not valid ({explain(error)})") from error
    with tempfile.TemporaryDirectory(prefix="muc-index-") as own:
        workspace = Workspace(order.home, job=order.job, index=Path(own) / "index.sqlite")
        workspace.act_for(order.who)
        try:
            result: dict[str, JsonValue] = task.run(settings, workspace, progress)
        except RuntimeError as error:
            # gloo has no error class of its own
            if isinstance(error, torch.distributed.DistError) or "gloo" in str(error):
                raise Lost("another process of the job ended") from error
            raise
    torch.distributed.destroy_process_group()
    return result


def _refuse_without_gpu(local_rank: int, gpus: int) -> None:
    if local_rank >= gpus and os.environ.get("ACCELERATE_USE_CPU") != "true":
        raise MucError(
            f"process {local_rank + 1} of a host has no GPU of its own ({gpus} can be seen there); set processes in "
            "launchers.toml to the number of GPUs, or have ACCELERATE_USE_CPU=true in the environment"
        )


if __name__ == "__main__":
    sys.exit(work(sys.argv[1]))
