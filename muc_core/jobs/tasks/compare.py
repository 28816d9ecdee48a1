"""Encoders made from one original with one forget set, measured with one yardstick and put side by side.

What is found of each encoder is kept by itself (`muc_core.jobs.tuning.bench`) and shared with the strength dial.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.utility import mean_difference
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.tuning.bench import Bench, Measured, Subject, reference_of, siblings
from muc_core.jobs.tuning.measure import Figures, Material, Yardstick
from muc_core.jobs.tuning.stages import Stages
from muc_core.progress import SILENT, Progress
from muc_core.workspace import Workspace

KIND = "compare"


class CompareSettings(BaseModel):
    """Which encoders to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    original: str = Field(description="name of the encoder before")
    encoders: tuple[str, ...] = Field(min_length=1, description="names of encoders made from it with one forget set")
    yardstick: Yardstick = Field(default_factory=Yardstick, description="how to measure")


@dataclass(frozen=True)
class Compared:
    """One encoder of a comparison; `measured` is None until it has been measured."""

    manifest: EncoderManifest
    measured: Measured | None

    @property
    def figures(self) -> Figures | None:
        return None if self.measured is None else self.measured.figures


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Encoders side by side.

    Attributes:
        material: the pictures that all of them were shown.
        original: the encoder before.
        encoders: the others, in the order asked for.
        key: changes when anything more has been measured.
    """

    material: Material
    original: Compared
    encoders: tuple[Compared, ...]
    key: str

    @property
    def missing(self) -> int:
        """How many are still to be measured."""
        return sum(compared.measured is None for compared in (self.original, *self.encoders))

    @property
    def retrained(self) -> Compared | None:
        """Retrain, the yardstick of all methods, when it is among the encoders and was measured."""
        return next((one for one in self.encoders if one.manifest.method == "retrain" and one.figures), None)


def gap(figures: Figures, retrained: Figures) -> float:
    """Mean absolute difference to Retrain over top-1 and own similarity of the forget, retain and held-out sets."""
    sets = ("forget", "retain", "held_out")
    return mean_difference([getattr(figures, name) for name in sets], [getattr(retrained, name) for name in sets])


def candidates(workspace: Workspace, original: str, unlearned: str) -> tuple[str, ...]:
    """Names of the encoders that can stand beside `unlearned`: of the same original and forget set, itself among them.

    Raises:
        UnknownName: no such encoder.
        MucError: `unlearned` was not made from `original`, or its data are unknown.
    """
    manifest = workspace.encoder(unlearned).manifest
    if manifest.original != original:
        raise MucError(
            f"{unlearned!r} was not made from {original!r}; choose as After an encoder that was unlearned from the one "
            "before"
        )
    return tuple(record.manifest.name for record in siblings(workspace, original, reference_of(manifest)))


def compare(workspace: Workspace, settings: CompareSettings, *, progress: Progress = SILENT) -> SideBySide:
    """Measure what has not been measured yet.

    Raises:
        UnknownName: no such encoder.
        MucError: encoders of another original or forget set, changed data, too few pictures for an audit.
        Cancelled: from `progress`; what was measured stays.
    """
    bench = open_bench(workspace, settings)
    subjects = subjects_of(bench, settings)
    stages = Stages(progress, len(subjects))
    for subject in subjects:
        bench.measure(subject, stages.next(f"looking at {subject.encoder.manifest.name}"))
    return collect(bench, subjects)


def read_comparison(workspace: Workspace, settings: CompareSettings) -> SideBySide:
    """What has been measured so far; nothing is computed. Raises as `compare`."""
    bench = open_bench(workspace, settings)
    return collect(bench, subjects_of(bench, settings))


def run(settings: CompareSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Measure. Returns `{"encoders": how many}`; see `read_comparison`."""
    return {"encoders": len(compare(workspace, settings, progress=progress).encoders)}


def open_bench(workspace: Workspace, settings: CompareSettings, *, material: Material | None = None) -> Bench:
    """The bench that measures these encoders. Raises as `compare`."""
    known = candidates(workspace, settings.original, settings.encoders[0])
    if strange := [name for name in settings.encoders if name not in known]:
        raise MucError(
            f"{strange[0]!r} was not made from {settings.original!r} with the forget set of "
            f"{settings.encoders[0]!r}; only such encoders can be compared ({', '.join(known)})"
        )
    reference = reference_of(workspace.encoder(settings.encoders[0]).manifest)
    return Bench(workspace, settings.original, reference, settings.yardstick, material=material)


def subjects_of(bench: Bench, settings: CompareSettings) -> list[Subject]:
    """What a comparison measures, the original first."""
    return [Subject(bench.original), *(Subject(bench.workspace.encoder(name)) for name in settings.encoders)]


def collect(bench: Bench, subjects: Sequence[Subject]) -> SideBySide:
    """What has been measured of the subjects, the original first."""
    found = [Compared(subject.encoder.manifest, bench.read(subject)) for subject in subjects]
    keys = [bench.key(subject) for subject, one in zip(subjects, found, strict=True) if one.measured]
    return SideBySide(bench.material, found[0], tuple(found[1:]), "/".join(keys))


TASKS.register(KIND, Task(KIND, CompareSettings, run))
