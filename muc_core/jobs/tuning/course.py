"""The verdict so far: a quick audit at every checkpoint of a run, kept with the run.

    runs/ID/course.json

Quick means two views of each picture, fewer permutations and no probes: enough to see where a run is going, not to
judge its result.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from muc_core.audit.result import Interval, Verdict
from muc_core.encoders.base import Encoder
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs.tuning.bench import Bench
from muc_core.jobs.tuning.measure import QUICK
from muc_core.jobs.tuning.stages import Aside
from muc_core.progress import Progress
from muc_core.workspace import Workspace
from muc_core.workspace.runs import RunRecord

COURSE = "course.json"


class CoursePoint(BaseModel):
    """What a quick audit saw at one step; 0 is the original.

    Attributes:
        forget, retain, controls: mean similarity with the own caption or views.
        verdict: None when no audit was possible, which `rule` then explains.
        effect: of the forget set above the controls, in units of their spread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    forget: float | None = None
    retain: float | None = None
    controls: float | None = None
    verdict: Verdict | None = None
    effect: Interval | None = None
    rule: str


class Course(BaseModel):
    """All looks so far, by step. `refused`: why there are none, a sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: tuple[CoursePoint, ...] = ()
    refused: str | None = None


class Watch:
    """Looks at the checkpoints of one run. A look that is not possible never ends the run."""

    def __init__(self, workspace: Workspace, manifest: EncoderManifest, reference: DataReference) -> None:
        self._workspace = workspace
        self._manifest = manifest
        self._reference = reference
        self._bench: Bench | None = None
        self._course = Course()

    def go_on(self, course: Course | None) -> None:
        """Take up what was seen of a run before it was interrupted."""
        self._course = course or Course()

    def look(self, step: int, total: int, weights: Mapping[str, Tensor] | None, progress: Progress) -> bytes:
        """The course with one more point, as it is kept; weights None: those of the original. Raises `Cancelled`."""
        if self._course.refused is None:
            aside = Aside(progress, step, total, "looking at the forget set")
            try:
                self._bench = self._bench or self._open()
                encoder = self._encoder(self._bench, weights)
                point = _point(step, self._bench, encoder, aside)
                before = (one for one in self._course.points if one.step < step)
                self._course = Course(points=(*before, point))
            except MucError as refusal:
                self._course = self._course.model_copy(update={"refused": str(refusal)})
        return self._course.model_dump_json().encode()

    def _open(self) -> Bench:
        assert self._manifest.original is not None  # it is unlearned from one
        return Bench(self._workspace, self._manifest.original, self._reference, QUICK)

    def _encoder(self, bench: Bench, weights: Mapping[str, Tensor] | None) -> Encoder:
        if weights is None:
            return self._workspace.load(bench.original.manifest.name)
        family = FAMILIES.get(self._manifest.family)
        return family.encoder(family.finished(weights), self._manifest)


def read_course(run: RunRecord) -> Course | None:
    """What was seen of a run along the way; None when nobody looked, or the file is damaged."""
    try:
        return Course.model_validate_json((run.folder / COURSE).read_bytes())
    except (OSError, ValidationError):
        return None


def _point(step: int, bench: Bench, encoder: Encoder, progress: Progress) -> CoursePoint:
    try:
        found = bench.look_at(encoder, progress)
    except MucError as refusal:
        return CoursePoint(step=step, rule=str(refusal))
    return CoursePoint(
        step=step,
        forget=found.forget.positive,
        retain=found.retain.positive,
        controls=found.held_out.positive,
        verdict=found.audit.verdict,
        effect=found.audit.findings["trace"].effect,
        rule=found.audit.rule,
    )
