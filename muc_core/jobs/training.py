"""What training and unlearning jobs share: run the engine, keep what comes along the way, save the encoder."""

from typing import Any

from pydantic import JsonValue
from torch import nn

from muc_core.encoders.checkpoint import dump_training_state, load_training_state
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest, installed_versions
from muc_core.jobs.tuning.course import COURSE, Watch
from muc_core.progress import Progress
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import Method
from muc_core.unlearning.settings import Seeds, TrainingSettings
from muc_core.workspace import Workspace

STATE_FILE = "training-state.pt"


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

    Every checkpoint goes into the run's folder, with the state from which the run can be resumed, and so does the
    history of the loss terms. What was saved before a failure or a cancel stays.

    Args:
        watch: looks at the original and at every checkpoint; what it sees is kept with the run.

    Returns:
        `{"encoder": name, "run": id}`.
    """
    trainer = Trainer(model, FAMILIES.get(manifest.family), manifest.architecture, method, data, settings, seeds)
    if resume is not None:
        state = load_training_state(workspace.run(resume).folder / STATE_FILE)
        writer = workspace.resume_run(resume)
        trainer.restore(state)
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
    with writer:
        checkpoint = None
        if watch is not None and resume is None:
            writer.write_file(COURSE, watch.look(0, trainer.total_steps, None, progress))
        for checkpoint in trainer.run(progress):
            writer.record(checkpoint.step, checkpoint.epoch, checkpoint.terms)
            writer.add_checkpoint(checkpoint.step, checkpoint.weights, epoch=checkpoint.epoch, values=checkpoint.terms)
            writer.write_file(STATE_FILE, dump_training_state(trainer.state()))
            if watch is not None:
                seen = watch.look(checkpoint.step, trainer.total_steps, checkpoint.weights, progress)
                writer.write_file(COURSE, seen)
        assert checkpoint is not None  # the last step is always a checkpoint
        saved = manifest.model_copy(
            update={
                "run": writer.id,
                "run_time_s": checkpoint.run_time_s,
                "versions": installed_versions(),
                "metrics": {f"last {name}": value for name, value in checkpoint.terms.items()},
            }
        )
        workspace.save_encoder(saved, trainer.family.finished(checkpoint.weights))
        writer.finish(encoder=manifest.name, run_time_s=checkpoint.run_time_s)
    return {"encoder": manifest.name, "run": writer.id}
