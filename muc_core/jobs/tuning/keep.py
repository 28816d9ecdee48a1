"""Keeping what lies between: a strength of the dial, or a checkpoint of a run that was stopped, as a new encoder."""

from muc_core.encoders.checkpoint import load_training_state, load_weights
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest, installed_versions, utc_now
from muc_core.errors import MucError
from muc_core.jobs.training import STATE_FILE
from muc_core.jobs.tuning.bench import Bench, Subject
from muc_core.workspace import EncoderRecord, Workspace
from muc_core.workspace.runs import RunRecord


def save_strength(bench: Bench, unlearned: EncoderRecord, strength: float, name: str) -> EncoderRecord:
    """The encoder at a strength of the dial, saved under a new name.

    Its manifest names the original, the run and the settings of the unlearned encoder, and in its settings the strength
    and `strength of`, the encoder that stands at strength 1.

    Raises:
        MucError: a name that is taken or not allowed, a strength outside the dial, encoders that no line joins.
    """
    bench.workspace.check_new_name(name)
    base = unlearned.manifest
    weights = bench.weights(Subject(unlearned, strength))
    manifest = EncoderManifest(
        name=name,
        title=f"{base.name} at strength {strength:g}",
        family=base.family,
        architecture=base.architecture,
        method=base.method,
        original=base.original,
        settings={**base.settings, "strength": round(strength, 6), "strength of": base.name},
        seeds=base.seeds,
        data=base.data,
        versions=installed_versions(),
        preset=base.preset,
        preprocessing=base.preprocessing,
        output=base.output,
        classes=base.classes,
        run_time_s=base.run_time_s,
        run=base.run,
        created=utc_now(),
    )
    return bench.workspace.save_encoder(manifest, weights)


def keep_checkpoint(workspace: Workspace, run: RunRecord, name: str) -> EncoderRecord:
    """The latest checkpoint of a run as an encoder.

    Raises:
        MucError: there is no checkpoint yet, the original is gone, or the name is taken or not allowed.
    """
    workspace.check_new_name(name)
    checkpoints = run.checkpoints()
    if not checkpoints:
        raise MucError(f"the run {run.manifest.id} kept no state yet, so that there is nothing to keep; let it go on")
    latest, manifest = checkpoints[-1], run.manifest
    original = None if manifest.original is None else workspace.encoder(manifest.original).manifest
    kept = EncoderManifest(
        name=name,
        title=f"{manifest.title}, stopped at step {latest.step:,}",
        family=manifest.family,
        architecture=manifest.architecture,
        method=manifest.method,
        original=manifest.original,
        settings={**manifest.settings, "stopped at step": latest.step},
        seeds=manifest.seeds,
        data=manifest.data,
        versions=installed_versions(),
        preset=original.preset if original else None,
        preprocessing=original.preprocessing if original else None,
        output=original.output if original else None,
        classes=original.classes if original else (),
        run_time_s=_run_time(run, latest.step),
        metrics={f"last {term}": value for term, value in latest.values.items()},
        run=manifest.id,
    )
    weights = FAMILIES.get(manifest.family).finished(load_weights(latest.path))
    return workspace.save_encoder(kept, weights)


def _run_time(run: RunRecord, step: int) -> float | None:
    """Seconds of training up to a step; None when the state that says so is of another one."""
    try:
        state = load_training_state(run.folder / STATE_FILE)
    except MucError:
        return None
    return float(state["run_time_s"]) if state.get("step") == step else None
