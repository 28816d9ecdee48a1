"""The MERU family (arXiv 2304.09172): CLIP's towers, whose vectors are lifted into hyperbolic space.

Features of either tower are scaled by a factor of that tower and taken through the exponential map at the root to a
point of the Lorentz model with curvature -c (`losses.lorentz`). The loss is InfoNCE both ways with minus the distance
as similarity, plus 0.2 times the entailment of each picture by its text. Both factors (at most 1, at first
1 / sqrt(d)), the temperature (at most 1/100, at first .07) and c (in [.1, 10], at first 1) are learned as logarithms.

Architectures are those of CLIP. The black box hands out the space parts of the points, and says by its `similarity`
that they are to be compared by distance, and with which c.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import open_clip
import torch
from torch import Tensor, nn

from muc_core.data.augment import AugmentSettings
from muc_core.encoders.families.clip import MAX_LOGIT_SCALE, TINY, ClipEncoder, ClipFamily, preprocessing_of, tokens_in
from muc_core.encoders.family import Batch, fit_weights
from muc_core.encoders.loaders import register_family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MucError
from muc_core.losses.contrast import Contrast, anchor_loss, both_ways
from muc_core.losses.lorentz import entailment, exp_map, pairwise_distance
from muc_core.similarity import Similarity

ENTAILMENT = 0.2
"""Weight of the entailment loss."""

CURVATURE = (0.1, 10.0)
"""Least and largest c."""

_CLIP = ClipFamily()


@dataclass(frozen=True)
class Points:
    """A batch in hyperbolic space.

    Attributes:
        images, texts: space parts `[n, d]`, float32 or finer; row i of both is one pair.
        curvature: c, a scalar.
        scale: 1 / tau, a scalar.
    """

    images: Tensor
    texts: Tensor
    curvature: Tensor
    scale: Tensor

    def contrasts(self) -> tuple[Contrast, Contrast]:
        """Both directions of MERU's loss; entailment, the same for either, is in both."""
        logits = -self.scale * pairwise_distance(self.images, self.texts, self.curvature)
        return both_ways(logits, self.scale, ENTAILMENT * entailment(self.texts, self.images, self.curvature))


class MeruModel(nn.Module):
    """CLIP's towers and the way from their features into hyperbolic space; it encodes as a CLIP does.

    Args:
        towers: of CLIP; their `logit_scale` is the temperature here, too.
        dimension: length of their features.
    """

    def __init__(self, towers: open_clip.CLIP, dimension: int) -> None:
        super().__init__()
        self.towers = towers
        self.dimension = dimension
        start = -math.log(dimension) / 2
        self.log_image_scale = nn.Parameter(torch.tensor(start))
        self.log_text_scale = nn.Parameter(torch.tensor(start))
        self.log_curvature = nn.Parameter(torch.tensor(0.0))

    @property
    def visual(self) -> nn.Module:
        """The image tower."""
        tower: nn.Module = self.towers.visual
        return tower

    @property
    def curvature(self) -> Tensor:
        """c, a scalar."""
        return self.log_curvature.exp()

    def encode_image(self, images: Tensor) -> Tensor:
        """Prepared pictures to space parts `[n, d]`."""
        return exp_map(self.log_image_scale.exp() * self.towers.encode_image(images), self.curvature)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token ids to space parts `[n, d]`."""
        return exp_map(self.log_text_scale.exp() * self.towers.encode_text(tokens), self.curvature)


class MeruEncoder(ClipEncoder):
    """Image and text tower of a trained MERU model as a black box."""

    family = "meru"

    def __init__(self, model: MeruModel, manifest: EncoderManifest) -> None:
        super().__init__(model, manifest)
        self.similarity = Similarity("lorentz", float(model.curvature.detach()))


class MeruFamily:
    """Training side of MERU."""

    name = "meru"
    has_text = True
    has_classes = False
    default_architecture = TINY
    default_augment = AugmentSettings(crop_scale=0.5, flip=0.5)

    def architectures(self) -> tuple[str, ...]:
        return _CLIP.architectures()

    def build(self, architecture: str, seed: int) -> MeruModel:
        towers = _CLIP.build(architecture, seed)
        return MeruModel(towers, int(open_clip.get_model_config(architecture)["embed_dim"]))

    def image_size(self, model: MeruModel) -> int:
        return _CLIP.image_size(model.towers)

    def set_temperature(self, model: MeruModel, temperature: float) -> None:
        raise MucError("MERU learns its temperature; leave the setting temperature empty")

    def set_preprocessing(self, model: MeruModel, preprocessing: Preprocessing) -> None:
        _CLIP.set_preprocessing(model.towers, preprocessing)

    def tokenize(self, architecture: str, texts: Sequence[str]) -> Tensor:
        return _CLIP.tokenize(architecture, texts)

    def points(self, model: MeruModel, batch: Batch) -> Points:
        """A view of each picture and its caption in hyperbolic space."""
        pictures = preprocessing_of(model.towers).normalise(batch.view())
        images = batch.through(model, pictures, model.encode_image)
        texts = batch.through(model, tokens_in(batch), model.encode_text)
        return Points(batch.joined(images), batch.joined(texts), model.curvature, model.towers.logit_scale.exp())

    def loss(self, model: MeruModel, batch: Batch) -> Tensor:
        return torch.stack([anchor_loss(contrast).mean() for contrast in self.contrasts(model, batch)]).mean()

    def contrasts(self, model: MeruModel, batch: Batch) -> Sequence[Contrast]:
        return self.points(model, batch).contrasts()

    def sides(self, model: MeruModel, batch: Batch) -> tuple[Tensor, Tensor]:
        points = self.points(model, batch)
        return points.images, points.texts

    def alignment(self, model: MeruModel, left: Tensor, right: Tensor) -> Tensor:
        return -pairwise_distance(left, right, model.curvature)

    def after_step(self, model: MeruModel) -> None:
        with torch.no_grad():
            model.towers.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
            model.log_image_scale.clamp_(max=0)
            model.log_text_scale.clamp_(max=0)
            model.log_curvature.clamp_(*map(math.log, CURVATURE))

    def finished(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(weights)

    def encoder(self, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> MeruEncoder:
        model = self.build(manifest.architecture, seed=0)
        fit_weights(model, weights, manifest)
        _check_curvature(model, manifest.name)
        return MeruEncoder(model, manifest)


def _check_curvature(model: MeruModel, name: str) -> None:
    least, largest = CURVATURE
    c = float(model.curvature.detach())
    if not 0.999 * least <= c <= 1.001 * largest:  # also refuses what is not a number
        raise MucError(
            f"the curvature of {name!r} is {c:g} (exp of log_curvature in its weights); MERU's lies between {least:g} "
            f"and {largest:g}: its weights are damaged or of another model"
        )


register_family(MeruFamily())
