"""The weakest strength at which no trace is found: bisection on the answers of an audit.

The audit's effect falls as the strength rises, so that answers go from "a trace is left" over "no trace found" to
"pushed below never-seen"; between them lies "cannot tell". Only "no trace found" passes: an audit that cannot tell has
not found that nothing is left. Where it cannot tell, the sign of the effect says which way to go on.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

Answer = Literal["trace left", "no trace found", "pushed below", "cannot tell"]
Scale = Literal["linear", "log"]
Outcome = Literal["found", "never", "jumped", "cannot tell"]


_SAID: dict[Answer, str] = {
    "trace left": "a trace is left",
    "no trace found": "no trace is found",
    "pushed below": "the pictures are pushed below never-seen ones",
    "cannot tell": "the audit cannot tell, which is not the same as finding no trace",
}


class Trial(BaseModel):
    """What the audit said at one strength.

    Attributes:
        value: the strength, or the setting that was tried.
        answer: of the audit.
        effect: of the forget set above never-seen pictures, in units of the controls' spread; None: no audit was
            possible.
        hopeless: why the audit can pass no strength at all, a sentence; None where it can.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    answer: Answer
    effect: float | None
    hopeless: str | None = None

    @property
    def too_weak(self) -> bool:
        """Whether a stronger one should be tried."""
        if self.answer == "cannot tell":
            return self.effect is not None and self.effect > 0
        return self.answer == "trace left"


class Search(BaseModel):
    """How a search ended.

    Attributes:
        outcome: "found"; "never", a trace is left even at the strongest; "jumped", one strength leaves a trace (or
            cannot tell) and the next one tried is beyond, with no pass between; "cannot tell", no strength can pass.
        found: the weakest that was tried and passed; None unless found.
        below: the strongest that was tried below it and did not pass; None when there is none.
        trials: all of them, by value.
        reason: why it cannot tell, a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    found: Trial | None = None
    below: Trial | None = None
    trials: tuple[Trial, ...]
    reason: str | None = None

    def explain(self, name: str) -> str:
        """The outcome in a sentence or two; `name` is what was turned, such as strength or beta."""
        if self.outcome == "cannot tell":
            return f"The audit cannot tell at any {name}. {self.reason}"
        if self.found is not None:
            below = f"at {self.below.value:.3g}, {_SAID[self.below.answer]}" if self.below else "nothing weaker passed"
            return f"No trace is found from {name} {self.found.value:.3g} on; just below, {below}."
        strongest = self.trials[-1]
        if self.outcome == "never":
            return f"No {name} passes: even at {strongest.value:.3g}, the strongest tried, {_SAID[strongest.answer]}."
        weak = [trial.value for trial in self.trials if trial.too_weak]
        if not weak:
            weakest = self.trials[0]
            return f"No {name} passes: already at {weakest.value:.3g}, the weakest tried, {_SAID[weakest.answer]}."
        traces = [trial.value for trial in self.trials if trial.answer == "trace left"]
        if traces and any(trial.answer == "cannot tell" for trial in self.trials if trial.value > max(traces)):
            return (
                f"No {name} passes: up to {max(traces):.3g} a trace is left, and beyond it the audit cannot tell, "
                "which is not the same as finding no trace. More pictures or controls may settle it."
            )
        last = max(weak)
        first = next(trial for trial in self.trials if trial.value > last)
        return (
            f"No {name} passes: at {last:.3g} the pictures still stand above never-seen ones, or may, and at "
            f"{first.value:.3g} {_SAID[first.answer]}. Nothing between them was found that passes."
        )


def find_weakest(
    ask: Callable[[float], Trial],
    *,
    low: float,
    high: float,
    steps: int,
    scale: Scale = "linear",
    known: Sequence[Trial] = (),
) -> Search:
    """Bisect between `low` and `high`, both of which are asked, too, unless they are known.

    Args:
        ask: audits at one value; the same value is never asked twice.
        low, high: low < high; on a log scale both above 0.
        steps: most halvings of the interval.
        known: earlier trials within the interval, which make it narrower.

    Raises:
        ValueError: an interval that cannot be halved.
    """
    if not low < high or (scale == "log" and low <= 0):
        raise ValueError(f"cannot bisect between {low} and {high} on a {scale} scale")
    trials = {trial.value: trial for trial in known if low <= trial.value <= high}

    def tried(value: float) -> Trial:
        if value not in trials:
            trials[value] = ask(value)
        return trials[value]

    for end in (high, low):
        if reason := tried(end).hopeless:
            return Search(outcome="cannot tell", trials=_sorted(trials), reason=reason)
    for _ in range(steps):
        enough = [trial.value for trial in trials.values() if not trial.too_weak]
        if not enough or tried(low).value in enough:
            break
        upper = min(enough)
        lower = max(value for value in trials if value < upper)
        tried(_middle(lower, upper, scale))
    return _conclude(_sorted(trials))


def _conclude(trials: tuple[Trial, ...]) -> Search:
    passed = [trial for trial in trials if trial.answer == "no trace found"]
    if passed:
        found = passed[0]
        below = [trial for trial in trials if trial.value < found.value]
        return Search(outcome="found", found=found, below=below[-1] if below else None, trials=trials)
    return Search(outcome="never" if trials[-1].too_weak else "jumped", trials=trials)


def _middle(low: float, high: float, scale: Scale) -> float:
    return math.sqrt(low * high) if scale == "log" else (low + high) / 2


def _sorted(trials: dict[float, Trial]) -> tuple[Trial, ...]:
    return tuple(trials[value] for value in sorted(trials))
