"""The supervised family: architectures, what the black box gives, its classifier, and its loss."""

import pytest
import torch
from torch.nn import functional as F

from muc_core.encoders.base import Classifier
from muc_core.encoders.checkpoint import half
from muc_core.encoders.families.supervised import SupervisedModel
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MissingTextTower, MucError
from tests import tiny

FAMILY = FAMILIES.get("supervised")
PICTURES = tiny.dataset(6, size=32).images(32)


def manifest(*, classes: tuple[str, ...] = tiny.CLASSES) -> EncoderManifest:
    return EncoderManifest(
        name="t", title="t", family="supervised", architecture="demo-resnet@3", classes=classes, weights_digest="0"
    )


def batch() -> Batch:
    labels, nothing = torch.tensor([0, 1, 2, 0, 1, 2]), torch.empty(0).long()
    return Batch(PICTURES, None, nothing, nothing, lambda images, _: images.float() / 255, labels=labels)


@pytest.mark.parametrize(
    "architecture", ["demo-resnet", "demo-resnet@", "demo-resnet@1", "demo-resnet@x", "demo-resnet@-3"]
)
def test_an_architecture_says_how_many_classes_there_are(architecture: str) -> None:
    with pytest.raises(MucError, match="does not say how many classes it tells apart; write a number from 2"):
        FAMILY.build(architecture, 0)


def test_the_black_box_gives_features_and_the_classifier_probabilities() -> None:
    model: SupervisedModel = FAMILY.build("demo-resnet@3", 3).eval()
    encoder = FAMILY.encoder(half(model.state_dict()), manifest())
    h = encoder.encode_images(PICTURES)
    with torch.no_grad():
        expected = model.features(PICTURES.float() / 255)
        logits = model(PICTURES.float() / 255)
    torch.testing.assert_close(h, expected, rtol=2e-2, atol=2e-2)  # they are stored in half precision
    assert isinstance(encoder, Classifier)
    assert encoder.classes == tiny.CLASSES
    chances = encoder.classify(h)
    torch.testing.assert_close(chances, logits.softmax(dim=1), rtol=2e-2, atol=2e-2)
    assert encoder.dimension == h.shape[1] == 112
    with pytest.raises(MissingTextTower):
        encoder.encode_texts(["a bird"])
    others = (FAMILIES.get("simclr").build("demo-resnet:16", 0), "simclr", "demo-resnet:16")
    two_view = FAMILIES.get(others[1]).encoder(
        others[0].state_dict(), EncoderManifest(name="o", title="o", family=others[1], architecture=others[2])
    )
    assert not isinstance(two_view, Classifier)


def test_classes_that_do_not_fit_the_weights_are_refused() -> None:
    weights = FAMILY.build("demo-resnet@3", 0).state_dict()
    with pytest.raises(MucError, match="names 2 classes and its classifier tells 3 apart"):
        FAMILY.encoder(weights, manifest(classes=("bird", "car")))
    assert FAMILY.encoder(weights, manifest(classes=())).dimension == 112
    with pytest.raises(MucError, match="do not fit the architecture"):
        FAMILY.encoder(FAMILY.build("demo-resnet@4", 0).state_dict(), manifest())


def test_the_loss_is_cross_entropy_and_a_class_is_the_positive() -> None:
    model: SupervisedModel = FAMILY.build("demo-resnet@3", 0).eval()
    with torch.no_grad():
        chances = model(PICTURES.float() / 255).softmax(dim=1)
        expected = -sum(float(chances[i, y].log()) for i, y in enumerate([0, 1, 2, 0, 1, 2])) / 6
        assert float(FAMILY.loss(model, batch())) == pytest.approx(expected, rel=1e-5)
        (contrast,) = FAMILY.contrasts(model, batch())
        first, second = FAMILY.sides(model, batch())
    ends = torch.tensor([0, 4]), torch.tensor([2, 3])
    assert torch.equal(contrast.logit(*ends), contrast.logits[ends[0], torch.tensor([2, 0])])
    assert torch.equal(first, second)
    torch.testing.assert_close(first, F.normalize(model.features(PICTURES.float() / 255), dim=1))


def test_a_temperature_is_refused() -> None:
    with pytest.raises(MucError, match="has no temperature"):
        FAMILY.set_temperature(FAMILY.build("demo-resnet@3", 0), 0.1)
