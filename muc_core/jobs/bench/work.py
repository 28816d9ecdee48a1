"""One task of a bench: making an encoder, or evaluating and auditing it."""

import time
from collections.abc import Mapping

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core.audit.audit import AuditSettings
from muc_core.auditing import audit_encoders
from muc_core.data.sets import load_dataset
from muc_core.errors import Cancelled
from muc_core.evaluation.white_box import EvaluationSettings, Pictures, WhiteBox
from muc_core.jobs.bench.plan import ORIGINAL, Evaluated, Made
from muc_core.jobs.bench.results import Audited, Result, Stressed
from muc_core.jobs.stress_plan import ResidualStressSettings
from muc_core.jobs.tasks.evaluate import NO_RETRAIN, evaluate_one
from muc_core.jobs.tasks.residual_stress import stress
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import Progress
from muc_core.workspace import Workspace

PERMUTATIONS = 1999


def make(made: Made, workspace: Workspace, progress: Progress) -> None:
    """Train or unlearn, unless it has been done. Raises `MucError`, `Cancelled`."""
    if (workspace.encoders_folder / made.name).exists():
        return
    if isinstance(made.job, UnlearnJob):
        answer = unlearn(made.job, workspace, progress)
    else:
        answer = train(made.job, workspace, progress)
    workspace.delete_run(str(answer["run"]))


def evaluate(each: Evaluated, workspace: Workspace, progress: Progress) -> Result:
    """Evaluate and audit an encoder that is there, or stress it. Raises `MucError`, `Cancelled`."""
    if each.stress:
        return each.result(stress=_stressed(each, workspace, progress))
    record = workspace.encoder(each.made.name)
    retrained = None if each.retrained is None else workspace.encoder(each.retrained.name)
    split_of = (retrained or record).manifest.data
    assert split_of is not None
    dataset, split = load_dataset(split_of.spec), split_of.split
    pictures = Pictures(*(dataset.subset(part) for part in (split.forget, split.retain, split.held_out)))
    box = WhiteBox(pictures, EvaluationSettings(seed=each.seed))
    found = evaluate_one(workspace, box, record, retrained, progress=progress)
    values, missing = dict(found.values), dict(found.missing)
    if NO_RETRAIN in missing:
        missing["with a single unlearning seed there is no other Retrain to compare with"] = missing.pop(NO_RETRAIN)
    if each.made.method == ORIGINAL:
        values.pop("rte", None)  # of training, not of unlearning
        values.pop("views", None)
        values.pop("flops", None)
    audited = audit_encoders(
        workspace.load(each.made.name),
        pictures.forget,
        pictures.held_out,
        before=workspace.load(each.made.original),
        settings=AuditSettings(permutations=PERMUTATIONS, seed=each.seed),
        progress=progress,
    )
    trace = audited.findings["trace"]
    return each.result(
        values=values,
        missing=missing,
        notes=found.notes,
        counts=found.counts,
        audit=Audited(
            verdict=audited.verdict,
            effect=trace.effect,
            p=trace.p,
            before=audited.findings["memory before"].effect.value,
        ),
    )


def _stressed(each: Evaluated, workspace: Workspace, progress: Progress) -> Stressed:
    assert each.retrained is not None
    settings = ResidualStressSettings(
        before=each.made.original, after=each.made.name, retrained=each.retrained.name, seed=each.seed
    )
    found = stress(workspace, settings, progress=progress)[1]
    curve, retrained = (found.relearning.curves[role] for role in ("after", "retrained"))
    first = curve[-1].first
    return Stressed(
        verdict=found.verdict,
        rest=curve[0].effect.value,
        relearned=curve[-1].effect.value,
        retrained=retrained[-1].effect.value,
        first=None if first is None else first.value,
        int8=found.int8.came_back,
        returns_at=found.line.returns_at.get("after"),
        linear=found.separation.linear["after"].value,
    )


class UntilDeadline:
    """Progress that stops the work when the time is over."""

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        if self.deadline is not None and time.time() > self.deadline:
            raise Cancelled
