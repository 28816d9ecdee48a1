"""Membership figures: how well the owner's items can be told from the controls by an encoder's answers."""

import numpy as np

from muc_core.audit.result import Interval, Membership
from muc_core.audit.vectors import Vectors, ViewVectors
from muc_core.stats.ranks import Float64
from muc_core.stats.rates import Rate, auc_with_interval, true_positive_rate

ROC_POINTS = 200


def membership(owner: Float64, controls: Float64, vectors: Vectors) -> Membership:
    """Figures of one encoder.

    Args:
        owner, controls: margins `[n]` and `[m]`.
        vectors: of all of them, the owner's first.
    """
    strict, stricter = (true_positive_rate(owner, controls, false_alarms=rate) for rate in (0.01, 0.001))
    views = None
    if len(vectors.views) >= 2:
        alike = ViewVectors(vectors.views, vectors.similarity).scores([""] * vectors.n).positive
        views = _interval(auc_with_interval(alike[: len(owner)], alike[len(owner) :]))
    return Membership(
        auc=_interval(auc_with_interval(owner, controls)),
        tpr_at_1_percent=None if strict is None else _interval(strict),
        tpr_at_01_percent=None if stricter is None else _interval(stricter),
        roc=_roc(owner, controls),
        views_auc=views,
    )


def _roc(owner: Float64, controls: Float64) -> tuple[tuple[float, float], ...]:
    thresholds = np.unique(np.concatenate([owner, controls]))[::-1]
    if len(thresholds) > ROC_POINTS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, ROC_POINTS).round().astype(int)]
    points = [(float((controls >= t).mean()), float((owner >= t).mean())) for t in thresholds]
    return ((0.0, 0.0), *points)


def _interval(rate: Rate) -> Interval:
    return Interval(value=rate.value, low=rate.low, high=rate.high)
