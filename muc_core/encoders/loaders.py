"""How encoders are opened: one loader for each family name that a manifest can have."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES, Family
from muc_core.encoders.manifest import WEIGHTS, EncoderManifest
from muc_core.registry import Registry


@dataclass(frozen=True)
class Loader:
    """Opens the encoders of one family.

    Attributes:
        name: the `family` of the manifests it opens.
        load: from a manifest and the folder it lies in to the black box. Raises `MucError` when files are damaged or do
            not fit.
    """

    name: str
    load: Callable[[EncoderManifest, Path], Encoder]


LOADERS: Registry[Loader] = Registry("kind of encoder")


def register_family(family: Family) -> None:
    """Make a family known to training and to loading."""

    def load(manifest: EncoderManifest, folder: Path) -> Encoder:
        return family.encoder(load_weights(folder / WEIGHTS), manifest)

    FAMILIES.register(family.name, family)
    LOADERS.register(family.name, Loader(family.name, load))
