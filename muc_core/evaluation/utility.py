"""What an encoder is still good for: figures of one set of pictures, none of them a test."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.special import logsumexp
from sklearn.preprocessing import normalize

from muc_core.evaluation.retrieval import recall
from muc_core.evaluation.similarity import matched_similarity
from muc_core.similarity import COSINE, Similarity

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


def set_retrieval(
    images: npt.NDArray[np.float32],
    captions: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64],
    *,
    similarity: Similarity = COSINE,
) -> SetFigures:
    """How often the own caption is the nearest of all, and how near it is.

    Args:
        images: h of a set of at least two pictures, `[n, d]`.
        captions: of this set and of others, `[m, d]`.
        own: `[n]`, row of each picture's caption.
        similarity: by which the encoder's vectors are compared.
    """
    return SetFigures(
        count=len(images),
        top1=recall(images, captions, own, at=(1,), similarity=similarity).at[1],
        positive=float(matched_similarity(images, captions[own], similarity=similarity).mean()),
        uniformity=uniformity(normalize(images.astype(np.float64))),
    )


def mean_difference(first: Sequence[SetFigures], second: Sequence[SetFigures]) -> float:
    """Mean absolute difference of top-1 and of own similarity, over the same sets in two encoders; 0 = alike."""
    pairs = list(zip(first, second, strict=True))
    differences = [abs(a.top1 - b.top1) for a, b in pairs] + [abs(a.positive - b.positive) for a, b in pairs]
    return sum(differences) / len(differences)
