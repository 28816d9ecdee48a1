"""What SimCLR and MoCo share: a backbone with a projection head, and the black box around the two.

Their architectures are written `BACKBONE`, `BACKBONE:WIDTHS` or `BACKBONE:WIDTHS-bn`: the widths of the head's layers
after the features, such as `cifar-resnet18:512-128`; `-bn` puts batch norm after each of them, as SimCLR's authors do.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muc_core.data.augment import AugmentSettings
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.backbones import build_backbone
from muc_core.encoders.device import compute_device
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.threads import in_shares
from muc_core.errors import MissingTextTower, MucError

PROJECTIONS = 128
"""Length of the projections z when the architecture does not say."""

AUGMENT = AugmentSettings(crop_scale=0.1, flip=0.5, color_jitter=0.4, hue=0.1, jitter_probability=0.8, grayscale=0.2)
"""Views of the MUC paper (arXiv 2406.03603) on CIFAR: SimCLR's without blur."""

_HEAD = re.compile(r"[1-9]\d{0,4}(-[1-9]\d{0,4}){0,4}(-bn)?")


def build_head(text: str, features: int) -> nn.Sequential:
    """Linear layers with ReLU between them, from features h to projections z.

    Args:
        text: the widths such as `512-128`, or `512-128-bn` with batch norm after each layer.
        features: length of h.

    Raises:
        MucError: `text` is no such thing.
    """
    if not _HEAD.fullmatch(text):
        raise MucError(
            f"{text[:50]!r} is not a projection head; write the widths of its layers, such as 512-128, or 512-128-bn "
            "with batch norm"
        )
    normed = text.endswith("-bn")
    widths = [int(width) for width in text.removesuffix("-bn").split("-")]
    layers: list[nn.Module] = []
    for before, width in zip([features, *widths], widths, strict=False):
        if layers:
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Linear(before, width, bias=not normed))  # batch norm takes any bias away
        if normed:
            layers.append(nn.BatchNorm1d(width))
    return nn.Sequential(OrderedDict(layers=nn.Sequential(*layers)))


class TwoViewModel(nn.Module):
    """Pictures to features h to projections z.

    Args:
        architecture: backbone and perhaps head, see the module.
        hidden_layers: of the head when the architecture does not say, each as wide as the features.
        temperature: tau, a buffer, so that it is kept with the weights.
    """

    temperature: Tensor

    def __init__(self, architecture: str, *, hidden_layers: int, temperature: float) -> None:
        super().__init__()
        name, _, head = architecture.partition(":")
        backbone = build_backbone(name)
        widths = [backbone.dimension] * hidden_layers + [PROJECTIONS]
        self.preprocessing = backbone.preprocessing
        self.backbone = backbone.module
        self.projection_head = build_head(head or "-".join(map(str, widths)), backbone.dimension)
        linear = [layer for layer in self.projection_head.modules() if isinstance(layer, nn.Linear)]
        self.projections = linear[-1].out_features
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(self, views: Tensor) -> Tensor:
        """Views in [0, 1], `[n, 3, size, size]`, to normalised projections `[n, d]`."""
        features = self.backbone(self.preprocessing.normalise(views))
        return F.normalize(self.projection_head(features), dim=1)


class TwoViewEncoder:
    """Backbone, and projection head where its output is the projections, as a black box."""

    has_text = False

    def __init__(self, model: TwoViewModel, manifest: EncoderManifest) -> None:
        self.name = manifest.name
        self.family = manifest.family
        self.digest = manifest.content_digest
        self.preprocessing = manifest.preprocessing or model.preprocessing
        layers = [model.backbone] if manifest.output == "features" else [model.backbone, model.projection_head]
        self._device = compute_device()
        self._layers = nn.Sequential(*layers).eval().to(self._device)
        size = self.image_size
        self.dimension = self.encode_images(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]

    @property
    def image_size(self) -> int:
        return self.preprocessing.size

    @property
    def interpolation(self) -> Interpolation:
        return self.preprocessing.interpolation

    def encode_images(self, images: Tensor) -> Tensor:
        return in_shares(self._vectors, images.to(self._device))

    @torch.inference_mode()
    def _vectors(self, images: Tensor) -> Tensor:
        vectors: Tensor = self._layers(self.preprocessing.apply(images))
        return vectors.float().cpu()

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        raise MissingTextTower(f"the encoder {self.name!r} has no text tower; {self.family} learns from pictures alone")
