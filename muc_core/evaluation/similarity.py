"""How alike an encoder finds pictures and their captions, or views of a picture, against never-trained ones.

Below the level of Retrain lies over-forgetting, itself a fingerprint (SALMUBench, arXiv 2603.26316).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muc_core.evaluation.emia import FALSE_ALARMS
from muc_core.evaluation.metrics import Metric, declare, membership
from muc_core.evaluation.retrieval import PARTS
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import paired_similarity
from muc_core.stats.ranks import Float64, auc
from muc_core.stats.rates import true_positive_rate

for _part, _word in PARTS.items():
    declare(
        Metric(
            f"similarity_{_part}",
            f"similarity, {_word}",
            "like Retrain",
            None,
            1.0,
            None,
            "similarity",
            f"Mean similarity of a {_word} picture with its caption, or of its views with one another without "
            "captions: cosine, or of MERU minus the distance.",
        )
    )
membership(
    "matched_auc",
    "matched-pair AUC",
    "How well the similarity with the own caption tells the forget set from pictures never trained on; 50 % is "
    "guessing.",
)
membership(
    "matched_tpr",
    "matched-pair TPR at 1 %",
    "Share of the forget set found by that similarity when it may be wrong about 1 % of the pictures never trained on.",
    ideal=FALSE_ALARMS,
)
declare(
    Metric(
        "beyond_retrain",
        "similarity above Retrain",
        "like Retrain",
        None,
        None,
        0.0,
        "similarity",
        "Mean similarity of the forget set less Retrain's: above 0 a trace is left, below 0 it is over-forgotten.",
    )
)


@dataclass(frozen=True)
class Matched:
    """How well matched similarity tells members: AUC, and TPR at 1 % false alarms (None: fewer than 100 held-out)."""

    auc: float
    tpr_at_1_percent: float | None


def matched_similarity(images: npt.ArrayLike, texts: npt.ArrayLike, *, similarity: Similarity = COSINE) -> Float64:
    """Similarity of each picture with its own caption, `[n, d]` and `[n, d]` to `[n]`; cosine 0 where one is zero."""
    if similarity.curvature is not None:
        return paired_similarity(images, texts, similarity.curvature)
    left, right = np.asarray(images, dtype=np.float64), np.asarray(texts, dtype=np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosine: Float64 = (left * right).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return cosine


def matched_membership(forget: Float64, held_out: Float64) -> Matched:
    """Membership by matched similarity, `[n]` of the forget set and `[m]` of held-out pictures."""
    rate = true_positive_rate(forget, held_out, false_alarms=FALSE_ALARMS)
    return Matched(auc(forget, held_out), None if rate is None else rate.value)
