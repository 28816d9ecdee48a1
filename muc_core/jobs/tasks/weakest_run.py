"""The weakest setting at which no trace is found, over real runs: unlearns anew with each value that it tries.

Every trial is kept as an encoder, NAME-SETTING-VALUE, and one that is there already is not made again.
"""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from muc_core.errors import MucError
from muc_core.evaluation.weakest import Search, Trial, find_weakest
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.tasks.unlearn import UnlearnJob, method_settings
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.jobs.tuning.bench import Bench, Subject, reference_of
from muc_core.jobs.tuning.measure import Yardstick
from muc_core.jobs.tuning.stages import Stages
from muc_core.progress import SILENT, Progress
from muc_core.unlearning.method import METHODS, Method
from muc_core.unlearning.settings import TrainingSettings
from muc_core.workspace import EncoderRecord, Workspace

KIND = "weakest_run"


class WeakestRunSettings(BaseModel):
    """Which runs to try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: UnlearnJob = Field(description="the run; its name begins those of the trials")
    setting: str = Field(description="a number of the method's own, such as alpha or beta")
    low: float = Field(gt=0, description="weakest value to try")
    high: float = Field(gt=0, description="strongest value to try")
    halvings: int = Field(default=4, ge=1, le=12, description="of the interval, by ratio; each is a run")
    yardstick: Yardstick = Field(default_factory=Yardstick, description="how to measure")


def strengths_of(method: Method[TrainingSettings]) -> tuple[str, ...]:
    """Settings of a method's own that say how strongly it unlearns: its numbers."""
    own = {name: field for name, field in method.settings.model_fields.items() if field.annotation is float}
    return tuple(name for name in own if name not in TrainingSettings.model_fields)


def search(workspace: Workspace, settings: WeakestRunSettings, *, progress: Progress = SILENT) -> Search:
    """Bisect by ratio, which suits a strength.

    Raises:
        MucError: a setting that the method does not have, an interval that is none, or as the runs themselves.
        Cancelled: from `progress`; the encoders of finished trials stay.
    """
    method = METHODS.get(settings.job.method)
    known = strengths_of(method)
    if settings.setting not in known:
        raise MucError(
            f"{method.title} has no strength called {settings.setting!r}"
            + (f"; it has {', '.join(known)}" if known else "; its epochs and learning rate are all there is to turn")
        )
    if settings.low >= settings.high:
        raise MucError(f"the weakest value, {settings.low:g}, must lie below the strongest, {settings.high:g}")
    for value in (settings.low, settings.high):
        method_settings(method, {**settings.job.settings, settings.setting: value})
    stages = Stages(progress, 2 * (settings.halvings + 2))
    benches: list[Bench] = []

    def ask(value: float) -> Trial:
        rounded = float(f"{value:.3g}")
        stage = stages.next(f"{settings.setting} {rounded:g}")
        record = _trial(workspace, settings, rounded, stage)
        if not benches:
            reference = reference_of(record.manifest)
            benches.append(Bench(workspace, settings.job.original, reference, settings.yardstick))
        measured = benches[0].measure(Subject(record), stages.next(f"audit of {record.manifest.name}"))
        return measured.trial(rounded)

    return find_weakest(ask, low=settings.low, high=settings.high, steps=settings.halvings, scale="log")


def trial_name(settings: WeakestRunSettings, value: float) -> str:
    """Name of the encoder of a trial."""
    return f"{settings.job.name}-{settings.setting.replace('_', '-')}-{value:g}".replace("+", "")


def _trial(workspace: Workspace, settings: WeakestRunSettings, value: float, progress: Progress) -> EncoderRecord:
    """The encoder of a trial, unlearned unless it is there already."""
    name = trial_name(settings, value)
    wanted = {**settings.job.settings, settings.setting: value}
    dumped = method_settings(METHODS.get(settings.job.method), wanted).model_dump(mode="json")
    for record in workspace.encoders():
        manifest = record.manifest
        if manifest.name != name:
            continue
        made_so = (manifest.original, manifest.method, manifest.settings, manifest.seeds.get("run"))
        if made_so == (settings.job.original, settings.job.method, dumped, settings.job.seed):
            return record
        raise MucError(f"there is an encoder {name!r} already, made in another way; choose another name for the trials")
    unlearn(settings.job.model_copy(update={"name": name, "settings": wanted}), workspace, progress)
    return workspace.encoder(name)


def run(settings: WeakestRunSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """The result.

    Returns:
        `{"search": ..., "probed": ..., "trials": {value: encoder}}`: a `Search` as JSON, whether what passed was
        probed, and the encoder of each trial.
    """
    found = search(workspace, settings, progress=progress)
    names: dict[str, JsonValue] = {f"{t.value:g}": trial_name(settings, t.value) for t in found.trials}
    return {"search": found.model_dump(mode="json"), "probed": settings.yardstick.probes, "trials": names}


TASKS.register(KIND, Task(KIND, WeakestRunSettings, run))
