"""From a manifest and the files beside it to an encoder."""

from pathlib import Path

import muc_core.encoders.families  # noqa: F401  (registers them)
from muc_core.encoders.base import Encoder
from muc_core.encoders.loaders import LOADERS
from muc_core.encoders.manifest import EncoderManifest


def load_encoder(manifest: EncoderManifest, folder: Path) -> Encoder:
    """The black box of a stored encoder. Raises `MucError` when its files are damaged or do not fit."""
    return LOADERS.get(manifest.family).load(manifest, folder)
