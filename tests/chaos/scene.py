"""What all experiments share: a workspace of tiny encoders, jobs on it, and the question whether all of it is whole."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, JsonValue

from muc_core.encoders.checkpoint import file_digest
from muc_core.jobs import Job, JobTable, launcher, resume, submit, table, training
from muc_core.jobs.tasks.audit import RESULT, AuditJob, PictureSet
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tuning.measure import QUICK as QUICK_LOOK
from muc_core.workspace import Workspace
from muc_core.workspace.place import VARIABLE
from tests import tuned
from tests.chaos import notes
from tests.chaos.forks import Fork, fork_worker

FAMILY = "simclr"
STEPS: dict[str, JsonValue] = {"epochs": 3, "batch_size": 16, "checkpoints": 3, "learning_rate": 2e-3}
PATIENCE_S = 120.0


class DoesNotHold(Exception):
    """What was promised is not so."""


@dataclass
class Row:
    """What came of one kind of fault.

    Attributes:
        fault: what was done.
        promise: what holds then.
        tried: how often.
        broken: what did not hold, a sentence each.
        seen: how often which of the possible things happened, where there are several.
    """

    fault: str
    promise: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1

    @contextmanager
    def trial(self, what: str) -> Iterator[None]:
        """One try; what is raised in it did not hold."""
        self.tried += 1
        try:
            yield
        except Exception as fault:
            self.broken.append(f"{what}: {type(fault).__name__}: {fault}")


@dataclass(frozen=True)
class Scene:
    """Where the experiments happen.

    Attributes:
        folder: empty at the beginning, each experiment makes its own inside.
        pictures: a data set.
        trials: how many moments a process is killed at, of each kind of work.
        random: seeded.
    """

    folder: Path
    pictures: Path
    trials: int
    random: random.Random

    def workspace(self, name: str) -> Workspace:
        return Workspace(self.folder / name, assets=self.folder / "none")

    def training(self, name: str) -> TrainJob:
        """A training of some steps."""
        return TrainJob.model_validate(
            {
                **{
                    "name": name,
                    "data": str(self.pictures),
                    "family": FAMILY,
                    "settings": STEPS,
                    "forget": "owner:ann",
                },
                **{"architecture": tuned.ARCHITECTURES[FAMILY], "held_out": tuned.HELD_OUT, "calibration": 2},
            }
        )

    def sweep(self) -> StrengthSweepSettings:
        return StrengthSweepSettings(
            before=f"{FAMILY}-before", after=f"{FAMILY}-ac", strengths=(0, 0.5, 1), yardstick=QUICK_LOOK
        )

    def audit(self, before: str | None = f"{FAMILY}-before", after: str = f"{FAMILY}-ac") -> AuditJob:
        from muc_core.data.sets import load_dataset

        ids = load_dataset(str(self.pictures)).ids
        owner, controls = ids[: tuned.FORGET], ids[-tuned.HELD_OUT :]
        return AuditJob(
            before=before,
            after=after,
            owner=PictureSet(source=str(self.pictures), packed=False, ids=owner, captions=(None,) * len(owner)),
            controls=PictureSet(
                source=str(self.pictures), packed=False, ids=controls, captions=(None,) * len(controls)
            ),
            key="chaos",
            views=2,
        )


def prepare() -> None:
    """Workers are forked, states are kept at every step, and whoever vanished is missed soon."""
    os.environ.pop(VARIABLE, None)
    launcher._start = fork_worker  # type: ignore[assignment]
    training.KEEP_AFTER_S, training.KEEP_SHARE = 0.0, 1e9
    table.START_WITHIN_S = 3.0


def start(workspace: Workspace, kind: str, settings: BaseModel) -> Job:
    return submit(workspace, kind, settings, task_modules=[notes.__name__])


def go_on(workspace: Workspace, job_id: str) -> Job:
    return resume(workspace, job_id, task_modules=[notes.__name__])


def done(workspace: Workspace, job_id: str) -> Job:
    """The job, which must end well."""
    job = over(workspace, job_id)
    if job.state != "done":
        log = JobTable(workspace).log(job_id)
        raise DoesNotHold(f"the {job.kind} job is {job.state}: {job.error or job.message}; {log.read_text()[-2000:]}")
    return job


def over(workspace: Workspace, job_id: str) -> Job:
    """The job once it has ended, whether well or not."""
    return wait_for(lambda: JobTable(workspace).job(job_id), lambda job: not job.active)


def wait_for(look: Callable[[], Job], enough: Callable[[Job], bool]) -> Job:
    """What is seen as soon as it is enough."""
    deadline = time.monotonic() + PATIENCE_S
    while not enough(seen := look()):
        if time.monotonic() > deadline:
            raise DoesNotHold(f"the {seen.kind} job is still {seen.state} after {PATIENCE_S:.0f} s: {seen.message}")
        time.sleep(0.02)
    return seen


def check_lost(workspace: Workspace, job: Job) -> None:
    """A job whose worker was killed is lost and says so."""
    found = over(workspace, job.id)
    words = ("ended without a word", f"muc jobs resume {job.id}", "nothing already saved is lost")
    if found.state != "lost" or not all(word in str(found.error) for word in words):
        raise DoesNotHold(f"the killed job is {found.state} and says {found.error!r}")


def check_whole(workspace: Workspace) -> None:
    """Every encoder, run and audit that is listed opens and is what its manifest describes; nothing else is listed."""
    again = Workspace(workspace.home, assets=workspace.home / "none")
    if problems := again.problems():
        raise DoesNotHold(f"damaged: {problems[0]}")
    for encoder in again.encoders():
        again.load(encoder.manifest.name)
    for run in again.runs():
        run.history()
        for checkpoint, entry in zip(run.checkpoints(), run.manifest.checkpoints, strict=True):
            if file_digest(checkpoint.path) != entry.digest:
                raise DoesNotHold(f"{checkpoint.path} is not what its run says")
        if run.manifest.state == "done" and run.manifest.encoder not in {e.manifest.name for e in again.encoders()}:
            raise DoesNotHold(f"the run {run.manifest.id} is done without its encoder")
    for audit in again.audits():
        for name in audit.manifest.files:
            audit.read(name)


def result_of(workspace: Workspace, audit_id: object) -> bytes:
    """What an audit found."""
    return workspace.audit(str(audit_id)).read(RESULT)


def measurements(workspace: Workspace) -> dict[str, bytes]:
    """All measurements of strengths, by file."""
    return {path.name: path.read_bytes() for path in (workspace.home / "measurements").glob("[!.]*")}


def ended(forks: Iterable[Fork]) -> None:
    """Wait for processes that must end well."""
    if wrong := [status for status in [fork.wait() for fork in forks] if status]:
        raise DoesNotHold(f"processes ended with {wrong}")
