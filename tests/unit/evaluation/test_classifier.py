"""Figures of an encoder's own classifier against plain counting and scikit-learn, and which metrics make its gap."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

import muc_core.evaluation.white_box  # noqa: F401  (declares all metrics)
from muc_core.errors import MucError
from muc_core.evaluation.classifier import accuracy, classifier_figures, confidence, set_answers
from muc_core.evaluation.cmia import cmia
from muc_core.evaluation.gap import average_gap, counting
from muc_core.evaluation.metrics import METRICS

PARTS = {"forget": 30, "retain": 50, "held_out": 40}


class Planted:
    """A classifier whose features are its logits."""

    classes: tuple[str, ...] = ("bird", "fish", "tree")

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return features.softmax(dim=1)


def drawn() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    probabilities = {part: rng.dirichlet(np.ones(4), size=n) for part, n in PARTS.items()}
    classes = {part: rng.integers(4, size=n) for part, n in PARTS.items()}
    return probabilities, classes


def test_the_figures_are_accuracies_and_the_attack_on_confidence() -> None:
    probabilities, classes = drawn()
    found = classifier_figures(probabilities, classes, seed=3)
    for part, name in (("retain", "classifier_ra"), ("held_out", "classifier_ta"), ("forget", "classifier_ua")):
        named = [max(range(4), key=row.__getitem__) for row in probabilities[part].tolist()]
        assert found[name] == pytest.approx(accuracy_score(classes[part], named))
        assert found[name] == accuracy(probabilities[part], classes[part])
    sure = {
        part: np.array([row[y] for row, y in zip(probabilities[part], classes[part], strict=True)]) for part in PARTS
    }
    assert all(np.array_equal(confidence(probabilities[part], classes[part]), sure[part]) for part in PARTS)
    assert found["classifier_mia"] == cmia(sure["forget"], sure["retain"], sure["held_out"], seed=3)


def test_a_set_is_asked_about_the_classes_that_the_classifier_knows() -> None:
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    labels = ["tree", None, "bird-owl", "stone", "fish", "fish"]
    shares = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
    own = {0: 2, 2: 0, 4: 1, 5: 1}
    found = set_answers(Planted(), features, labels)
    assert found.count == 4
    assert found.top1 == np.mean([int(shares[row].argmax() == number) for row, number in own.items()])
    assert found.positive == pytest.approx(np.mean([shares[row, number] for row, number in own.items()]))


def test_a_set_without_any_known_class_is_refused_by_its_labels() -> None:
    with pytest.raises(MucError, match="knows none of the classes moss, stone"):
        set_answers(Planted(), np.zeros((2, 3), np.float32), ["stone", "moss"])


def test_a_set_without_pictures_of_known_classes_has_no_figure_and_there_is_no_attack() -> None:
    probabilities, classes = drawn()
    probabilities["held_out"], classes["held_out"] = np.empty((0, 4)), np.empty(0, dtype=int)
    assert set(classifier_figures(probabilities, classes)) == {"classifier_ra", "classifier_ua"}


def test_the_gap_of_a_classifier_is_over_its_own_figures_alone() -> None:
    probes = {"ra": 0.9, "ta": 0.5, "ua": 0.5, "cmia": 0.2, "emia": 0.9}
    own = {"classifier_ra": 1.0, "classifier_ta": 0.5, "classifier_ua": 0.8, "classifier_mia": 0.1}
    retrained = {"classifier_ra": 1.0, "classifier_ta": 0.6, "classifier_ua": 0.4, "classifier_mia": 0.5}
    gap = average_gap(probes | own, dict.fromkeys(probes, 0.0) | retrained)
    assert gap.average == pytest.approx((0 + 0.1 + 0.4 + 0.4) / 4)
    assert set(gap.by_metric) == set(own)
    assert {metric.name for metric in counting(list(probes))} == set(probes)
    assert all(METRICS.get(name).of_classifier for name in own)
