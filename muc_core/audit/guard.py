"""The control guard: can owner's pictures and controls be told apart without any encoder?

If plain pixels tell them apart (photos against drawings, dark against light), so may any encoder, and a difference
between them says nothing of memory. The classifier is deliberately blind to meaning: it sees colours, light, edges, ink
and the main directions of small thumbnails.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muc_core.audit.result import GUARD, Check
from muc_core.stats.appearance import Pixels, appearance, thumbnails
from muc_core.stats.ranks import Float64

ALPHA = 0.05

MATERIAL = 0.6
"""AUC below which a difference is let pass even if many pictures make it significant. It is that of two normal
distributions .36 standard deviations apart. Of a difference in looks only the part that an encoder's scores follow
reaches the audit, so that one of this size stays within the audit's own tolerance of half a standard deviation."""

COMPONENTS = 12
LARGEST = 3.0
"""Standard deviations at which a statistic is cut, so that one odd picture does not lead the classifier."""

PENALTIES = (0.03, 0.3, 3.0)
"""Of the ridge regression, per picture. The best is taken, in the permutations too."""


@dataclass(frozen=True)
class Separation:
    """How well a blind classifier tells two sets apart.

    Attributes:
        auc: of predictions for pictures it was not fitted on; .5 = not at all, 1 = completely.
        p: of the permutation test.
    """

    auc: float
    p: float


def control_guard(owner_pixels: Pixels, control_pixels: Pixels, *, seed: int, permutations: int = 499) -> Check:
    """Whether owner's pictures and controls look alike enough for an audit.

    It fails when the pictures can be told apart significantly (p < `ALPHA`) and materially (AUC > `MATERIAL`).

    Args:
        owner_pixels, control_pixels: uint8 `[n, 3, s, s]` and `[m, 3, s, s]` in RGB, loaded in the same way.
        seed: of the permutations.
    """
    found = separate(owner_pixels, control_pixels, seed=seed, permutations=permutations)
    failed = found.p < ALPHA and found.auc > MATERIAL
    right = f"{found.auc:.0%}"
    return Check(
        name=GUARD,
        passed=not failed,
        value=f"told apart {right} of the time without any encoder, AUC {found.auc:.2f}, p = {found.p:.3f}",
        meaning=(
            f"Colours, light and edges alone tell your pictures from the controls: of one of each, a simple program "
            f"picks yours {right} of the time (guessing: 50%). A difference between them then says nothing of memory; "
            "choose controls that look more like your pictures."
            if failed
            else "The controls look like your pictures: of one of each, a simple program that sees only colours, "
            f"light and edges picks yours {right} of the time (guessing: 50%)."
        ),
    )


def separate(first: Pixels, second: Pixels, *, seed: int, permutations: int = 499) -> Separation:
    """Ridge regression of the label on blind features, each picture predicted by the fit without it.

    Leave-one-out is exact for ridge: with the hat matrix H the prediction is (H y - h y) / (1 - h). It is linear in the
    labels, so that all permutations of them are one product. Features are centred and scaled without the labels.
    """
    return separable(_features(first, second), len(first), seed=seed, permutations=permutations)


def separable(features: Float64, first: int, *, seed: int, permutations: int = 499) -> Separation:
    """The same of any features that are blind to meaning.

    Args:
        features: `[n + m, f]`, in any units.
        first: n.
    """
    features = _scaled(features)
    labels = np.r_[np.ones(first), np.zeros(len(features) - first)]
    generator = np.random.default_rng(seed)
    shuffled = np.stack([labels, *(generator.permutation(labels) for _ in range(permutations))])
    aucs = np.max([_aucs(features, shuffled, penalty) for penalty in PENALTIES], axis=0)
    # rounding must not make a permutation that ties with the true labels count as smaller
    at_least = int((aucs[1:] >= aucs[0] - 1e-9).sum())
    return Separation(float(aucs[0]), (1 + at_least) / (permutations + 1))


def _features(first: Pixels, second: Pixels) -> Float64:
    statistics = np.concatenate([appearance(first), appearance(second)])
    small = np.concatenate([thumbnails(first), thumbnails(second)])
    left, singular, _ = np.linalg.svd(small - small.mean(axis=0), full_matrices=False)
    keep = min(COMPONENTS, int((singular > 1e-9 * max(singular[0], 1e-30)).sum()))
    return np.hstack([statistics, left[:, :keep]])


def _scaled(features: Float64) -> Float64:
    """Centred and in units of their spread, cut where they are extreme; those that do not vary are left out."""
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0))[:, spread > 1e-9] / spread[spread > 1e-9]
    clipped = np.clip(features, -LARGEST, LARGEST)
    return np.asarray(clipped - clipped.mean(axis=0))


def _aucs(features: Float64, labels: npt.NDArray[np.float64], penalty: float) -> Float64:
    """AUC of leave-one-out predictions for each row of 0/1 labels `[p, n]`."""
    count, width = features.shape
    if width == 0:
        return np.full(len(labels), 0.5)
    inverse = np.linalg.inv(features.T @ features + penalty * count * np.eye(width))
    hat = features @ inverse @ features.T
    leverage = np.diag(hat).copy()
    np.fill_diagonal(hat, 0)
    predictions = (labels - labels.mean(axis=1, keepdims=True)) @ (hat / (1 - leverage)[:, None]).T
    positives = labels.sum(axis=1)
    ordered = np.take_along_axis(labels, np.argsort(predictions, axis=1), axis=1)
    ranks = ordered @ np.arange(1, count + 1)
    return np.asarray((ranks - positives * (positives + 1) / 2) / (positives * (count - positives)))
