"""A few steps of an unlearning run, only to see how long they take; nothing is kept but the time."""

import time
from collections.abc import Mapping
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.tasks.unlearn import UnlearnJob, prepare
from muc_core.jobs.tuning.run_time import TIMING
from muc_core.progress import Progress
from muc_core.unlearning.engine import Trainer
from muc_core.workspace import Workspace

KIND = TIMING


class TimeRunSettings(BaseModel):
    """Which run to time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: UnlearnJob = Field(description="the run as it would be started")
    steps: int = Field(default=6, ge=2, le=100, description="to time; the first is left out, as it warms up")


class _Enough(Exception):
    """As many steps as were asked for are done."""


class _Clock:
    """Notes when each step ends, and stops the training after the last of them."""

    def __init__(self, steps: int, progress: Progress) -> None:
        self._steps = steps
        self._progress = progress
        self.moments: list[float] = []

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.moments.append(time.perf_counter())
        self._progress.report(step, self._steps, "timing a few steps")
        if step >= self._steps:
            raise _Enough


def run(settings: TimeRunSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Returns `{"family", "architecture", "seconds_per_picture", "steps"}`. Raises `MucError`, `Cancelled`."""
    ready = prepare(settings.job, workspace)
    trainer = Trainer(
        ready.model,
        ready.family,
        ready.manifest.architecture,
        ready.method,
        ready.data,
        ready.settings.model_copy(update={"checkpoints": 1, "epochs": settings.steps}),
        ready.seeds,
    )
    clock = _Clock(settings.steps, progress)
    with suppress(_Enough):
        for _ in trainer.run(clock):
            pass
    per_step = (clock.moments[-1] - clock.moments[0]) / (len(clock.moments) - 1)
    pictures = sum(len(part) for part in (ready.data.retain, ready.data.forget) if part is not None)
    return {
        "family": ready.manifest.family,
        "architecture": ready.manifest.architecture,
        "seconds_per_picture": per_step * trainer.plan.steps / pictures,
        "steps": len(clock.moments),
    }


TASKS.register(KIND, Task(KIND, TimeRunSettings, run))
