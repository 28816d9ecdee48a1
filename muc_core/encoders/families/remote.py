"""Encoders behind a URL: `remote.json` beside the manifest says where, see `muc_core.encoders.remote`."""

from pathlib import Path

from muc_core.encoders.base import Encoder
from muc_core.encoders.loaders import LOADERS, Loader
from muc_core.encoders.manifest import EncoderManifest


def _load(manifest: EncoderManifest, folder: Path) -> Encoder:
    # Imported late: the HTTP library is of no use to who never asks a URL.
    from muc_core.encoders.remote.encoder import open_remote

    return open_remote(manifest, folder)


LOADERS.register("remote", Loader("remote", _load))
