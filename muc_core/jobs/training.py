"""What training and unlearning jobs share: run the engine, keep what comes along the way, save the encoder.

A job that died is gone on with from the state it kept last, at a checkpoint or between two, and ends in the same
weights. Everything that is written after that state may be written again, so that it makes no difference at which
moment the process was killed.
"""

import time
from typing import Any

from pydantic import JsonValue
from torch import nn

from muc_core.encoders.checkpoint import dump_training_state, load_training_state
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest, installed_versions
from muc_core.encoders.parallel import from_first, rank, world_size
from muc_core.errors import MucError
from muc_core.jobs.tuning.course import COURSE, Watch, read_course
from muc_core.progress import Progress
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import Method
from muc_core.unlearning.settings import Seeds, TrainingSettings
from muc_core.workspace import RunRecord, RunWriter, Workspace
from muc_core.workspace.files import writing

STATE_FILE = "training-state.pt"

KEEP_AFTER_S = 30.0
"""A state is kept when the last one is so old, ..."""

KEEP_SHARE = 0.05
"""... and seldom enough that keeping takes at most this share of the time."""


def run_of_job(workspace: Workspace, job_id: str) -> RunRecord | None:
    """The latest run that a job began; None when it did not come so far."""
    return next((record for record in workspace.runs() if record.manifest.job == job_id), None)


def saved_before(name: str, workspace: Workspace) -> dict[str, JsonValue] | None:
    """What this very job returned, had it not died after saving its encoder; its run is closed. None: it did not."""
    return from_first(_saved_before(name, workspace) if rank() == 0 else None)


def _saved_before(name: str, workspace: Workspace) -> dict[str, JsonValue] | None:
    saved = next((record.manifest for record in workspace.encoders() if record.manifest.name == name), None)
    if saved is None or workspace.job is None:
        return None
    for run in workspace.runs():
        earlier = run.manifest
        # a checkpoint that was kept of a stopped run has other settings
        if (earlier.job, earlier.id, earlier.settings) == (workspace.job, saved.run, saved.settings):
            if earlier.state != "done":
                with workspace.resume_run(earlier.id) as writer:
                    writer.finish(encoder=name, run_time_s=saved.run_time_s)
            _forget_state(run)
            return {"encoder": name, "run": earlier.id}
    return None


def train_and_save(
    manifest: EncoderManifest,
    *,
    kind: str,
    model: nn.Module,
    method: Method[Any],
    data: TrainingSet,
    settings: TrainingSettings,
    seeds: Seeds,
    workspace: Workspace,
    progress: Progress,
    resume: str | None = None,
    watch: Watch | None = None,
) -> dict[str, JsonValue]:
    """Train `model` and save it as the encoder that `manifest` describes.

    Of several processes that train together the first alone writes; the others return once the training is done.

    Every checkpoint goes into the run's folder, and so do the history of the loss terms and, every half minute, the
    state from which the run can be resumed. What was saved before a failure or a cancel stays.

    Args:
        resume: id of a run to go on with; None: one that this very job began before it died, if there is one.
        watch: looks at the original and at every checkpoint; what it sees is kept with the run.

    Returns:
        `{"encoder": name, "run": id}`.

    Raises:
        MucError: the run to go on with had other settings, seeds or data.
    """
    trainer = Trainer(model, FAMILIES.get(manifest.family), manifest.architecture, method, data, settings, seeds)
    if rank() > 0:
        trainer.restore(from_first({}))
        for _ in trainer.run():
            pass
        return {}
    earlier = _begun(manifest, settings, workspace) if resume is None else workspace.run(resume)
    if earlier is not None:
        if not _same(earlier, manifest, settings):
            raise MucError(
                f"the run {earlier.manifest.id} had other settings, seeds or data; resume with the same ones"
            )
        writer = _go_on(earlier, trainer, workspace)
        if watch is not None:
            watch.go_on(read_course(earlier))
    else:
        writer = workspace.new_run(
            kind=kind,
            title=manifest.title,
            family=manifest.family,
            architecture=manifest.architecture,
            method=manifest.method,
            original=manifest.original,
            settings=manifest.settings,
            seeds=manifest.seeds,
            data=manifest.data,
        )
    if world_size() > 1:
        from_first(trainer.state())  # the others begin where this one does
    with writer:
        keeper = _Keeper(writer, trainer)
        checkpoint = None
        if watch is not None and trainer.step == 0:
            writer.write_file(COURSE, watch.look(0, trainer.total_steps, None, progress))
        for checkpoint in trainer.run(progress, after_step=keeper.keep_if_due):
            writer.record(checkpoint.step, checkpoint.epoch, checkpoint.terms)
            writer.add_checkpoint(checkpoint.step, checkpoint.weights, epoch=checkpoint.epoch, values=checkpoint.terms)
            if watch is not None:
                seen = watch.look(checkpoint.step, trainer.total_steps, checkpoint.weights, progress)
                writer.write_file(COURSE, seen)
            if checkpoint.step < trainer.total_steps:  # the last one must come again until the encoder is saved
                keeper.keep()
        assert checkpoint is not None  # the last step is always a checkpoint
        saved = manifest.model_copy(
            update={
                "run": writer.id,
                "run_time_s": checkpoint.run_time_s,
                "views": checkpoint.views,
                "versions": installed_versions(),
                "metrics": {f"last {name}": value for name, value in checkpoint.terms.items()},
            }
        )
        workspace.save_encoder(saved, trainer.family.finished(checkpoint.weights))
        record = writer.finish(encoder=manifest.name, run_time_s=checkpoint.run_time_s)
        _forget_state(record)
    return {"encoder": manifest.name, "run": writer.id}


class _Keeper:
    """Keeps the state of a training now and then."""

    def __init__(self, writer: RunWriter, trainer: Trainer) -> None:
        self._writer = writer
        self._trainer = trainer
        self._due = time.monotonic() + KEEP_AFTER_S

    def keep_if_due(self) -> None:
        if time.monotonic() >= self._due:
            self.keep()

    def keep(self) -> None:
        """Raises `MucError` when it cannot be written; the state before stays."""
        started = time.monotonic()
        self._writer.write_file(STATE_FILE, dump_training_state(self._trainer.state()))
        took = time.monotonic() - started
        self._due = time.monotonic() + max(KEEP_AFTER_S, took / KEEP_SHARE)


def _begun(manifest: EncoderManifest, settings: TrainingSettings, workspace: Workspace) -> RunRecord | None:
    """A run of this job for this encoder that did not come to its end: a job may make several."""
    if workspace.job is None:
        return None
    runs = (record for record in workspace.runs() if record.manifest.job == workspace.job)
    return next((run for run in runs if run.manifest.state != "done" and _same(run, manifest, settings)), None)


def _same(run: RunRecord, manifest: EncoderManifest, settings: TrainingSettings) -> bool:
    fields = ("family", "architecture", "method", "original", "seeds", "data")
    # a run that was begun before there was some setting had what it is by default now
    unsaid = type(settings)().model_dump(mode="json")
    return {**unsaid, **run.manifest.settings} == {**unsaid, **manifest.settings} and all(
        getattr(run.manifest, field) == getattr(manifest, field) for field in fields
    )


def _go_on(run: RunRecord, trainer: Trainer, workspace: Workspace) -> RunWriter:
    """Take up a run at the state it kept last, or from the start when it ended before it kept one."""
    writer = workspace.resume_run(run.manifest.id)
    try:
        if (path := run.folder / STATE_FILE).exists():
            trainer.restore(load_training_state(path))
        writer.go_back_to(trainer.step)
    except MucError as error:
        writer.fail(str(error))
        raise
    return writer


def _forget_state(run: RunRecord) -> None:
    """The weights are saved; the optimiser's state is larger than they are and of no more use."""
    with writing(run.folder):
        (run.folder / STATE_FILE).unlink(missing_ok=True)
