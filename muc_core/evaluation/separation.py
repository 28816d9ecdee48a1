"""Whether a classifier can tell two groups of items apart by their features h: linear, and by nearest neighbours.

The classifier is cross-validated: each item is judged by one that was fitted without it. A linear probe on frozen
features is the usual way to ask what they hold (arXiv 1610.01644).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from muc_core.stats.ranks import Float64
from muc_core.stats.rates import Rate, auc_with_interval

FOLDS = 5
REPEATS = 4
NEIGHBOURS = 10
STRENGTH = 0.01
"""Inverse strength of the linear probe's ridge penalty: there are about as many features as items."""

Features = npt.NDArray[np.float32]


def linear_separation(owner: Features, controls: Features, *, seed: int = 0) -> Rate:
    """AUC of a logistic regression that tells owner's items from controls, .5 = not at all.

    Args:
        owner, controls: features `[n, d]` and `[m, d]`, n and m >= FOLDS.
        seed: of the folds.
    """
    return auc_with_interval(*_out_of_fold(owner, controls, _linear, seed))


def neighbour_separation(owner: Features, controls: Features, *, seed: int = 0) -> Rate:
    """AUC of the share of owner's items among the nearest neighbours by cosine; arguments as `linear_separation`."""
    return auc_with_interval(*_out_of_fold(owner, controls, _neighbours, seed))


def _linear(features: Features, labels: npt.NDArray[np.bool_], others: Features) -> Float64:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000))
    found: Float64 = model.fit(features, labels).decision_function(others)
    return found


def _neighbours(features: Features, labels: npt.NDArray[np.bool_], others: Features) -> Float64:
    count = min(NEIGHBOURS, len(features))
    model = KNeighborsClassifier(n_neighbors=count, weights="distance", metric="cosine")
    found: Float64 = model.fit(features, labels).predict_proba(others)[:, 1]
    return found


def _out_of_fold(
    owner: Features,
    controls: Features,
    judge: Callable[[Features, npt.NDArray[np.bool_], Features], Float64],
    seed: int,
) -> tuple[Float64, Float64]:
    """Scores of owner's items and controls, each the mean over repeats of one given by a fit without that item."""
    features = np.concatenate([owner, controls])
    labels = np.arange(len(features)) < len(owner)
    scores = np.zeros(len(features))
    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=seed)
    for known, left_out in folds.split(features, labels):
        scores[left_out] += judge(features[known], labels[known], features[left_out])
    return scores[labels], scores[~labels]
