"""Kinds of jobs for the tests that several processes do together; the second one may misbehave."""

import os
import signal
import time
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, JsonValue
from torch import Tensor

from muc_core.encoders.parallel import gather_with_gradient, rank, world_size
from muc_core.errors import MucError
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.workspace import Workspace

MODULE = __name__


class Joint(BaseModel):
    """What the processes are told."""

    model_config = ConfigDict(frozen=True)

    steps: int = 3
    pause_s: float = 0.0
    mischief: str = ""


def together(settings: Joint, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Take steps that none can take alone; the second process may misbehave at its third."""
    ranks = torch.tensor([])
    for step in range(1, settings.steps + 1):
        if rank() == 1 and step == 3:
            _misbehave(settings.mischief, workspace)
        ranks = _gathered()
        progress.report(step, settings.steps, f"step {step}", {"loss": 1 / step})
        time.sleep(settings.pause_s)
    own = Path(workspace.database.name)
    return {
        "ranks": ranks.tolist(),
        "world": world_size(),
        "job": workspace.job,
        "who": workspace.who(),
        "threads": torch.get_num_threads(),
        "own index": own.is_file() and own.parent != workspace.home,
    }


def _gathered() -> Tensor:
    return gather_with_gradient(torch.tensor([float(rank())]))


def _misbehave(how: str, workspace: Workspace) -> None:
    match how:
        case "die":
            # The first process is ended at once when this one dies, whether or not it has written what it reported.
            while not any("step 2" in path.read_text() for path in _reports(workspace)):
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)
        case "refuse":
            raise MucError("the picture 'x.png' cannot be read")
        case "break":
            raise ZeroDivisionError("a secret detail")
        case "hang":
            time.sleep(300)


def _reports(workspace: Workspace) -> list[Path]:
    """What the first process has written of the attempts at this job."""
    return sorted(workspace.jobs_folder.glob(f"{workspace.job}.launch/*/reports.jsonl"))


def alone(settings: Joint, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """What one process does."""
    return {"world": world_size()}


TASKS.register("together", Task("together", Joint, together, joint=True))
TASKS.register("alone", Task("alone", Joint, alone))
