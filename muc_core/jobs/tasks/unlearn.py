"""Unlearning as a job: from an original encoder and a forget set to an unlearned encoder in the workspace."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import nn

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401  (registers them; the former the families)
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.data.splits import make_split
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES, Family, fit_weights
from muc_core.encoders.manifest import DataReference, EncoderManifest, explain
from muc_core.errors import MucError
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.training import saved_before, train_and_save
from muc_core.jobs.tuning.course import Watch
from muc_core.progress import Progress
from muc_core.unlearning.engine import TrainingSet
from muc_core.unlearning.method import METHODS, Method
from muc_core.unlearning.settings import Seeds, TrainingSettings
from muc_core.workspace import Workspace

KIND = "unlearn"


class UnlearnJob(BaseModel):
    """What to unlearn, from which encoder, how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(description="name of an unlearning method")
    original: str = Field(description="name of the encoder that was trained on the forget set")
    forget: str = Field(description="the forget set, such as owner:artist, category:animal-bird or ids:FILE")
    name: str = Field(description="name of the encoder to make")
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="settings of the method; the rest are its defaults"
    )
    data: str | None = Field(
        default=None, description="what an encoder from elsewhere was trained on; one from here knows its own"
    )
    seed: int = Field(default=0, ge=0, description="of order, views, partners and, for Retrain, initial weights")
    audits: bool = Field(default=False, description="look at the forget set at every checkpoint: a quick audit")


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run that can be started.

    Attributes:
        manifest: of the encoder to make.
        family, model, method, data, settings, seeds: for `Trainer`.
    """

    manifest: EncoderManifest
    family: Family
    model: nn.Module
    method: Method[TrainingSettings]
    data: TrainingSet
    settings: TrainingSettings
    seeds: Seeds


def method_settings(method: Method[TrainingSettings], given: dict[str, JsonValue]) -> TrainingSettings:
    """Validated settings of a method. Raises `MucError` naming the field and what would be accepted."""
    try:
        return method.settings.model_validate(given)
    except ValidationError as error:
        known = ", ".join(method.settings.model_fields)
        raise MucError(f"settings of {method.name}: {explain(error)} (its settings are {known})") from error


def _training_data(job: UnlearnJob, manifest: EncoderManifest) -> tuple[DataReference, ImageTextDataset]:
    """What the original was trained on, with the split that says what is to be forgotten."""
    if manifest.data is None and job.data is None:
        raise MucError(
            f"it is not known what {job.original!r} was trained on; name its training data (muc unlearn --data), or "
            "unlearn an encoder that was trained here"
        )
    if manifest.data is not None and job.data not in (None, manifest.data.spec):
        raise MucError(f"{job.original!r} was trained on {manifest.data.spec!r}; leave the data out")
    spec = manifest.data.spec if manifest.data else str(job.data)
    dataset = load_dataset(spec)
    digest = dataset.digest()
    if manifest.data is None:
        # all of them were trained on: none can be held out as a control, unless the data set itself sets some apart
        forget = resolve_ids(job.forget, dataset, None)
        split = make_split(dataset, seed=job.seed, held_out=0, calibration=0, forget=forget)
        return DataReference(spec=spec, digest=digest, split=split), dataset
    if digest != manifest.data.digest:
        raise MucError(f"the data {spec!r} changed since {job.original!r} was trained on it; restore it")
    split = manifest.data.split.choose_forget(resolve_ids(job.forget, dataset, manifest.data.split))
    return DataReference(spec=spec, digest=digest, split=split), dataset


def prepare(job: UnlearnJob, workspace: Workspace) -> PreparedRun:
    """Load what a run needs. Raises `MucError` when it cannot be made."""
    method = METHODS.get(job.method)
    settings = method_settings(method, job.settings)
    original = workspace.encoder(job.original)
    manifest = original.manifest
    if manifest.family not in FAMILIES.names():
        raise MucError(
            f"{job.original!r} is opened as {manifest.family}, which can be asked for vectors but not trained; unlearn "
            f"an encoder of {', '.join(FAMILIES.names())}"
        )
    method.check_family(manifest.family)
    reference, dataset = _training_data(job, manifest)
    split = reference.split
    family = FAMILIES.get(manifest.family)
    seeds = Seeds.from_one(job.seed)
    model = family.build(manifest.architecture, seeds.weights)
    if manifest.preprocessing is not None:
        family.set_preprocessing(model, manifest.preprocessing)
    if not method.from_scratch:
        fit_weights(model, load_weights(original.weights), manifest)
    data = TrainingSet.of(dataset, split, method, classes=manifest.classes)
    made = EncoderManifest(
        name=job.name,
        title=f"{job.original} after {method.title}",
        family=manifest.family,
        architecture=manifest.architecture,
        method=method.name,
        original=job.original,
        preset=manifest.preset,
        preprocessing=manifest.preprocessing,
        output=manifest.output,
        classes=manifest.classes,
        settings=settings.model_dump(mode="json"),
        seeds={"run": job.seed, "split": split.seed, **seeds.model_dump()},
        data=reference,
    )
    return PreparedRun(made, family, model, method, data, settings, seeds)


def run(job: UnlearnJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Unlearn and save. Returns `{"encoder": name, "run": id}`. Raises `MucError`, `Cancelled`."""
    if (saved := saved_before(job.name, workspace)) is not None:
        return saved
    workspace.check_new_name(job.name)
    ready = prepare(job, workspace)
    assert ready.manifest.data is not None  # a prepared run knows its data
    return train_and_save(
        ready.manifest,
        kind=KIND,
        model=ready.model,
        method=ready.method,
        data=ready.data,
        settings=ready.settings,
        seeds=ready.seeds,
        workspace=workspace,
        progress=progress,
        watch=Watch(workspace, ready.manifest, ready.manifest.data) if job.audits else None,
    )


TASKS.register(KIND, Task(KIND, UnlearnJob, run, joint=True))
