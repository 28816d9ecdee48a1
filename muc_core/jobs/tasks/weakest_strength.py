"""The weakest strength of the dial at which no trace is found, by bisection; each answer is an audit."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from muc_core.evaluation.weakest import Search, Trial, find_weakest
from muc_core.evaluation.weights import STRONGEST
from muc_core.jobs.tasks import TASKS, Task
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, open_bench, read_sweep
from muc_core.jobs.tuning.bench import Subject
from muc_core.jobs.tuning.measure import Yardstick
from muc_core.jobs.tuning.stages import Stages
from muc_core.progress import SILENT, Progress
from muc_core.workspace import Workspace

KIND = "weakest_strength"


class WeakestStrengthSettings(BaseModel):
    """Which line to search, and how finely."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = Field(description="name of the original encoder, strength 0")
    after: str = Field(description="name of the encoder that was unlearned from it, strength 1")
    halvings: int = Field(default=6, ge=1, le=12, description="of the dial: 6 find the strength to within 0.03")
    yardstick: Yardstick = Field(default_factory=Yardstick, description="how to measure; as in the sweep")


def search(workspace: Workspace, settings: WeakestStrengthSettings, *, progress: Progress = SILENT) -> Search:
    """Bisect; strengths that a sweep has measured are not measured again.

    Raises:
        MucError: as `muc_core.jobs.tasks.strength_sweep.sweep`.
        Cancelled: from `progress`.
    """
    line = StrengthSweepSettings(
        before=settings.before, after=settings.after, others=False, yardstick=settings.yardstick
    )
    bench = open_bench(workspace, line)
    unlearned = workspace.encoder(settings.after)
    swept = read_sweep(workspace, line, material=bench.material)
    known = [point.measured.trial(point.strength) for point in swept.points if point.strength is not None]
    stages = Stages(progress, settings.halvings + 2)

    def ask(strength: float) -> Trial:
        strength = round(strength, 6)
        return bench.measure(Subject(unlearned, strength), stages.next(f"strength {strength:g}")).trial(strength)

    return find_weakest(ask, low=0.0, high=STRONGEST, steps=settings.halvings, known=known)


def run(settings: WeakestStrengthSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Returns `{"search": ..., "probed": ...}`, a `Search` as JSON and whether what passed was probed."""
    found = search(workspace, settings, progress=progress)
    return {"search": found.model_dump(mode="json"), "probed": settings.yardstick.probes}


TASKS.register(KIND, Task(KIND, WeakestStrengthSettings, run))
