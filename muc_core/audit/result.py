"""What an audit found: one typed, serialisable result, in which every number comes with its meaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["under-forgotten", "forgotten", "over-forgotten", "cannot tell"]
Mode = Literal["image-text", "two-view"]
ItemVerdict = Literal["trace found", "no trace found", "below never-seen"]
Bystanders = Literal["controls", "retained"]

GUARD = "Control guard"
"""Name of the check whose failure says that the controls differ from the owner's pictures without any encoder."""

STAND_INS = "Controls of the last resort"
"""Name of the check that fails when the controls are no pictures like the owner's, so that no verdict follows."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Interval(_Result):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Finding(_Result):
    """The answer to one question.

    Attributes:
        question: in words.
        difference: mean margin of the owner's items less that of the controls, in similarity.
        effect: the same in units of the controls' spread (mean normal score), with its interval.
        p: of the test that `test` names.
        test: which test, with the number of permutations, or the bound.
        meaning: one sentence for a person without statistics.
    """

    question: str
    difference: float
    effect: Interval
    p: float
    test: str
    meaning: str


class Item(_Result):
    """One of the owner's items.

    Attributes:
        before, after: margin in each encoder; `before` is None when there is no encoder before.
        standing_before, standing_after: normal score among the controls, 0 = their middle.
        p: conformal p of "like the controls" after; small means that it stands above them.
        q: the same adjusted for the number of items (Benjamini-Hochberg).
        q_below: for standing below them.
    """

    id: str
    before: float | None
    after: float
    standing_before: float | None
    standing_after: float
    p: float
    q: float
    q_below: float
    verdict: ItemVerdict


class Detectability(_Result):
    """Whether this audit could have seen a trace.

    Attributes:
        effect: where a picture stands that is known, in units of the controls' spread.
        source: where that comes from; planted: above every control.
        power: chance to see the memory before or, where that is not known, one of half the controls' spread, in [0, 1].
        smallest_share: share of known pictures that would be seen with a chance of 80 %; above 1: not even all of them.
        by_count: the smallest share for other numbers of the owner's items.
    """

    effect: float
    source: Literal["the encoder before", "planted"]
    power: float
    smallest_share: float
    by_count: tuple[tuple[int, float], ...]
    meaning: str


class Membership(_Result):
    """How well owner's items and controls can be told apart by their margin, in one encoder.

    Attributes:
        auc: .5 = not at all, 1 = completely.
        tpr_at_1_percent, tpr_at_01_percent: share of the owner's items found at that rate of false alarms; None when
            there are too few controls to set it.
        roc: points (false alarm rate, true positive rate).
        views_auc: AUC of the mean similarity among an item's own views (EncoderMI, arXiv 2108.11023); None without.
    """

    auc: Interval
    tpr_at_1_percent: Interval | None
    tpr_at_01_percent: Interval | None
    roc: tuple[tuple[float, float], ...]
    views_auc: Interval | None


class Check(_Result):
    """A control guard or an honesty probe. `passed` None: it could not be made, and why is in `value`."""

    name: str
    passed: bool | None
    value: str
    meaning: str


class Change(_Result):
    """How one item, class or text moved that nobody asked to forget.

    Attributes:
        name: id of the item, label of the class, or the text.
        group: where it is from.
        count: items it is the mean of.
        before, after: margin, in similarity; of a text that as seen from it, against all pictures.
        lost: before less after.
        interval: of `lost`, over views (item, text) or over items (class), and wide enough for having chosen the most
            harmed ones; None with fewer than three views.
        meaning: one sentence.
    """

    name: str
    group: Bystanders
    count: int
    before: float
    after: float
    lost: float
    interval: Interval | None
    meaning: str


class GroupChange(_Result):
    """How the controls or the retained items moved, taken together.

    Attributes:
        count: items looked at.
        lost: mean margin lost, with an interval over items.
        down, up: items that lost or gained more than other views of them explain, at a false discovery rate of 5 %;
            None with fewer than three views.
    """

    group: Bystanders
    count: int
    lost: Interval
    down: int | None
    up: int | None
    meaning: str


class Collateral(_Result):
    """What became of pictures that nobody asked to forget, the most harmed of each kind first.

    Attributes:
        groups: controls and, if there were any, retained items.
        items, classes, texts: at most ten of each that lost most, and lost at all.
        compared: how many items, classes and texts they were chosen from.
    """

    groups: tuple[GroupChange, ...]
    items: tuple[Change, ...]
    classes: tuple[Change, ...]
    texts: tuple[Change, ...]
    compared: dict[str, int]

    def explain(self) -> tuple[str, ...]:
        """A sentence for each group, and for the most harmed item, class and text."""
        worst = (found[0] for found in (self.items, self.classes, self.texts) if found)
        return (*(group.meaning for group in self.groups), *(change.meaning for change in worst))


class AuditResult(_Result):
    """What an audit found.

    Attributes:
        verdict: on the set.
        rule: the rule that gave it, with its numbers.
        mode: how items were scored.
        delta: bound of equivalence, in units of the controls' spread.
        findings: by name: memory before, change, trace, like never-seen, below never-seen; those that could be asked.
        items: the owner's, those of most concern first.
        membership: by encoder, "before" and "after".
        explained: share of the controls' variance that their traits explain, by encoder.
        checks: control guard and honesty probes.
        collateral: what became of controls and retained items; None without an encoder before.
        warnings: what limits the result.
    """

    verdict: Verdict
    rule: str
    mode: Mode
    n_items: int
    n_controls: int
    views: int
    alpha: float
    delta: float
    seed: int
    permutations: int
    findings: dict[str, Finding]
    items: tuple[Item, ...]
    detectability: Detectability
    membership: dict[str, Membership]
    explained: dict[str, float]
    checks: tuple[Check, ...] = ()
    collateral: Collateral | None = None
    warnings: tuple[str, ...] = ()

    def explain(self) -> tuple[str, ...]:
        """The result in sentences for a person without statistics, and what it does not prove."""
        return (
            VERDICT_MEANING[self.verdict],
            self.rule,
            *(finding.meaning for finding in self.findings.values()),
            self.detectability.meaning,
            *(f"{check.name}: {check.meaning}" for check in self.checks if check.passed is False),
            *(self.collateral.explain() if self.collateral else ()),
            *self.warnings,
            "This says what could be seen in the encoder's answers, not what is inside it: finding no trace does not "
            "prove deletion.",
        )


VERDICT_MEANING: dict[Verdict, str] = {
    "under-forgotten": "Not forgotten: the encoder still treats these pictures as ones it knows.",
    "forgotten": "Forgotten, as far as can be seen: the encoder treats these pictures like ones it has never seen.",
    "over-forgotten": "Pushed too far: the encoder treats these pictures worse than ones it has never seen, which "
    "itself gives away that they were singled out.",
    "cannot tell": "Cannot tell: this audit does not decide whether these pictures were forgotten.",
}
