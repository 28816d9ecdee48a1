"""The evidence of an audit that was made while measuring: its vectors were not kept, so they are asked for again."""

from dataclasses import replace

from muc_core.audit.honesty import NEAR_DUPLICATES
from muc_core.auditing import NOT_PROBED
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evidence.manifest import EncoderIdentity, Role
from muc_core.evidence.pack import Draft, take_down
from muc_core.jobs.tasks.audit import question
from muc_core.jobs.tuning.bench import Bench, Subject
from muc_core.progress import SILENT, Progress


def measured_draft(bench: Bench, name: str, progress: Progress = SILENT) -> Draft:
    """The evidence of a saved encoder's audit, made again with the same pictures, views and permutations.

    Raises:
        UnknownName: no such encoder.
        MucError: it was not measured, the audit made again has another verdict, or more than a pack holds.
        Cancelled: from `progress`.
    """
    subject = Subject(bench.workspace.encoder(name))
    measured = bench.read(subject)
    if measured is None or measured.figures is None:
        raise MucError(f"{name!r} has no verdict yet; measure it first")
    inputs = bench.audit_inputs(bench.encoder(subject), progress)
    if all(check.name != NEAR_DUPLICATES for check in inputs.checks):
        inputs = replace(inputs, warnings=(NOT_PROBED,))
    result, said = inputs.result(), measured.figures.audit.verdict
    if result.verdict != said:
        raise MucError(
            f"made again, the audit of {name!r} says {result.verdict!r} and not {said!r}, so that it is no evidence of "
            "what is shown; audit it with `muc audit`"
        )
    manifests: dict[Role, EncoderManifest] = {"before": bench.original.manifest, "after": subject.encoder.manifest}
    return take_down(
        inputs,
        result,
        title=question(name, result.n_items),
        owner=bench.material.forget,
        controls=bench.material.controls,
        encoders={role: EncoderIdentity.of(manifest) for role, manifest in manifests.items()},
    )
