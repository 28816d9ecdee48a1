"""What the encoder's own classifier knows: RA, TA and UA as accuracies, and the attack on its confidence.

For the supervised family, where no probe has to be trained. UA is plain accuracy on the forget set, as everywhere here;
the literature on classifiers (arXiv 2310.12508, 2509.16391) mostly prints 1 - accuracy under that name, which makes no
difference to a gap. The attack is CMIA's with the classifier's probability of the true class: the share of the forget
set called non-member, "MIA efficacy" there. These four, and no probe's, make the average gap of a classifier.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.preprocessing import normalize

from muc_core.data.classes import class_numbers
from muc_core.data.paths import name_some
from muc_core.encoders.base import Classifier
from muc_core.errors import MucError
from muc_core.evaluation.cmia import cmia
from muc_core.evaluation.metrics import like_retrain
from muc_core.evaluation.utility import SetFigures, uniformity
from muc_core.stats.ranks import Float64

Codes = npt.NDArray[np.int64]

ACCURACIES = {"retain": "classifier_ra", "held_out": "classifier_ta", "forget": "classifier_ua"}
"""Metric by set of pictures."""

like_retrain(
    "classifier_ra",
    "classifier's RA",
    "How often the encoder's own classifier names retained pictures rightly.",
    in_gap=True,
    is_utility=True,
    of_classifier=True,
)
like_retrain(
    "classifier_ta",
    "classifier's TA",
    "How often the encoder's own classifier names pictures rightly that were never trained on.",
    in_gap=True,
    is_utility=True,
    of_classifier=True,
)
like_retrain(
    "classifier_ua",
    "classifier's UA",
    "How often the encoder's own classifier names forgotten pictures rightly; plain accuracy, not 1 - accuracy.",
    in_gap=True,
    of_classifier=True,
)
like_retrain(
    "classifier_mia",
    "classifier's MIA",
    "Share of the forget set that an attack on the classifier's confidence takes for never trained on.",
    in_gap=True,
    of_classifier=True,
)


def ask(
    classifier: Classifier, features: npt.NDArray[np.float32], labels: Sequence[str | None]
) -> tuple[Float64, Codes]:
    """Probabilities `[m, classes]` and own classes `[m]` of the pictures of classes that it tells apart, m <= n.

    Args:
        classifier: knows the names of its classes.
        features: h, `[n, d]`.
        labels: of each picture.
    """
    codes = np.array(class_numbers(classifier.classes, labels), dtype=np.int64)
    known = codes >= 0
    return classifier.classify(torch.from_numpy(features[known])).double().numpy(), codes[known]


def set_answers(classifier: Classifier, features: npt.NDArray[np.float32], labels: Sequence[str | None]) -> SetFigures:
    """How often and how surely it names the true class; see `ask`.

    Raises:
        MucError: none of the pictures is of its classes.
    """
    probabilities, classes = ask(classifier, features, labels)
    if not len(classes):
        raise MucError(f"the classifier knows none of the classes {name_some(sorted({str(name) for name in labels}))}")
    return SetFigures(
        count=len(classes),
        top1=accuracy(probabilities, classes),
        positive=float(confidence(probabilities, classes).mean()),
        uniformity=uniformity(normalize(features.astype(np.float64))),
    )


def accuracy(probabilities: Float64, classes: Codes) -> float:
    """Share of pictures whose own class is the likeliest, in [0, 1], from `[n, classes]` and `[n]`, n >= 1."""
    return float((probabilities.argmax(axis=1) == classes).mean())


def confidence(probabilities: Float64, classes: Codes) -> Float64:
    """Probability of each picture's true class, `[n]`."""
    true: Float64 = probabilities[np.arange(len(classes)), classes]
    return true


def classifier_figures(
    probabilities: Mapping[str, Float64], classes: Mapping[str, Codes], *, seed: int = 0
) -> dict[str, float]:
    """The four figures by metric; those of an empty set are left out.

    Args:
        probabilities: `[n, classes]` by set: "forget", "retain" and "held_out".
        classes: true class of each picture, `[n]` by set.
        seed: of the attack's draw.
    """
    there = [part for part in ACCURACIES if len(classes[part])]
    found = {ACCURACIES[part]: accuracy(probabilities[part], classes[part]) for part in there}
    if len(there) == len(ACCURACIES):
        sure = (confidence(probabilities[part], classes[part]) for part in ("forget", "retain", "held_out"))
        found["classifier_mia"] = cmia(*sure, seed=seed)
    return found
