"""What the audit sees of an encoder: pictures or texts in, vectors out."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from muc_core.data.interpolation import Interpolation


class Encoder(Protocol):
    """A black box that embeds pictures and, if it has a text tower, texts.

    Vectors are float32 on the CPU and not normalised; who compares them normalises them.
    """

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def digest(self) -> str:
        """Changes whenever the vectors may change; caches are keyed by it."""

    @property
    def image_size(self) -> int:
        """Side in pixels at which the encoder wants its pictures."""

    @property
    def interpolation(self) -> Interpolation:
        """How its pictures are brought to that side."""

    @property
    def dimension(self) -> int: ...

    @property
    def has_text(self) -> bool: ...

    def encode_images(self, images: Tensor) -> Tensor:
        """uint8 `[n, 3, h, w]` in RGB to float32 `[n, dimension]`; resizing and normalising is the encoder's task."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts to float32 `[n, dimension]`. Raises `MissingTextTower` when `has_text` is False."""
