"""Encoders that somebody exported with TorchScript: the archive lies beside the manifest and is run as it is.

The program takes float32 pictures `[n, 3, size, size]`, prepared as the manifest says, and gives vectors `[n, d]`; a
map of single points `[n, d, 1, 1]` will do.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.checkpoint import load_torchscript
from muc_core.encoders.loaders import LOADERS, Loader
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MissingTextTower, MucError

MODEL = "model.torchscript.pt"


class TorchScriptEncoder:
    """A TorchScript program as a black box. Raises `MucError` when it does not give a vector for a picture."""

    family = "torchscript"
    has_text = False

    def __init__(self, module: torch.jit.ScriptModule, manifest: EncoderManifest) -> None:
        if manifest.preprocessing is None:
            raise MucError(
                f"the manifest of {manifest.name!r} does not say how its pictures are prepared; add it again"
            )
        self.name = manifest.name
        self.digest = manifest.content_digest
        self.preprocessing: Preprocessing = manifest.preprocessing
        self._module = module.float()
        size = self.image_size
        self.dimension = self.encode_images(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]

    @property
    def image_size(self) -> int:
        return self.preprocessing.size

    @property
    def interpolation(self) -> Interpolation:
        return self.preprocessing.interpolation

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> Tensor:
        try:
            vectors = self._module(self.preprocessing.apply(images))
        except RuntimeError as error:  # what an operator of the program refuses
            reason = (str(error).strip().splitlines() or ["no reason given"])[-1][:200]
            raise MucError(
                f"the program of {self.name!r} does not take pictures of {self.image_size} x {self.image_size} pixels "
                f"({reason}); name their size when adding it"
            ) from error
        fits = isinstance(vectors, Tensor) and vectors.ndim >= 2 and len(vectors) == len(images)
        if not fits or vectors.flatten(1).shape != (len(images), vectors.shape[1]):
            found = list(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise MucError(
                f"the program of {self.name!r} gives {found} for {len(images)} picture(s) and not one vector each; "
                "export a model whose result is a tensor [n, d]"
            )
        flat: Tensor = vectors.flatten(1).float()
        return flat

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        raise MissingTextTower(
            f"the encoder {self.name!r} has no text tower; a TorchScript archive holds one for pictures"
        )


def _load(manifest: EncoderManifest, folder: Path) -> TorchScriptEncoder:
    return TorchScriptEncoder(load_torchscript(folder / MODEL), manifest)


LOADERS.register("torchscript", Loader("torchscript", _load))
