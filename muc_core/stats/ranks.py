"""Scores by rank among controls, so that an effect means the same whatever the scale and skew of the similarities."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

Float64: TypeAlias = npt.NDArray[np.float64]


def normal_scores(owner: Float64, controls: Float64) -> tuple[Float64, Float64]:
    """Where items stand among the controls, on the scale of a normal distribution: 0 is the controls' middle.

    An owner's item with a share u of the controls below it (ties count half) gets the u-quantile of the standard normal
    distribution; so do the controls, each by its rank among them. If owner and controls are exchangeable, the owner's
    scores are spread like a standard normal; any rising transformation of all values leaves them as they are.

    Args:
        owner: `[n]`.
        controls: `[m]`, m >= 2.

    Returns:
        Scores of the owner's items `[n]` and of the controls `[m]`; those of the controls have mean 0.
    """
    m = len(controls)
    return norm.ppf((_below(owner, controls) + 0.5) / (m + 1)), norm.ppf((rankdata(controls) - 0.5) / m)


def conformal_p(owner: Float64, controls: Float64) -> Float64:
    """p of each owner's item under "it is like the controls", small when it stands above them (Vovk et al. 2005).

    (1 + number of controls at or above it) / (m + 1): valid for any distribution if items and controls are
    exchangeable.
    """
    ordered = np.sort(controls)
    at_or_above = len(controls) - np.searchsorted(ordered, owner, "left")
    p: Float64 = (1.0 + at_or_above) / (len(controls) + 1)
    return p


def placements(items: Float64, others: Float64) -> Float64:
    """Share of the others `[m]` that each item `[n]` stands above, ties half, in [0, 1] (DeLong et al. 1988)."""
    return _below(items, others) / len(others)


def auc(owner: Float64, controls: Float64) -> float:
    """Chance that a random owner's item stands above a random control, ties half (Mann-Whitney U / nm), in [0, 1]."""
    return float(_below(owner, controls).mean() / len(controls))


def _below(items: Float64, others: Float64) -> Float64:
    """How many of the others stand below each item, ties half."""
    ordered = np.sort(others)
    below: Float64 = (np.searchsorted(ordered, items, "left") + np.searchsorted(ordered, items, "right")) / 2
    return below
