"""From a manifest and a weight file to an encoder."""

from pathlib import Path

import muc_core.encoders.clip  # noqa: F401  (registers the family)
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest


def load_encoder(manifest: EncoderManifest, weights: Path) -> Encoder:
    """The black box of a stored encoder. Raises `MucError` when the weights are damaged or do not fit."""
    family = FAMILIES.get(manifest.family)
    return family.encoder(
        manifest.architecture, load_weights(weights), name=manifest.name, digest=manifest.weights_digest
    )
