"""Somebody who guesses from the margin whether a picture was trained on: above a threshold he says yes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Caught:
    """What a threshold catches.

    Attributes:
        found: positions of the owner's pictures above it, the most conspicuous first.
        share: of the owner's pictures, in [0, 1].
        false_alarms: share of never-trained pictures above it, in [0, 1].
    """

    found: tuple[int, ...]
    share: float
    false_alarms: float


def caught(owner: Sequence[float], controls: Sequence[float], threshold: float) -> Caught:
    """Whom a threshold on the margin catches.

    Args:
        owner, controls: margins in one encoder, at least one of each.

    Raises:
        ValueError: no pictures.
    """
    if not owner or not controls:
        raise ValueError("an attack needs at least one picture of the owner and one control")
    mine, others = np.asarray(owner), np.asarray(controls)
    above = np.flatnonzero(mine > threshold)
    order = above[np.argsort(-mine[above], kind="stable")]
    return Caught(tuple(order.tolist()), len(order) / len(mine), float((others > threshold).mean()))


def threshold_at(controls: Sequence[float], false_alarms: float) -> float:
    """The lowest threshold with at most this share of false alarms, in [0, 1]: a margin of a control."""
    ordered = np.sort(np.asarray(controls))[::-1]
    return float(ordered[min(int(false_alarms * len(ordered)), len(ordered) - 1)])
