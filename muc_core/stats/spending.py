"""Spending the rate of false alarms over several looks at one question (Lan & DeMets 1983, Biometrika 70:659).

A spending function says how much of alpha may be used up when a share t of all looks was made; a look's own level is
what it adds. Group-sequential boundaries that use how looks depend on each other need data that accumulate; repeated
audits do not, and two looks at an unchanged encoder are nearly one. So a look is tested at its level alone: whatever
the dependence, the chance of any false alarm is at most the sum of the levels, which is alpha (union bound).
"""

import math
from itertools import pairwise
from typing import Literal

from scipy.stats import norm

Spending = Literal["pocock", "obrien-fleming"]


def spent(kind: Spending, share: float, alpha: float) -> float:
    """How much of `alpha` may be used up when a share of the looks was made, one-sided; 0 at 0 and `alpha` at 1.

    "pocock" is alpha * log(1 + (e - 1) t): nearly the same for every look. "obrien-fleming" is
    2 - 2 Phi(z(1 - alpha / 2) / sqrt(t)): next to nothing for the first looks.

    Args:
        share: t in [0, 1].
        alpha: in (0, 1).
    """
    if not (0 <= share <= 1 and 0 < alpha < 1):
        raise ValueError(f"share {share} must be in [0, 1] and alpha {alpha} in (0, 1)")
    if share == 0:
        return 0.0
    if kind == "pocock":
        return alpha * math.log1p((math.e - 1) * share)
    return float(2 * norm.sf(norm.isf(alpha / 2) / math.sqrt(share)))


def levels(kind: Spending, looks: int, alpha: float) -> tuple[float, ...]:
    """The level of each look; their sum is `alpha`. A look alarms when its p is at most its level."""
    if looks < 1:
        raise ValueError(f"looks is {looks}; at least one is needed")
    total = [spent(kind, number / looks, alpha) for number in range(looks + 1)]
    return tuple(later - earlier for earlier, later in pairwise(total))
