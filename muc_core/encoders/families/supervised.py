"""The supervised family: a backbone and a linear classifier, trained with cross-entropy on class labels.

Architectures are written `BACKBONE@CLASSES`, such as `cifar-resnet18@10`; training adds the number of classes of its
data where it is not given. The encoder gives the features h before the classifier.

A classifier's loss is InfoNCE against its classes: anchors are pictures, candidates the classes with their logits, the
positive is the own class and the temperature 1. So the methods for contrastive encoders carry over. Alignment
Calibration calibrates the alignment of a picture with its class: it lowers the forget pictures' logit of the own class
and raises that of the class of another one of them, which does nothing where all are of one class. Control-matched AC
looks at views of h, as an audit does.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muc_core.data.augment import AugmentSettings
from muc_core.encoders.backbones import DEMO, Backbone, backbone_names, build_backbone
from muc_core.encoders.families.backbone import BackboneEncoder
from muc_core.encoders.family import Batch, fit_weights
from muc_core.encoders.loaders import register_family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MucError
from muc_core.losses.contrast import Contrast

MOST_CLASSES = 1_000_000

AUGMENT = AugmentSettings(crop_scale=0.5, flip=0.5)
"""Crops and mirror images, the usual views of classifiers on small pictures."""


class SupervisedModel(nn.Module):
    """Pictures to features h to logits.

    Raises:
        MucError: the architecture does not say how many classes there are, from 2 to MOST_CLASSES.
    """

    def __init__(self, architecture: str) -> None:
        super().__init__()
        name, _, count = architecture.partition("@")
        backbone = build_backbone(name)
        if not (count.isdecimal() and 2 <= int(count) <= MOST_CLASSES):
            raise MucError(
                f"{architecture[:100]!r} does not say how many classes it tells apart; write a number from 2 to "
                f"{MOST_CLASSES:,} after @, such as {name}@10"
            )
        self.dimension = backbone.dimension
        self.preprocessing = backbone.preprocessing
        self.backbone = backbone.module
        self.classifier = nn.Linear(backbone.dimension, int(count))

    def features(self, views: Tensor) -> Tensor:
        """Views in [0, 1], `[n, 3, size, size]`, to features h, `[n, d]`."""
        vectors: Tensor = self.backbone(self.preprocessing.normalise(views))
        return vectors

    def forward(self, views: Tensor) -> Tensor:
        """Views in [0, 1], `[n, 3, size, size]`, to logits, `[n, classes]`."""
        logits: Tensor = self.classifier(self.features(views))
        return logits


class SupervisedEncoder(BackboneEncoder):
    """The backbone as a black box, and its classifier for those who hold the weights.

    Attributes:
        classes: their names, in the order of the probabilities.
    """

    family = "supervised"

    def __init__(self, model: SupervisedModel, manifest: EncoderManifest) -> None:
        super().__init__(Backbone(model.backbone, model.dimension, model.preprocessing), manifest)
        self.classes = manifest.classes
        self._classifier = model.classifier.eval().to(self._device)

    @torch.inference_mode()
    def classify(self, features: Tensor) -> Tensor:
        """Features h, `[n, d]`, to the probability of each class, float32 `[n, classes]`."""
        logits: Tensor = self._classifier(features.to(self._device))
        return logits.float().softmax(dim=1).cpu()


class SupervisedFamily:
    """Training side of classifiers."""

    name = "supervised"
    has_text = False
    has_classes = True
    default_architecture = DEMO
    default_augment = AUGMENT

    def architectures(self) -> tuple[str, ...]:
        return backbone_names()

    def build(self, architecture: str, seed: int) -> SupervisedModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return SupervisedModel(architecture)

    def image_size(self, model: SupervisedModel) -> int:
        return model.preprocessing.size

    def set_temperature(self, model: SupervisedModel, temperature: float) -> None:
        raise MucError("a classifier's cross-entropy has no temperature; leave the setting temperature empty")

    def set_preprocessing(self, model: SupervisedModel, preprocessing: Preprocessing) -> None:
        model.preprocessing = preprocessing

    def tokenize(self, architecture: str, texts: Sequence[str]) -> None:
        return None

    def loss(self, model: SupervisedModel, batch: Batch) -> Tensor:
        return F.cross_entropy(batch.joined(batch.through(model, batch.view())), _labels(batch))

    def contrasts(self, model: SupervisedModel, batch: Batch) -> Sequence[Contrast]:
        logits = batch.joined(batch.through(model, batch.view()))
        return (Contrast(logits, _labels(batch), torch.ones((), device=logits.device)),)

    def sides(self, model: SupervisedModel, batch: Batch) -> tuple[Tensor, Tensor]:
        features = (batch.joined(batch.through(model, batch.view(), model.features)) for _ in range(2))
        first, second = (F.normalize(h, dim=1) for h in features)
        return first, second

    def alignment(self, model: SupervisedModel, left: Tensor, right: Tensor) -> Tensor:
        return left @ right.T

    def after_step(self, model: SupervisedModel) -> None:
        pass

    def finished(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(weights)

    def encoder(self, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> SupervisedEncoder:
        model = self.build(manifest.architecture, seed=0)
        fit_weights(model, weights, manifest)
        if manifest.classes and len(manifest.classes) != model.classifier.out_features:
            raise MucError(
                f"the manifest of {manifest.name!r} names {len(manifest.classes)} classes and its classifier tells "
                f"{model.classifier.out_features} apart; add the encoder again"
            )
        return SupervisedEncoder(model, manifest)


def _labels(batch: Batch) -> Tensor:
    assert batch.labels is not None  # the engine gives them to families with classes
    return batch.labels


register_family(SupervisedFamily())
