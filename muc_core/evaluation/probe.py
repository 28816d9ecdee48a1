"""What features h tell of classes: a linear probe and nearest neighbours, both trained on retained pictures alone.

RA, TA and UA of the MUC paper (arXiv 2406.03603) are accuracies of the linear probe on retained, held-out and forget
pictures. Encoders are judged by cached features: h is computed once and never again.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from muc_core.evaluation.metrics import like_retrain
from muc_core.stats.ranks import Float64

Solver = Literal["lbfgs", "sgd"]
Features = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]

STRENGTH = 1.0
"""Inverse strength of the ridge penalty of the L-BFGS probe, on standardised features, per 100 retained pictures."""

NEIGHBOURS = 10
SGD_EPOCHS, SGD_BATCH, SGD_RATE, SGD_MOMENTUM = 100, 512, 1.0, 0.9

like_retrain(
    "ra",
    "RA",
    "How often a linear classifier on the features names retained pictures rightly.",
    in_gap=True,
    is_utility=True,
)
like_retrain(
    "ta",
    "TA",
    "How often a linear classifier on the features names pictures rightly that were never trained on.",
    in_gap=True,
    is_utility=True,
)
like_retrain(
    "ua",
    "UA",
    "How often a linear classifier on the features names forgotten pictures rightly; plain accuracy, not 1 - accuracy.",
    in_gap=True,
)
like_retrain(
    "knn_ta",
    "k-NN TA",
    "How often the nearest retained pictures name a picture rightly that was never trained on.",
    is_utility=True,
)
like_retrain("knn_ua", "k-NN UA", "How often the nearest retained pictures name a forgotten picture rightly.")


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A linear classifier on standardised features: `softmax(((h - mean) / deviation) @ weights + bias)`.

    Attributes:
        mean, deviation: of the training features, `[d]`.
        weights: `[d, classes]`.
        bias: `[classes]`.
    """

    mean: Float64
    deviation: Float64
    weights: Float64
    bias: Float64

    def probabilities(self, features: npt.ArrayLike) -> Float64:
        """`[n, d]` to the probability of each class, `[n, classes]`."""
        logits = (np.asarray(features, dtype=np.float64) - self.mean) / self.deviation @ self.weights + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        chances: Float64 = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return chances

    def accuracy(self, features: npt.ArrayLike, classes: npt.ArrayLike) -> float:
        """Share of pictures named rightly, in [0, 1]; a class that the probe does not know is named wrongly."""
        return float((self.probabilities(features).argmax(axis=1) == np.asarray(classes)).mean())

    def confidence(self, features: npt.ArrayLike, classes: npt.ArrayLike) -> Float64:
        """Probability given to each picture's true class, `[n]`; 0 for a class that the probe does not know."""
        chances = self.probabilities(features)
        known = np.hstack([chances, np.zeros((len(chances), 1))])
        true: Float64 = known[np.arange(len(chances)), np.minimum(np.asarray(classes), chances.shape[1])]
        return true


def linear_probe(
    features: npt.ArrayLike, classes: npt.ArrayLike, *, solver: Solver = "lbfgs", seed: int = 0
) -> LinearProbe:
    """Train a linear probe on retained pictures.

    Args:
        features: h, `[n, d]`.
        classes: `[n]`, every number from 0 to the largest at least once, two or more of them.
        solver: "lbfgs": logistic regression to its optimum (scikit-learn); "sgd": the paper's 100 epochs of SGD
            (learning rate 1.0, momentum .9, cosine), on cached features, thus without its crops and flips.
        seed: of the order of "sgd"; the other has no randomness.
    """
    h, y = np.asarray(features, dtype=np.float64), np.asarray(classes, dtype=np.int64)
    count = int(y.max()) + 1
    if count < 2 or len(np.unique(y)) < count:
        raise ValueError("classes must be numbered 0 to k - 1, k >= 2, without gaps")
    mean, deviation = h.mean(axis=0), h.std(axis=0)
    deviation = np.where(deviation > 1e-12, deviation, 1.0)
    x = (h - mean) / deviation
    weights, bias = _sgd(x, y, count, seed) if solver == "sgd" else _lbfgs(x, y)
    return LinearProbe(mean, deviation, weights, bias)


def _lbfgs(x: Float64, y: Codes) -> tuple[Float64, Float64]:
    # scikit-learn weighs the penalty against the sum over samples; divided by their number it is the same at any size
    model = LogisticRegression(C=100 * STRENGTH / len(x), max_iter=2000, tol=1e-4).fit(x, y)
    if len(model.coef_) == 1:  # two classes have one row
        return np.stack([-model.coef_[0] / 2, model.coef_[0] / 2], axis=1), np.array([-0.5, 0.5]) * model.intercept_[0]
    return model.coef_.T, model.intercept_


def _sgd(x: Float64, y: Codes, count: int, seed: int) -> tuple[Float64, Float64]:
    inputs, targets = torch.from_numpy(x).float(), torch.from_numpy(y)
    layer = torch.nn.Linear(x.shape[1], count)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=SGD_RATE, momentum=SGD_MOMENTUM)
    steps = -(-len(x) // SGD_BATCH) * SGD_EPOCHS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(SGD_EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        for rows in (order[start : start + SGD_BATCH] for start in range(0, len(x), SGD_BATCH)):
            optimizer.zero_grad()
            F.cross_entropy(layer(inputs[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    weights = layer.weight.detach().double().numpy().T
    return weights, layer.bias.detach().double().numpy()


def neighbour_accuracy(
    known: npt.ArrayLike, known_classes: npt.ArrayLike, features: npt.ArrayLike, classes: npt.ArrayLike
) -> float:
    """Share of pictures whose class the nearest retained pictures by cosine name, each weighed by its nearness.

    Args:
        known, known_classes: features of retained pictures `[m, d]` and their classes `[m]`.
        features, classes: those asked about, `[n, d]` and `[n]`.
    """
    count = min(NEIGHBOURS, len(np.asarray(known)))
    model = KNeighborsClassifier(n_neighbors=count, weights="distance", metric="cosine")
    named = model.fit(np.asarray(known), np.asarray(known_classes)).predict(np.asarray(features))
    return float((named == np.asarray(classes)).mean())
