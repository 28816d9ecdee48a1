"""Where the owner's items stand among controls in one encoder, and how far they moved between two.

Every figure is in units of the controls' spread in the same encoder (`stats.ranks`), so that an encoder which shrinks
or shifts all similarities moves nothing. Items are resampled, never encoders or trainings.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import norm, rankdata, sem, t

from muc_core.stats.ranks import Float64, normal_scores
from muc_core.stats.rates import Rate
from muc_core.stats.two_samples import permute, welch

PERMUTATIONS = 2000


@dataclass(frozen=True, eq=False)
class Reading:
    """What one encoder says of every item.

    Attributes:
        owner, controls: how well it knows each item, `[n]` and `[m]`, on any scale; high = better.
        positive, control_positive: similarity of each item with its own caption or views, in [-1, 1].
        first: whether its own caption is the nearest of all, bool `[n]`; None without captions.
    """

    owner: Float64
    controls: Float64
    positive: Float64
    control_positive: Float64
    first: npt.NDArray[np.bool_] | None

    @property
    def standings(self) -> tuple[Float64, Float64]:
        """Normal scores among the controls, `[n]` and `[m]`; 0 is the controls' middle."""
        return normal_scores(self.owner, self.controls)


class Standing(BaseModel):
    """A reading in a few figures.

    Attributes:
        effect: mean standing of the owner's items above the controls', in units of the controls' spread.
        p: of "they stand no higher than the controls", one-sided.
        positive, control_positive: mean similarity with the own caption or views.
        first: share of the owner's items whose own caption is the nearest of all; None without captions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: Rate
    p: float
    positive: float
    control_positive: float
    first: float | None


class Shift(BaseModel):
    """How much further the owner's items moved than the controls, in units of the controls' spread.

    Attributes:
        effect: mean movement of the owner's items less that of the controls; positive = up.
        p: of "no further up than the controls", one-sided.
        most: the movement is below this, at 95 % (one-sided).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: Rate
    p: float
    most: float


def summarise(reading: Reading, *, seed: int = 0) -> Standing:
    """The figures of a reading; the test is the audit's (permutation of items, pooled ranks)."""
    owner, controls = reading.standings
    gap = welch(owner, controls)
    both = np.concatenate([reading.owner, reading.controls])
    pooled = norm.ppf((rankdata(both) - 0.5) / len(both))
    n = len(owner)
    test = permute(pooled[:n], pooled[n:], alternative="greater", permutations=PERMUTATIONS, seed=seed)
    return Standing(
        effect=Rate(gap.mean, gap.low, gap.high),
        p=test.p,
        positive=float(reading.positive.mean()),
        control_positive=float(reading.control_positive.mean()),
        first=None if reading.first is None else float(reading.first.mean()),
    )


def shift(owner: Float64, controls: Float64, *, seed: int = 0) -> Shift:
    """Compare movements of the owner's items `[n]` with those of the controls `[m]`, both differences of standings."""
    if np.ptp(owner) == np.ptp(controls) == 0:  # nothing moved by rank: there is no spread to test against
        moved = float(owner[0] - controls[0])
        return Shift(effect=Rate(moved, moved, moved), p=1.0, most=moved)
    gap, wide = welch(owner, controls), welch(owner, controls, confidence=0.9)
    test = permute(owner, controls, alternative="greater", permutations=PERMUTATIONS, seed=seed)
    return Shift(effect=Rate(gap.mean, gap.low, gap.high), p=test.p, most=wide.high)


def over_halves(values: Float64) -> Rate:
    """Mean of one figure per half `[k]`, k >= 2, with Student's 95 % interval."""
    mean = float(values.mean())
    half = float(t.ppf(0.975, len(values) - 1) * sem(values))
    return Rate(mean, mean - half, mean + half)
