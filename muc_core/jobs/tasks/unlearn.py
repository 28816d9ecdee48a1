"""Unlearning as a job: from an original encoder and a forget set to an unlearned encoder in the workspace."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401  (registers them; the former the families)
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.data.splits import training_subset
from muc_core.encoders.checkpoint import full, load_weights
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import DataReference, EncoderManifest, explain
from muc_core.errors import MucError
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.training import train_and_save
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
    seed: int = Field(default=0, ge=0, description="of order, views, partners and, for Retrain, initial weights")


def method_settings(method: Method[TrainingSettings], given: dict[str, JsonValue]) -> TrainingSettings:
    """Validated settings of a method. Raises `MucError` naming the field and what would be accepted."""
    try:
        return method.settings.model_validate(given)
    except ValidationError as error:
        known = ", ".join(method.settings.model_fields)
        raise MucError(f"settings of {method.name}: {explain(error)} (its settings are {known})") from error


def run(job: UnlearnJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Unlearn and save. Returns `{"encoder": name, "run": id}`. Raises `MucError`, `Cancelled`."""
    workspace.check_new_name(job.name)
    method = METHODS.get(job.method)
    settings = method_settings(method, job.settings)
    original = workspace.encoder(job.original)
    manifest = original.manifest
    if manifest.data is None:
        raise MucError(
            f"it is not known what {job.original!r} was trained on; unlearn an encoder that was trained here"
        )
    dataset = load_dataset(manifest.data.spec)
    if dataset.digest() != manifest.data.digest:
        raise MucError(f"the data {manifest.data.spec!r} changed since {job.original!r} was trained on it; restore it")
    split = manifest.data.split.choose_forget(resolve_ids(job.forget, dataset, manifest.data.split))
    family = FAMILIES.get(manifest.family)
    seeds = Seeds.from_one(job.seed)
    model = family.build(manifest.architecture, seeds.weights)
    if not method.from_scratch:
        model.load_state_dict(full(load_weights(original.weights)))
    data = TrainingSet(
        retain=training_subset(dataset, split, "retain") if method.uses != "forget" else None,
        forget=training_subset(dataset, split, "forget") if method.uses != "retain" else None,
    )
    return train_and_save(
        EncoderManifest(
            name=job.name,
            title=f"{job.original} after {method.title}",
            family=manifest.family,
            architecture=manifest.architecture,
            method=method.name,
            original=job.original,
            preset=manifest.preset,
            preprocessing=manifest.preprocessing,
            output=manifest.output,
            settings=settings.model_dump(mode="json"),
            seeds={"run": job.seed, "split": split.seed, **seeds.model_dump()},
            data=DataReference(spec=manifest.data.spec, digest=manifest.data.digest, split=split),
        ),
        kind=KIND,
        model=model,
        method=method,
        data=data,
        settings=settings,
        seeds=seeds,
        workspace=workspace,
        progress=progress,
    )


TASKS.register(KIND, Task(KIND, UnlearnJob, run))
