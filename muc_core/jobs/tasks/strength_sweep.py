"""The strength dial as a job: measures encoders on the line from the original through the unlearned one.

What is found of each strength is kept by itself (`muc_core.jobs.tuning.bench`), so that the dial can be turned while
the rest is being measured, and a cancelled sweep goes on where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.weights import STRONGEST
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.tuning.bench import Bench, Measured, Subject, check_pair, reference_of, siblings
from muc_core.jobs.tuning.measure import Material, Yardstick
from muc_core.jobs.tuning.stages import Stages
from muc_core.progress import SILENT, Progress
from muc_core.workspace import Workspace

KIND = "strength_sweep"
STRENGTHS = tuple(place / 8 for place in range(13))


class StrengthSweepSettings(BaseModel):
    """Which line to measure, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = Field(description="name of the original encoder, strength 0")
    after: str = Field(description="name of the encoder that was unlearned from it, strength 1")
    strengths: tuple[float, ...] = Field(default=STRENGTHS, min_length=2, description="0 to 1.5")
    others: bool = Field(
        default=True, description="measure the other encoders made from the original with this forget set, too"
    )
    yardstick: Yardstick = Field(default_factory=Yardstick, description="how to measure")

    @field_validator("strengths")
    @classmethod
    def _on_the_dial(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if wrong := [strength for strength in strengths if not 0 <= strength <= STRONGEST]:
            raise ValueError(f"a strength lies between 0 and {STRONGEST:g}, not at {wrong[0]:g}")
        return tuple(sorted({round(strength, 6) for strength in strengths}))


@dataclass(frozen=True)
class Point:
    """One encoder of a sweep.

    Attributes:
        manifest: of the encoder that stands at strength 1 of its line.
        strength: where on the dial; None for another encoder.
        measured: what was found.
    """

    manifest: EncoderManifest
    strength: float | None
    measured: Measured


@dataclass(frozen=True, eq=False)
class Sweep:
    """What is known of a line so far.

    Attributes:
        material: the pictures.
        points: those strengths that have been measured, by strength.
        others: encoders made from the original with the same forget set that have been measured.
        missing: how many are still to be measured.
        key: changes when any of the above does.
    """

    material: Material
    points: tuple[Point, ...]
    others: tuple[Point, ...]
    missing: int
    key: str


def sweep(workspace: Workspace, settings: StrengthSweepSettings, *, progress: Progress = SILENT) -> Sweep:
    """Measure what has not been measured yet.

    Raises:
        UnknownName: no such encoder.
        MucError: encoders that no line joins, unknown or changed data, too few pictures for an audit.
        Cancelled: from `progress`; what was measured stays.
    """
    bench = open_bench(workspace, settings)
    subjects = subjects_of(bench, settings)
    stages = Stages(progress, len(subjects))
    for strength, subject in subjects:
        name = subject.encoder.manifest.name
        bench.measure(subject, stages.next(f"looking at {name}" if strength is None else f"strength {strength:g}"))
    stages.report(1, 1, "")
    return collect(bench, subjects)


def read_sweep(workspace: Workspace, settings: StrengthSweepSettings, *, material: Material | None = None) -> Sweep:
    """What has been measured so far; nothing is computed. Raises as `sweep`."""
    bench = open_bench(workspace, settings, material=material)
    return collect(bench, subjects_of(bench, settings))


def open_bench(workspace: Workspace, settings: StrengthSweepSettings, *, material: Material | None = None) -> Bench:
    """The bench that measures this line. Raises as `sweep`."""
    original, unlearned = (workspace.encoder(name).manifest for name in (settings.before, settings.after))
    check_pair(original, unlearned)
    return Bench(workspace, original.name, reference_of(unlearned), settings.yardstick, material=material)


def run(settings: StrengthSweepSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Measure the line. Returns `{"strengths": how many, "others": how many}`; see `read_sweep`."""
    found = sweep(workspace, settings, progress=progress)
    if not any(point.measured.figures for point in found.points):
        raise MucError(f"no strength could be measured: {found.points[0].measured.refused}")
    return {"strengths": len(found.points), "others": len(found.others)}


def subjects_of(bench: Bench, settings: StrengthSweepSettings) -> list[tuple[float | None, Subject]]:
    """What a sweep measures, in order: (strength, subject), and the other encoders as (None, subject)."""
    unlearned = bench.workspace.encoder(settings.after)
    on_the_line: list[tuple[float | None, Subject]] = [
        (strength, Subject(unlearned, strength)) for strength in settings.strengths
    ]
    if not settings.others:
        return on_the_line
    made = siblings(bench.workspace, settings.before, reference_of(unlearned.manifest))
    return on_the_line + [(None, Subject(record)) for record in made if record.manifest.name != settings.after]


def collect(bench: Bench, subjects: Sequence[tuple[float | None, Subject]]) -> Sweep:
    """Those of the subjects that have been measured."""
    found = [(strength, subject, bench.read(subject)) for strength, subject in subjects]
    points = [
        Point(subject.encoder.manifest, strength, measured)
        for strength, subject, measured in found
        if measured is not None
    ]
    keys = [bench.key(subject) for _, subject, measured in found if measured is not None]
    return Sweep(
        bench.material,
        tuple(point for point in points if point.strength is not None),
        tuple(point for point in points if point.strength is None),
        len(found) - len(points),
        "/".join(keys),
    )


TASKS.register(KIND, Task(KIND, StrengthSweepSettings, run))
