"""The worker's part of a job that other processes do: start them, pass on what they report, end them, say what became.

To everybody else such a job is like any other, because the worker is: progress, cancelling and a death that is noticed
go through the job table as ever. Should the worker die, the processes notice (`process.Guard`).
"""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from muc_core.errors import Cancelled, MucError
from muc_core.jobs.ends import Lost, lost_sentence
from muc_core.jobs.launchers.board import Board, Order, as_report
from muc_core.jobs.launchers.hosts import Hosts, refuse_without_ssh
from muc_core.jobs.launchers.settings import Launch
from muc_core.jobs.launchers.slurm import Slurm, refuse_without_slurm
from muc_core.jobs.table import SILENT_AFTER_S
from muc_core.progress import Progress
from muc_core.workspace.place import VARIABLE as DATABASE_URL

TICK_S = 0.2


class Processes(Protocol):
    """What was started."""

    @property
    def where(self) -> str:
        """In words, for the user."""

    def running(self) -> bool:
        """Whether all of them are at work or have ended well, and some are at work."""

    def stop(self) -> None:
        """End, within a second, what is still there after being called off."""

    def logs(self) -> list[Path]:
        """Files with what was printed, where that is not the log of the job."""


def refuse_without_means(launch: Launch) -> None:
    """Raises `MucError` when what the launcher needs is not installed here."""
    if launch.launcher == "slurm":
        refuse_without_slurm()
    if launch.launcher == "accelerate":
        refuse_without_ssh(launch.accelerate)


def done_by_many(launch: Launch, order: Order, folder: Path, progress: Progress) -> dict[str, JsonValue]:
    """Have an order done and return what the first process returned.

    Args:
        folder: for the board; removed with those of earlier attempts beside it when all went well.

    Raises:
        MucError: what a process could tell the user.
        Lost: they ended without a word.
        Cancelled: from `progress`.
    """
    board = Board(folder)
    board.begin(order)
    progress.report(0, 0, f"starting {launch.world} processes")
    # It may hold a password, SLURM keeps the environment of what it is handed, and the processes open no index.
    os.environ.pop(DATABASE_URL, None)
    processes: Processes
    if launch.launcher == "slurm":
        processes = Slurm(launch.slurm, folder, f"muc-{order.kind}")
    else:
        processes = Hosts(launch.accelerate, folder)
    try:
        trouble = _follow(board, processes, launch.world, progress)
    finally:
        with suppress(MucError):  # the disk is full, say: they are ended all the same
            board.cancel()
        processes.stop()
        for log in processes.logs():
            print(f"-- {log.name}\n{log.read_text(errors='replace')}", file=sys.stderr)
    result = _outcome(board, order, trouble)
    shutil.rmtree(folder.parent, ignore_errors=True)
    return result


def _follow(board: Board, processes: Processes, world: int, progress: Progress) -> str:
    """Pass on reports until the work is over; returns what to say should nobody have said why."""
    latest = as_report(0, 0, "", None)
    heard, since = None, time.monotonic()
    while (running := processes.running()) and len(board.ends()) < world:
        board.beat()
        for latest in board.new_reports():
            progress.report(*latest)
        step, total, message, _ = latest
        progress.report(step, total, message or f"waiting for {world} processes of {processes.where}")
        now = time.monotonic()
        if (sign := board.last_heard()) != heard or sign is None:  # SLURM may let it wait as long as it likes
            heard, since = sign, now
        if now - since > SILENT_AFTER_S:
            return f"no sign of life from the first process for {now - since:.0f} s"
        time.sleep(TICK_S)
    for latest in board.new_reports():
        progress.report(*latest)
    return f"a process of {processes.where} ended" if not running else "all ended"


def _outcome(board: Board, order: Order, trouble: str) -> dict[str, JsonValue]:
    ends = board.ends()
    if 0 in ends and ends[0].state == "done":
        return ends[0].result
    if any(end.state == "cancelled" for end in ends.values()):
        raise Cancelled
    for end in ends.values():
        if end.error is not None:
            raise MucError(end.error)
    raise Lost(lost_sentence(order.job, trouble, order.log))
