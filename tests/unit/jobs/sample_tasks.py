"""Kinds of jobs for the tests: they report, sleep, fail, crash or block. None of them needs torch."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from muc_core.errors import Cancelled, MucError
from muc_core.jobs.table import JobTable
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.workspace import Workspace


class Sample(BaseModel):
    """What the sample tasks are told.

    Attributes:
        on_request: go on after each step only when a file of its number is in `folder`.
    """

    model_config = ConfigDict(frozen=True)

    label: str = ""
    steps: int = 1
    pause_s: float = 0.0
    on_request: bool = False
    numbers: tuple[float, ...] = ()
    folder: Path | None = None


def count(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Report each step with a loss that falls."""
    _note(settings, "begins")
    for step in range(1, settings.steps + 1):
        time.sleep(settings.pause_s)
        progress.report(step, settings.steps, f"{settings.label} step {step}", {"loss": 1 / step})
        while settings.on_request and settings.folder and not (settings.folder / str(step)).exists():
            time.sleep(0.02)
    _note(settings, "ends")
    return {"label": settings.label, "steps": settings.steps}


def look_around(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Tell what the process is like."""
    return {
        "threads": os.environ["OMP_NUM_THREADS"],
        "numba_threads": os.environ["NUMBA_NUM_THREADS"],
        "numba_cache": os.environ["NUMBA_CACHE_DIR"],
        "torch": "torch" in sys.modules,
        "job": workspace.job,
        "home": str(workspace.home),
        "session": os.getsid(0) == os.getpid(),
        "descriptors": _descriptors(),
        "folder": str(Path.cwd()),
    }


def use_torch(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Tell how many threads torch computes with when a task imports it."""
    import torch

    return {"threads": torch.get_num_threads()}


def block(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Call compiled code that lets other threads run and does not return."""
    progress.report(0, 1, "blocked")
    ctypes.CDLL(None).sleep(60)
    return {}


def block_everything(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Call compiled code that keeps the interpreter for itself and does not return."""
    progress.report(0, 1, "blocked")
    _wait_until_told(workspace, "blocked")
    ctypes.PyDLL(None).sleep(60)
    return {}


def block_with_child(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """As `block`, with a process of its own; the message is its pid."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    progress.report(0, 1, str(child.pid))
    ctypes.CDLL(None).sleep(60)
    return {}


def be_stubborn(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Do not heed the wish to cancel."""
    while True:
        try:
            progress.report(0, 1, "stubborn")
        except Cancelled:
            _note(settings, "heard")
        time.sleep(0.05)


def tidy_up(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Heed the wish to cancel, and do something before leaving."""
    # The worker's module is the main one. On a busy machine it would give this task up before it has had its turn.
    vars(sys.modules["__main__"])["STOP_WITHIN_S"] = 60.0
    try:
        while True:
            progress.report(0, 1, "working")
            time.sleep(0.02)
    finally:
        time.sleep(0.3)
        _note(settings, "tidied up")


def be_wrong(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Fail with a sentence for the user."""
    progress.report(3, 10, "about to fail", {"loss": float("nan")})
    raise MucError("the forget set is empty; name at least one item")


def be_broken(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Fail as a defect does."""
    raise ZeroDivisionError("a secret detail")


def give_back_nonsense(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Return what JSON cannot hold."""
    return {"thing": object()}  # type: ignore[dict-item]


def run_out_of_memory(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    raise MemoryError


def kill_itself(settings: Sample, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Die as a process does that the system kills."""
    progress.report(1, 2, "alive")
    print("famous last words", flush=True)
    _wait_until_told(workspace, "alive")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _note(settings: Sample, what: str) -> None:
    if settings.folder is not None:
        with (settings.folder / "notes").open("a") as file:
            file.write(f"{settings.label} {what}\n")


def _wait_until_told(workspace: Workspace, message: str) -> None:
    """Wait until the worker's second thread has written what was reported."""
    while JobTable(workspace).job(str(workspace.job)).message != message:
        time.sleep(0.02)


def _descriptors() -> list[JsonValue]:
    """What the open files of this process are."""
    found: list[JsonValue] = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor of this very listing
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


for run in (
    count,
    look_around,
    use_torch,
    block,
    block_everything,
    block_with_child,
    be_stubborn,
    tidy_up,
    be_wrong,
    be_broken,
    give_back_nonsense,
    run_out_of_memory,
    kill_itself,
):
    TASKS.register(run.__name__, Task(run.__name__, Sample, run))
