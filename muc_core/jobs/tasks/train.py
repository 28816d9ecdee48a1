"""Training an original encoder as a job."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.data.classes import class_names
from muc_core.data.demo import demo_split
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.data.splits import make_split, training_subset
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.tasks.unlearn import method_settings
from muc_core.jobs.training import saved_before, train_and_save
from muc_core.progress import Progress
from muc_core.unlearning.engine import TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds
from muc_core.workspace import Workspace

KIND = "train"


class TrainJob(BaseModel):
    """What to train on, which architecture, how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="name of the encoder to make")
    data: str = Field(default="demo", description="demo, or a folder or zip of pictures with captions.csv")
    family: str = Field(default="clip", description="encoder family")
    architecture: str = Field(default="muc-tiny", description="architecture within the family")
    held_out: int = Field(default=160, ge=0, description="pictures held out as controls; the demo has its own split")
    calibration: int = Field(default=160, ge=0, description="further pictures held out for calibration")
    forget: str | None = Field(default=None, description="forget set, kept in training and never drawn as held-out")
    most_forget: int | None = Field(default=None, ge=1, description="train on at most so many of the forget set")
    most_retain: int | None = Field(default=None, ge=1, description="train on at most so many of the other pictures")
    preset: str | None = Field(default=None, description="name of the preset that all this comes from")
    settings: dict[str, JsonValue] = Field(default_factory=dict, description="training settings; the rest are defaults")
    seed: int = Field(default=0, ge=0, description="of split, initial weights, order and views")
    resume: str | None = Field(default=None, description="id of a run of the same job to go on with")


def run(job: TrainJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Train and save. Returns `{"encoder": name, "run": id}`. Raises `MucError`, `Cancelled`."""
    if (saved := saved_before(job.name, workspace)) is not None:
        return saved
    workspace.check_new_name(job.name)
    # training an original is Retrain before anything is to be forgotten: all training items are retained
    method = METHODS.get("retrain")
    settings = method_settings(method, job.settings)
    family = FAMILIES.get(job.family)
    dataset = load_dataset(job.data)
    if job.data == "demo":
        split = demo_split()
        if job.forget:
            split = split.choose_forget(resolve_ids(job.forget, dataset, split))
    else:
        forget = resolve_ids(job.forget, dataset, None) if job.forget else ()
        split = make_split(dataset, seed=job.seed, held_out=job.held_out, calibration=job.calibration, forget=forget)
    split = split.limited(most_forget=job.most_forget, most_retain=job.most_retain)
    training = training_subset(dataset, split, "train")
    classes = class_names(training.labels) if family.has_classes else ()
    architecture = _with_classes(job.architecture, classes) if family.has_classes else job.architecture
    seeds = Seeds.from_one(job.seed)
    manifest = EncoderManifest(
        name=job.name,
        title=f"{job.family} {architecture} trained on {job.data}",
        family=job.family,
        architecture=architecture,
        classes=classes,
        preset=job.preset,
        settings=settings.model_dump(mode="json"),
        seeds={"run": job.seed, "split": split.seed, **seeds.model_dump()},
        data=DataReference(spec=job.data, digest=dataset.digest(), split=split),
    )
    return train_and_save(
        manifest,
        kind=KIND,
        model=family.build(architecture, seeds.weights),
        method=method,
        data=TrainingSet(retain=training, forget=None, classes=classes),
        settings=settings,
        seeds=seeds,
        workspace=workspace,
        progress=progress,
        resume=job.resume,
    )


def _with_classes(architecture: str, classes: tuple[str, ...]) -> str:
    """The architecture with as many outputs as there are classes. Raises `MucError` when it has another number."""
    name, _, count = architecture.partition("@")
    if count and count != str(len(classes)):
        raise MucError(
            f"the architecture {architecture!r} is for {count[:20]} classes and the training data have {len(classes)}; "
            f"write {name}@{len(classes)}, or {name} alone"
        )
    return f"{name}@{len(classes)}"


TASKS.register(KIND, Task(KIND, TrainJob, run, joint=True))
