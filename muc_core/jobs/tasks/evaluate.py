"""White-box evaluation as a job: is an unlearned encoder like one that was retrained, and what did it cost?

For those who hold the weights and the training data; see `muc_core.evaluation`.

    evaluations/KEY.json  an encoder's figures with one seed; KEY is made of the encoder, the pictures and the settings
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401  (registers them; the former the families)
from muc_core.data.augment import AugmentSettings
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.data.splits import DataSplit
from muc_core.encoders.embed import AUDIT_VIEWS
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.cost import training_flops, views_seen
from muc_core.evaluation.gap import average_gap
from muc_core.evaluation.metrics import METRICS
from muc_core.evaluation.probe import Solver
from muc_core.evaluation.spread import spread
from muc_core.evaluation.tables import Table
from muc_core.evaluation.white_box import Evaluation, EvaluationSettings, Pictures, Subject, WhiteBox
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import SILENT, Progress
from muc_core.unlearning.method import METHODS
from muc_core.workspace import EncoderRecord, Workspace
from muc_core.workspace.files import write_file, writing

KIND = "evaluate"
NO_RETRAIN = "there is no Retrain to compare with, and nothing else can stand for it; name one (--retrained)"
COMPARED = ("gap", "collateral", "beyond_retrain", "views", "cka", "neighbours")

_FORMAT = 1


class EvaluateJob(BaseModel):
    """What to evaluate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoders: tuple[str, ...] = Field(min_length=1, description="names of encoders")
    retrained: str | None = Field(default=None, description="name of an encoder trained without the forget set")
    forget: str = Field(default="forget", description="the forget set, such as owner:artist")
    held_out: str = Field(default="held-out", description="pictures that none of the encoders was trained on")
    data: str | None = Field(default=None, description="what encoders from elsewhere were trained on")
    seeds: int = Field(default=3, ge=1, le=100, description="evaluations of each encoder, with seeds from 0 on")
    probe: Solver = Field(default="lbfgs", description="how the linear probe is trained: lbfgs, or the paper's sgd")


class Evaluations(BaseModel):
    """What was found of several encoders on the same pictures, by encoder and in the order of seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retrained: str | None
    encoders: dict[str, tuple[Evaluation, ...]]

    def table(self) -> Table:
        """A row a metric, a column an encoder: mean ± spread over the seeds."""
        rows = []
        for metric in METRICS:
            cells = []
            for found in self.encoders.values():
                values = [each.values[metric.name] for each in found if metric.name in each.values]
                cells.append(spread([values]).text(metric) if values else "–")
            if any(cell != "–" for cell in cells):
                rows.append((metric.title, *cells))
        return Table(("metric", *self.encoders), tuple(rows))

    def explain(self) -> tuple[str, ...]:
        """What is missing and why, and what the figures leave out."""
        sentences: list[str] = []
        for found in self.encoders.values():
            first = found[0]
            for reason, names in first.missing.items():
                titles = ", ".join(METRICS.get(name).title for name in names)
                sentences.append(f"Not computed ({titles}): {reason}.")
            sentences += first.notes
        return tuple(dict.fromkeys(sentences))


def evaluate(workspace: Workspace, job: EvaluateJob, *, progress: Progress = SILENT) -> Evaluations:
    """Evaluate encoders, unless that has been done, and keep what was found.

    Raises:
        UnknownName: no such encoder or set.
        MucError: it is not known what they were trained on, pictures that were or were not trained on against what is
            said of them.
        Cancelled: from `progress`.
    """
    names = list(dict.fromkeys([*job.encoders, *([job.retrained] if job.retrained else [])]))
    records = {name: workspace.encoder(name) for name in names}
    pictures = _pictures(job, [record.manifest for record in records.values()])
    retrained = None if job.retrained is None else records[job.retrained]
    if retrained is not None:
        refuse_trained_on(retrained.manifest, pictures.forget)
    total = len(records) * job.seeds
    found: dict[str, list[Evaluation]] = {name: [] for name in names}
    for seed in range(job.seeds):
        box = WhiteBox(pictures, EvaluationSettings(seed=seed, probe=job.probe))
        for record in sorted(records.values(), key=lambda each: each is not retrained):
            done = sum(map(len, found.values()))
            stage = _Stage(progress, done, total)
            values = evaluate_one(workspace, box, record, retrained, progress=stage)
            found[record.manifest.name].append(values)
    progress.report(total, total, "evaluated")
    return Evaluations(retrained=job.retrained, encoders={name: tuple(values) for name, values in found.items()})


def evaluate_one(
    workspace: Workspace,
    box: WhiteBox,
    record: EncoderRecord,
    retrained: EncoderRecord | None,
    *,
    progress: Progress = SILENT,
) -> Evaluation:
    """One encoder's figures, with its cost, and its gap to Retrain where there is one; kept in the workspace.

    Raises:
        MucError: as `WhiteBox.evaluate`; the two have no metric in common.
        Cancelled: from `progress`.
    """
    found = _alone(workspace, box, record, progress)
    manifest, values = record.manifest, dict(found.values)
    if manifest.run_time_s is not None:
        values["rte"] = manifest.run_time_s
    seen, subject = views_of(manifest), subject_of(workspace, record)
    if seen is not None:
        values["flops"] = training_flops(subject.encoder, seen) / 1e12
    if retrained is None:
        return found.model_copy(update={"values": values, "missing": {**found.missing, NO_RETRAIN: COMPARED}})
    wanted = _alone(workspace, box, retrained, progress).values
    gap = average_gap(values, wanted)
    values |= {"gap": gap.average, "collateral": gap.collateral}
    if "similarity_forget" in values and "similarity_forget" in wanted:
        values["beyond_retrain"] = values["similarity_forget"] - wanted["similarity_forget"]
    theirs = views_of(retrained.manifest)
    if seen is not None and theirs:
        values["views"] = seen / theirs
    values |= box.compare(subject, subject_of(workspace, retrained), progress=progress)
    return found.model_copy(update={"values": values})


def _alone(workspace: Workspace, box: WhiteBox, record: EncoderRecord, progress: Progress) -> Evaluation:
    path = workspace.home / "evaluations" / f"{_key(box, record)}.json"
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        found = box.evaluate(subject_of(workspace, record), progress=progress)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, found.model_dump_json(indent=1).encode())
    return found


def views_of(manifest: EncoderManifest) -> int | None:
    """Picture views that made an encoder, as counted or else from its settings; None where that is not known."""
    if manifest.views is not None:
        return manifest.views
    epochs, name = manifest.settings.get("epochs"), manifest.method or "retrain"
    if not isinstance(epochs, int) or manifest.data is None:
        return None
    if manifest.family not in FAMILIES.names() or name not in METHODS.names():
        return None
    method, family, split = METHODS.get(name), FAMILIES.get(manifest.family), manifest.data.split
    two_view = not (family.has_text or family.has_classes)
    if manifest.method is None:
        return views_seen(epochs=epochs, retain=len(split.train), forget=0, views=2 if two_view else 1)
    return views_seen(
        epochs=epochs,
        retain=len(split.retain) if method.uses != "forget" else 0,
        forget=len(split.forget) if method.uses != "retain" else 0,
        views=2 if two_view else 1,
        third_view=method.partners and two_view,
    )


def subject_of(workspace: Workspace, record: EncoderRecord) -> Subject:
    """An encoder that gives features h, with the views it was trained with."""
    manifest = record.manifest
    workspace.load(manifest.name)  # refuses weights that are not those saved
    trained = manifest.family in FAMILIES.names()
    two_view = trained and not FAMILIES.get(manifest.family).has_text
    # a CLIP has no projection head: its image_features are taken
    opened = manifest.model_copy(update={"output": "features"}) if two_view else manifest
    augment = manifest.settings.get("augment")
    if augment is not None:
        views = AugmentSettings.model_validate(augment)
    else:
        views = FAMILIES.get(manifest.family).default_augment if trained else AUDIT_VIEWS
    return Subject(load_encoder(opened, record.folder), views)


def refuse_trained_on(retrained: EncoderManifest, forget: ImageTextDataset) -> None:
    """Raises `MucError` when what is given as Retrain saw some of the forget set."""
    if retrained.data is None:
        return
    split = retrained.data.split
    trained = set(split.retain if retrained.method == "retrain" else split.train)
    if wrong := [item_id for item_id in forget.item_ids if item_id in trained]:
        raise MucError(
            f"{retrained.name!r} was trained on {wrong[0]!r} (on {len(wrong)} of the forgotten pictures), so it is no "
            "Retrain for them; name one that never saw them, or none"
        )


def run(settings: EvaluateJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Evaluate. Returns `{"evaluated": names}`; asked again, `evaluate` has them at once."""
    found = evaluate(workspace, settings, progress=progress)
    return {"evaluated": list(found.encoders)}


def _pictures(job: EvaluateJob, manifests: Sequence[EncoderManifest]) -> Pictures:
    known = [manifest.data for manifest in manifests if manifest.data is not None]
    if not known and job.data is None:
        raise MucError(
            f"it is not known what {manifests[0].name!r} was trained on; name its training data (--data), or evaluate "
            "an encoder that was trained here"
        )
    # an unlearned encoder's split says what it was asked to forget, an original's only what it could be
    unlearned = [manifest.data for manifest in manifests if manifest.data is not None and manifest.method is not None]
    reference = next(iter([*unlearned, *known]), None)
    dataset = load_dataset(job.data or (reference.spec if reference else ""))
    split = reference.split if reference is not None and dataset.digest() == reference.digest else None
    if reference is not None and split is None:
        raise MucError(f"the data are not those that the encoders were trained on ({reference.spec!r}); restore them")
    forget, held_out = (resolve_ids(spec, dataset, split) for spec in (job.forget, job.held_out))
    for manifest in manifests:
        _refuse_known(manifest, held_out, dataset)
    trained = split.train if split is not None else dataset.ids
    retain = sorted(set(trained) - set(forget) - set(held_out))
    if not retain:
        raise MucError("no retained pictures are left beside the forget set; choose a smaller one")
    return Pictures(dataset.subset(forget), dataset.subset(retain), dataset.subset(held_out))


def _refuse_known(manifest: EncoderManifest, held_out: Sequence[str], dataset: ImageTextDataset) -> None:
    if manifest.data is None:
        return
    if manifest.data.digest != dataset.digest():
        raise MucError(f"{manifest.name!r} was trained on other data ({manifest.data.spec!r}); evaluate it alone")
    split: DataSplit = manifest.data.split
    if wrong := sorted(set(held_out) & set(split.train)):
        raise MucError(
            f"{manifest.name!r} was trained on the held-out picture {wrong[0]!r}; choose pictures that no encoder saw"
        )


def _key(box: WhiteBox, record: EncoderRecord) -> str:
    content = {
        "format": _FORMAT,
        # by name too, because the result calls the encoder by it
        "encoder": [record.manifest.name, record.manifest.content_digest],
        "pictures": [part.digest() for part in box.pictures.parts.values()],
        "labels": [list(part.labels) for part in box.pictures.parts.values()],
        "settings": box.settings.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Stage:
    """Progress of one of several evaluations."""

    whole: Progress
    number: int
    count: int

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.whole.report(self.number, self.count, message, values)


TASKS.register(KIND, Task(KIND, EvaluateJob, run))
