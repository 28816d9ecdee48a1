"""How long a run will take: from earlier runs on this machine, never from a guess."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Literal

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.data.splits import DataSplit
from muc_core.encoders.manifest import RunManifest
from muc_core.jobs.table import JobTable
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import TrainingSettings
from muc_core.workspace import Workspace

TIMING = "time_run"
"""Kind of the job that times a few steps."""

_LATEST = 5

Source = Literal["the same method", "other methods", "a timing"]


@dataclass(frozen=True)
class Rate:
    """Seconds for one picture once, as one run took them."""

    training: float
    checkpoint: float


@dataclass(frozen=True)
class Estimate:
    """How long a run will take.

    Attributes:
        seconds: the middle of what the measured runs say.
        low, high: the least and the most that any of them says.
        runs: how many were measured.
        source: which they are.
    """

    seconds: float
    low: float
    high: float
    runs: int
    source: Source


def pictures_used(method: str, split: DataSplit) -> int:
    """Pictures that a method goes through in an epoch."""
    uses = METHODS.get(method).uses
    return (len(split.forget) if uses != "retain" else 0) + (len(split.retain) if uses != "forget" else 0)


def estimate_run(
    workspace: Workspace, *, family: str, architecture: str, method: str, split: DataSplit, settings: TrainingSettings
) -> Estimate | None:
    """The estimate for a run; None when nothing like it was ever measured here.

    Runs of the same architecture are looked at, the latest five: those of the same method, else a timing of it, else
    those of other methods, which differ in what they draw for a picture.
    """
    done = [
        run.manifest
        for run in workspace.runs(family=family)
        if run.manifest.architecture == architecture and run.manifest.state == "done" and run.manifest.method
    ]
    alike = [rate for run in done if run.method == method and (rate := _rate(run)) is not None][:_LATEST]
    timed = list(_timings(workspace, family, architecture, method))[:_LATEST]
    others = [rate for run in done if run.method != method and (rate := _rate(run)) is not None][:_LATEST]
    choices: tuple[tuple[Source, list[Rate]], ...] = (
        ("the same method", alike),
        ("a timing", timed),
        ("other methods", others),
    )
    for source, rates in choices:
        if rates:
            work = settings.epochs * pictures_used(method, split)
            seconds = [rate.training * work + rate.checkpoint * settings.checkpoints for rate in rates]
            return Estimate(median(seconds), min(seconds), max(seconds), len(seconds), source)
    return None


def _rate(run: RunManifest) -> Rate | None:
    """What a run took for one picture and for one checkpoint, with the audit that it may have made there."""
    if run.data is None or run.method not in METHODS.names() or not run.run_time_s or run.finished is None:
        return None
    epochs = run.settings.get("epochs")
    if not isinstance(epochs, int):
        return None
    whole = (datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.created)).total_seconds()
    rest = max(whole - run.run_time_s, 0.0)
    work = epochs * pictures_used(str(run.method), run.data.split)
    return Rate(run.run_time_s / work, rest / max(len(run.checkpoints), 1))


def _timings(workspace: Workspace, family: str, architecture: str, method: str) -> Iterable[Rate]:
    for job in JobTable(workspace).jobs(states=["done"], limit=200):
        found = job.result
        if job.kind == TIMING and (found.get("family"), found.get("architecture")) == (family, architecture):
            asked = UnlearnJob.model_validate(job.settings["job"])
            seconds = found.get("seconds_per_picture")
            if asked.method == method and isinstance(seconds, float):
                yield Rate(seconds, 0.0)
