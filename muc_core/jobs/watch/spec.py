"""What a watch asks, and what each look found; both are kept as JSON in the workspace."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from muc_core.audit.result import Verdict
from muc_core.comparison import ModeChoice
from muc_core.encoders.manifest import Moment, utc_now
from muc_core.stats.spending import Spending, levels

Alert = Literal["trace", "model"]
"""A trace of the pictures stands out in the encoder; the encoder is not the one of the look before."""

FEWEST_PERMUTATIONS, MOST_PERMUTATIONS = 10_000, 200_000
_RESOLUTION = 20
"""Permutations for each false alarm that a look may raise: so finely its p must be known."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WatchSpec(_Kept):
    """What is asked at every look; it never changes.

    Attributes:
        before, after: names of encoders in the workspace, also of those behind a URL.
        forget, controls, data: as `muc audit` takes them, in a form that means the same in another folder.
        match: so many of the controls are taken, those that look most like the owner's pictures.
        looks: how many there will be at most.
        alpha: chance of any false alarm over all looks.
        seed: look k has the views and permutations of `seed` + k.
        probes: whether near-duplicates are asked, too.
        owner_digest, controls_digest: of the pictures; a look refuses others.
    """

    schema_version: Literal[1] = 1
    name: str
    after: str
    before: str | None
    forget: str
    controls: str
    match: int | None
    data: str | None
    mode: ModeChoice
    views: int = Field(ge=2)
    looks: int = Field(ge=1, le=10_000)
    alpha: float = Field(gt=0, le=0.2)
    spending: Spending
    seed: int = Field(ge=0)
    probes: bool
    owner_digest: str
    controls_digest: str
    created: Moment = Field(default_factory=utc_now)

    def level(self, number: int) -> float:
        """At which look `number`, from 1, is tested."""
        return levels(self.spending, self.looks, self.alpha)[number - 1]

    def permutations(self, number: int) -> int:
        """At most, for look `number`: enough to tell p from its level, if that can be."""
        wanted = _RESOLUTION / max(self.level(number), _RESOLUTION / MOST_PERMUTATIONS)
        return round(min(max(wanted, FEWEST_PERMUTATIONS), MOST_PERMUTATIONS))


class Look(_Kept):
    """What one look found.

    Attributes:
        number: from 1.
        encoders: content digest of each encoder asked, by name.
        verdict, rule: of the audit, at its own alpha.
        p: of a trace in the encoder after; `level` is what it must not exceed for an alarm.
        effect: in units of the controls' spread.
        fair: whether the controls passed their guard; without it there is no alarm of a trace.
        can_alarm: whether a p as small as `level` was possible at all.
        moved: how far the vectors of some pictures and captions moved since the look before, as a share of the
            typical distance between two of them; None at the first look, and where their length changed.
        alerts: what is to be told.
        sentence: the same in words.
    """

    number: int = Field(ge=1)
    moment: Moment = Field(default_factory=utc_now)
    encoders: dict[str, str]
    verdict: Verdict
    rule: str
    p: float
    level: float
    effect: float
    fair: bool
    can_alarm: bool
    moved: float | None
    alerts: tuple[Alert, ...]
    sentence: str
