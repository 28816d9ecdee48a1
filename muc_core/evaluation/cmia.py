"""CMIA, the attack on a classifier's confidence, as the MUC paper (arXiv 2406.03603) puts it to a linear probe.

A support vector machine (RBF kernel, C = 3) learns to tell retained from held-out pictures by the probability that the
probe gives to the true class; reported is the share of the forget set that it calls non-member.
"""

import numpy as np
from sklearn.svm import SVC

from muc_core.evaluation.metrics import like_retrain
from muc_core.stats.ranks import Float64

C = 3.0

like_retrain(
    "cmia",
    "CMIA",
    "Share of the forget set that an attack on a classifier's confidence takes for never trained on.",
    in_gap=True,
)


def cmia(forget: Float64, retain: Float64, held_out: Float64, *, seed: int = 0) -> float:
    """Share of the forget set called non-member, in [0, 1].

    Args:
        forget, retain, held_out: confidence in the true class, `[n]` each of its own length, n >= 1; the longer of
            `retain` and `held_out` is cut to the shorter by a random draw, so that neither is favoured.
        seed: of that draw.
    """
    draw = np.random.default_rng(seed)
    size = min(len(retain), len(held_out))
    members, others = (draw.choice(values, size, replace=False) for values in (retain, held_out))
    model = SVC(C=C, kernel="rbf", gamma="auto")
    model.fit(np.concatenate([members, others])[:, None], np.repeat([1, 0], size))
    return float((model.predict(np.asarray(forget)[:, None]) == 0).mean())
