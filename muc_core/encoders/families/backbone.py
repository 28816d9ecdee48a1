"""Features h of an image model of torchvision or timm, or of a ResNet for small pictures, from its state dict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.backbones import Backbone, build_backbone
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.device import compute_device
from muc_core.encoders.family import fit_weights
from muc_core.encoders.loaders import LOADERS, Loader
from muc_core.encoders.manifest import WEIGHTS, EncoderManifest
from muc_core.encoders.threads import in_shares
from muc_core.errors import MissingTextTower


class BackboneEncoder:
    """A model without its classification layer as a black box."""

    family = "backbone"
    has_text = False

    def __init__(self, backbone: Backbone, manifest: EncoderManifest) -> None:
        self.name = manifest.name
        self.digest = manifest.content_digest
        self.preprocessing = manifest.preprocessing or backbone.preprocessing
        self.dimension = backbone.dimension
        self._device = compute_device()
        self._module = backbone.module.eval().to(self._device)

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
        vectors: Tensor = self._module(self.preprocessing.apply(images))
        return vectors.float().cpu()

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        raise MissingTextTower(f"the encoder {self.name!r} has no text tower; it is a model of pictures alone")


def open_backbone(weights: Mapping[str, Tensor], manifest: EncoderManifest) -> BackboneEncoder:
    """The black box around the weights of a backbone. Raises `MucError` when they do not fit its architecture."""
    with torch.random.fork_rng(devices=[]):
        backbone = build_backbone(manifest.architecture)
    fit_weights(backbone.module, weights, manifest)
    return BackboneEncoder(backbone, manifest)


def _load(manifest: EncoderManifest, folder: Path) -> BackboneEncoder:
    return open_backbone(load_weights(folder / WEIGHTS), manifest)


LOADERS.register("backbone", Loader("backbone", _load))
