"""Rates and curves with intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from muc_core.stats.ranks import Float64, auc, placements


@dataclass(frozen=True)
class Rate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def rate(successes: int, trials: int) -> Rate:
    """A share with its exact interval (Clopper-Pearson 1934)."""
    interval = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return Rate(successes / trials, float(interval.low), float(interval.high))


def auc_with_interval(owner: Float64, controls: Float64) -> Rate:
    """AUC with DeLong's interval (DeLong et al. 1988), on the logit scale so that it stays within [0, 1].

    At 0 or 1 the logit has no value; there the interval is the exact one of a share over the smaller sample.
    """
    value = auc(owner, controls)
    by_owner, by_control = placements(owner, controls), placements(-controls, -owner)
    variance = by_owner.var(ddof=1) / len(owner) + by_control.var(ddof=1) / len(controls)
    if value in (0.0, 1.0) or variance == 0:
        smaller = min(len(owner), len(controls))
        exact = rate(round(value * smaller), smaller)
        return Rate(value, exact.low, exact.high)
    logit = np.log(value / (1 - value))
    half = norm.ppf(0.975) * np.sqrt(variance) / (value * (1 - value))
    low, high = (1 / (1 + np.exp(-(logit + sign * half))) for sign in (-1, 1))
    return Rate(value, float(low), float(high))


def true_positive_rate(owner: Float64, controls: Float64, *, false_alarms: float) -> Rate | None:
    """Share of the owner's items above the threshold that at most `false_alarms` of the controls exceed.

    None when there are too few controls to set such a threshold: fewer than 1 / `false_alarms`.
    """
    allowed = int(false_alarms * len(controls) + 1e-9)
    if allowed < 1:
        return None
    threshold = np.sort(controls)[len(controls) - allowed - 1]
    return rate(int((owner > threshold).sum()), len(owner))
