"""EncoderMI (Liu et al., arXiv 2108.11023), the threshold attack: an encoder gives away which pictures it was trained
on, because their augmented views are more alike to it than those of others.

As in the MUC paper (arXiv 2406.03603): ten views of each picture, features h, the mean of their 45 pairwise cosines; a
threshold that tells retained pictures from held-out ones; reported is the share of the forget set called non-member.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muc_core.evaluation.metrics import like_retrain, membership
from muc_core.stats.ranks import Float64, auc
from muc_core.stats.rates import true_positive_rate

VIEWS = 10
FALSE_ALARMS = 0.01

like_retrain(
    "emia",
    "EMIA",
    "Share of the forget set that an attack on the likeness of views takes for never trained on.",
    in_gap=True,
)
membership(
    "emia_auc",
    "EMIA AUC",
    "How well the likeness of views tells the forget set from pictures never trained on; 50 % is guessing.",
)
membership(
    "emia_tpr",
    "EMIA TPR at 1 %",
    "Share of the forget set found by that attack when it may be wrong about 1 % of the pictures never trained on.",
    ideal=FALSE_ALARMS,
)


@dataclass(frozen=True)
class Emia:
    """What the attack found.

    Attributes:
        non_members: share of the forget set below the threshold, in [0, 1].
        threshold: in cosine.
        accuracy: balanced accuracy of the threshold on the pictures it was fitted on, in [.5, 1].
        auc: of the forget set above held-out, .5 = not at all.
        tpr_at_1_percent: None with fewer than 100 held-out pictures.
    """

    non_members: float
    threshold: float
    accuracy: float
    auc: float
    tpr_at_1_percent: float | None


def view_likeness(views: npt.ArrayLike) -> Float64:
    """Mean cosine over all pairs of a picture's views.

    `(|sum_a u_a|^2 - v) / (v (v - 1))` with unit vectors u: no pair is formed.

    Args:
        views: features `[v, n, d]`, v >= 2; a vector of zeros counts as alike to none.

    Returns:
        `[n]`, in [-1, 1].
    """
    h = np.asarray(views, dtype=np.float64)
    if h.ndim != 3 or len(h) < 2:
        raise ValueError(f"expected features [views, n, d] of at least two views, got {h.shape}")
    lengths = np.linalg.norm(h, axis=2, keepdims=True)
    unit = h / np.where(lengths > 0, lengths, 1)
    own = (lengths[..., 0] > 0).sum(axis=0)
    likeness: Float64 = ((unit.sum(axis=0) ** 2).sum(axis=1) - own) / (len(h) * (len(h) - 1))
    return likeness


def best_threshold(members: Float64, others: Float64) -> tuple[float, float]:
    """The threshold at or above which a value counts as a member's, with the highest balanced accuracy.

    Tried are the values themselves, below all and above all, never a fixed grid; of equals the lowest is taken.

    Returns:
        Threshold and its balanced accuracy.
    """
    grid = np.unique(np.concatenate([members, others]))
    # between two neighbours, so that a value just beside the threshold is not decided by rounding
    candidates = np.concatenate([[-np.inf], (grid[1:] + grid[:-1]) / 2, [np.inf]])
    found = 1 - np.searchsorted(np.sort(members), candidates, "left") / len(members)
    spared = np.searchsorted(np.sort(others), candidates, "left") / len(others)
    accuracy = (found + spared) / 2
    best = int(accuracy.argmax())
    return float(candidates[best]), float(accuracy[best])


def emia(forget: npt.ArrayLike, retain: npt.ArrayLike, held_out: npt.ArrayLike) -> Emia:
    """Attack the forget set.

    Args:
        forget, retain, held_out: features of the views of each picture, `[v, n, d]` with n >= 1 of its own; v >= 2.
    """
    u, r, h = (view_likeness(views) for views in (forget, retain, held_out))
    return emia_from_likeness(u, r, h)


def emia_from_likeness(forget: Float64, retain: Float64, held_out: Float64) -> Emia:
    """The same from `view_likeness` of each set."""
    threshold, accuracy = best_threshold(retain, held_out)
    rate = true_positive_rate(forget, held_out, false_alarms=FALSE_ALARMS)
    return Emia(
        non_members=float((forget < threshold).mean()),
        threshold=threshold,
        accuracy=accuracy,
        auc=auc(forget, held_out),
        tpr_at_1_percent=None if rate is None else rate.value,
    )
