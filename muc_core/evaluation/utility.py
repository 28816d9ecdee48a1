"""What an encoder is still good for: figures of one set of pictures, none of them a test."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.special import logsumexp

Float64 = npt.NDArray[np.float64]


class SetFigures(BaseModel):
    """What an encoder makes of a set of pictures.

    Attributes:
        count: of pictures.
        top1: share of pictures whose own partner (caption, or other views of itself) is the nearest in the set, in
            [0, 1]; chance is 1 / count. High = useful; a collapsed encoder has none of it. Where a classifier's own
            answers are asked for, the share that it names rightly.
        positive: mean similarity with the own partner, in [-1, 1]; a classifier's mean probability of the true class.
        uniformity: how evenly the pictures spread over the sphere, in [-8, 0]; low = evenly, 0 = all alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    top1: float
    positive: float
    uniformity: float


def uniformity(directions: Float64) -> float:
    """`log mean exp(-2 |x - y|^2)` over pairs of different unit vectors `[n, d]` (arXiv 2005.10242, equation 2).

    Raises:
        ValueError: fewer than two vectors.
    """
    n = len(directions)
    if n < 2:
        raise ValueError(f"uniformity is over pairs; {n} vectors make none")
    similar = directions @ directions.T
    first, second = np.triu_indices(n, 1)
    return float(logsumexp(4 * (similar[first, second] - 1)) - np.log(len(first)))


def mean_difference(first: Sequence[SetFigures], second: Sequence[SetFigures]) -> float:
    """Mean absolute difference of top-1 and of own similarity, over the same sets in two encoders; 0 = alike."""
    pairs = list(zip(first, second, strict=True))
    differences = [abs(a.top1 - b.top1) for a, b in pairs] + [abs(a.positive - b.positive) for a, b in pairs]
    return sum(differences) / len(differences)
