"""What residual stress found: does a trace of forgotten pictures come back when the weights are pushed a little?

A black-box audit sees what an encoder answers today. Whoever holds the weights can store them in 8 bits, move them
towards the encoder before, put a classifier on the features, or train a little on some of the forgotten pictures and
look at the others. Each result has a sentence for a person without statistics; `came_back` is True or False where the
test decides, and None where it cannot, or where it only illustrates.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from muc_core.evaluation.standing import Shift, Standing
from muc_core.stats.rates import Rate

Role = Literal["before", "after", "retrained"]
Mode = Literal["image-text", "two-view"]
Verdict = Literal["still there", "hidden, not forgotten", "no trace came back", "cannot tell"]

ALPHA = 0.05
LARGEST_DELTA = 0.5
"""Bound of equivalence, as in the audit: a quarter of the memory before, and no more than this."""

NAMES: dict[Role, str] = {"before": "the encoder before", "after": "the encoder after", "retrained": "Retrain"}


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Int8Stress(_Result):
    """The encoders with their weights rounded to int8.

    Attributes:
        plain, rounded: standings with the weights as they are and rounded.
        shift: of the owner's items against the controls when the encoder after is rounded.
    """

    plain: dict[Role, Standing]
    rounded: dict[Role, Standing]
    shift: Shift
    came_back: bool | None
    meaning: str


class LinePoint(_Result):
    """A point on the straight line of weights to the encoder before.

    Attributes:
        share: of the way, 0 = the encoder itself, 1 = the encoder before.
        standings: for the encoder after, and Retrain where there is one; one that tells no items apart is left out.
    """

    share: float
    standings: dict[Role, Standing]


class LineStress(_Result):
    """Along the straight line to the encoder before.

    Attributes:
        returns_at: the smallest share from which on the trace is significant, for each encoder; None: not even at the
            end.
    """

    points: tuple[LinePoint, ...]
    returns_at: dict[Role, float | None]
    came_back: bool | None
    meaning: str


class SeparationStress(_Result):
    """Classifiers on the features h: how well they tell the owner's items from controls (AUC, .5 = not at all)."""

    linear: dict[Role, Rate]
    neighbours: dict[Role, Rate]
    came_back: bool | None
    meaning: str


class CurvePoint(_Result):
    """After some steps of relearning: the half that was not shown, mean over halves with its 95 % interval.

    Attributes:
        effect: standing above the controls, in units of their spread.
        positive, control_positive: mean similarity with the own caption or views.
        first: share whose own caption is the nearest of all; None without captions.
    """

    step: int
    effect: Rate
    positive: Rate
    control_positive: Rate
    first: Rate | None


class RelearningStress(_Result):
    """Training on half of the forgotten pictures, and a look at the other half.

    Attributes:
        steps: done in each training.
        halves: trainings of each encoder; each leaves another half of the pictures untouched.
        curves: for the encoder after, and Retrain where there is one.
        before: the encoder before without relearning: what full memory looks like.
        rise: how much further up the untouched items moved from the first to the last step than the controls did; with
            Retrain, less the same movement in Retrain.
        level: where the untouched items stand at the end above the controls; with Retrain, less the same in Retrain.
        delta: bound of equivalence for `level`.
    """

    steps: int
    halves: int
    curves: dict[Role, tuple[CurvePoint, ...]]
    before: Standing
    rise: Shift
    level: Shift
    delta: float
    verdict: Verdict
    meaning: str

    @property
    def came_back(self) -> bool | None:
        return {"no trace came back": False, "cannot tell": None}.get(self.verdict, True)


class ResidualStress(_Result):
    """All tests on one pair of encoders.

    Attributes:
        encoders: names by role.
        digests: of what decides their vectors, by role.
        forget, controls: what the forgotten pictures and the controls are called.
        mode: how items were looked at.
        verdict: the strongest of the tests'.
        warnings: what limits the result.
    """

    encoders: dict[Role, str]
    digests: dict[Role, str]
    forget: str
    controls: str
    mode: Mode
    n_items: int
    n_controls: int
    seed: int
    int8: Int8Stress
    line: LineStress
    separation: SeparationStress
    relearning: RelearningStress
    verdict: Verdict
    warnings: tuple[str, ...] = ()

    def explain(self) -> tuple[str, ...]:
        """The result in sentences for a person without statistics, and what it does not prove."""
        return (
            VERDICT_MEANING[self.verdict],
            self.relearning.meaning,
            self.int8.meaning,
            self.line.meaning,
            self.separation.meaning,
            *self.warnings,
            "Other ways to bring a trace back may exist: finding none in these tests does not prove deletion.",
        )


VERDICT_MEANING: dict[Verdict, str] = {
    "still there": "Still there: the encoder after knows these pictures even without any stress.",
    "hidden, not forgotten": "Hidden, not forgotten: a little stress brings back what the encoder knew of these "
    "pictures.",
    "no trace came back": "No trace came back: under stress, too, the encoder treats these pictures like ones it has "
    "never seen.",
    "cannot tell": "Cannot tell: these tests do not decide whether a trace can be brought back.",
}


def delta_of(before: Standing) -> float:
    """The bound of equivalence: a quarter of the memory before, at most LARGEST_DELTA, at least 0."""
    return min(max(before.effect.value, 0.0) / 4, LARGEST_DELTA)


def judge_int8(plain: dict[Role, Standing], rounded: dict[Role, Standing], shift: Shift) -> Int8Stress:
    """A trace came back when the rounded encoder shows one that the encoder as it is does not, and the items rose."""
    came_back: bool | None = rounded["after"].p < ALPHA <= plain["after"].p and shift.p < ALPHA
    if not came_back and shift.most >= max(delta_of(plain["before"]), 0.0):
        came_back = None
    moved = f"from {_number(plain['after'].effect.value)} to {_number(rounded['after'].effect.value)}"
    said = {
        True: "a trace comes back",
        False: "nothing comes back",
        None: "whether anything comes back cannot be told from so few items",
    }[came_back]
    return Int8Stress(
        plain=plain,
        rounded=rounded,
        shift=shift,
        came_back=came_back,
        meaning=f"Stored in 8-bit numbers, the encoder after shows these pictures {moved} above never-seen ones, in "
        f"units of the controls' spread ({_p(shift.p)}): {said}.",
    )


def judge_line(points: tuple[LinePoint, ...]) -> LineStress:
    """Where on the line the trace shows. It always does near the end, so this illustrates and decides nothing."""
    returns_at: dict[Role, float | None] = {}
    for role in ("after", "retrained"):
        present = [(point.share, point.standings[role].p < ALPHA) for point in points if role in point.standings]
        if not present:
            continue
        without = [number for number, (_, trace) in enumerate(present) if not trace]
        start = without[-1] + 1 if without else 0
        returns_at[role] = present[start][0] if start < len(present) else None
    where = "; ".join(f"for {NAMES[role]} {_where(share)}" for role, share in returns_at.items())
    return LineStress(
        points=points,
        returns_at=returns_at,
        came_back=None,
        meaning=f"On the straight line of weights to the encoder before, a trace shows {where}. It must show near the "
        "end; that it shows early means that the two encoders lie close together.",
    )


def judge_separation(linear: dict[Role, Rate], neighbours: dict[Role, Rate]) -> SeparationStress:
    """A trace shows where a classifier does clearly better than chance, and better than in Retrain.

    Without Retrain a classifier that succeeds decides nothing: what the pictures show may set them apart as well.
    """
    kinds = {"a linear classifier": linear, "a look at nearest neighbours": neighbours}
    shows = [name for name, found in kinds.items() if found["after"].low > max(0.5, _high(found))]
    sees = [name for name, found in kinds.items() if found["before"].low > max(0.5, _high(found))]
    came_back: bool | None = None
    if shows:
        came_back = True if "retrained" in linear else None
        said = f"{' and '.join(shows)} can tell them apart in the encoder after"
        if came_back is None:
            said += ", which may be for what they show and not for memory; only Retrain would tell"
    elif sees:
        came_back = False
        said = "what tells them apart in the encoder before no longer does in the encoder after"
    else:
        said = "nor can they be told apart in the encoder before, so that this test could not have seen a trace"
    figures = "; ".join(
        f"{name} {', '.join(f'{_number(rate.value)} in {NAMES[role]}' for role, rate in found.items())}"
        for name, found in kinds.items()
    )
    return SeparationStress(
        linear=linear,
        neighbours=neighbours,
        came_back=came_back,
        meaning=f"Told apart from never-seen pictures by their features (AUC, .50 = not at all): {figures}; {said}.",
    )


def judge_relearning(
    curves: dict[Role, tuple[CurvePoint, ...]],
    *,
    before: Standing,
    rest: Standing,
    still: Shift,
    rise: Shift,
    level: Shift,
    halves: int,
) -> RelearningStress:
    """Whether the untouched half came back.

    Hidden: it rose, and stands at the end, significantly above what is expected of never-seen pictures (the controls,
    or with Retrain, the same pictures in Retrain). No trace came back: the end lies within delta of that.

    Args:
        before, rest: the encoders before and after without relearning.
        still: where all items stand above the controls in the encoder after.
        rise, level: see `RelearningStress`.
        halves: trainings of each encoder.
    """
    delta = delta_of(before)
    if before.p >= ALPHA:
        verdict: Verdict = "cannot tell"
        said = "The encoder before shows no significant memory of these pictures, so there was nothing to bring back"
    elif rise.p < ALPHA and level.p < ALPHA:
        verdict = "hidden, not forgotten"
        said = "They had been hidden, not forgotten"
    elif rest.p < ALPHA and still.most >= delta:
        verdict = "still there"
        said = "They need no bringing back: the encoder after shows them above never-seen ones as it is"
    elif level.most < delta:
        verdict = "no trace came back"
        said = f"That is within {_number(delta)} of what never-seen pictures do"
    else:
        verdict = "cannot tell"
        said = "Neither that they came back nor that they did not could be shown with so many items"
    steps = curves["after"][-1].step
    course = _course(curves["after"])
    if "retrained" in curves:
        course += f" (Retrain: {_course(curves['retrained'])})"
    return RelearningStress(
        steps=steps,
        halves=halves,
        curves=curves,
        before=before,
        rise=rise,
        level=level,
        delta=delta,
        verdict=verdict,
        meaning=f"In {steps} steps of training on one half of these pictures, the other half, which was not shown, "
        f"went {course}, in units of the controls' spread. {said} "
        f"(rise {_p(rise.p)}, level at the end {_p(level.p)}).",
    )


def overall(int8: Int8Stress, separation: SeparationStress, relearning: RelearningStress) -> Verdict:
    """What the tests say together: one that brings a trace back is enough; that none does takes relearning's word."""
    if relearning.verdict in ("still there", "hidden, not forgotten"):
        return relearning.verdict
    if int8.came_back or separation.came_back:
        return "hidden, not forgotten"
    return relearning.verdict


def _high(found: dict[Role, Rate]) -> float:
    return found["retrained"].high if "retrained" in found else 0.5


def _course(curve: tuple[CurvePoint, ...]) -> str:
    start, end = curve[0], curve[-1]
    found = f"from {_number(start.effect.value)} to {_number(end.effect.value)}"
    if start.first is None or end.first is None:
        return found
    return f"{found} and from {start.first.value:.0%} to {end.first.value:.0%} found first by their captions"


def _where(share: float | None) -> str:
    if share is None:
        return "nowhere"
    return "from the start" if share == 0 else f"from {share:.0%} of the way on"


def _number(value: float) -> str:
    return f"{value:z.2f}"


def _p(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)
