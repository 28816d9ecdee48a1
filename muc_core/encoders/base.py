"""What the audit sees of an encoder: pictures or texts in, vectors out."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from muc_core.data.interpolation import Interpolation
from muc_core.progress import Progress
from muc_core.similarity import COSINE, Similarity


class Encoder(Protocol):
    """A black box that embeds pictures and, if it has a text tower, texts.

    Vectors are float32 on the CPU and not normalised; who compares them does so by `similarity_of` the encoder.
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


@runtime_checkable
class Compared(Protocol):
    """An encoder whose vectors are not to be compared by cosine."""

    @property
    def similarity(self) -> Similarity: ...


def similarity_of(encoder: Encoder) -> Similarity:
    """By what the encoder's vectors are to be compared: cosine, unless it says otherwise."""
    return encoder.similarity if isinstance(encoder, Compared) else COSINE


@runtime_checkable
class Classifier(Protocol):
    """An encoder that also names classes, for those who hold its weights.

    Attributes:
        classes: their names, in the order of the probabilities; none: it is not known what they are.
    """

    classes: tuple[str, ...]

    def classify(self, features: Tensor) -> Tensor:
        """Vectors of `encode_images`, `[n, dimension]`, to the probability of each class, float32 `[n, classes]`."""


@runtime_checkable
class Reports(Protocol):
    """What an encoder is besides when a single batch may take it long, such as one behind a URL."""

    def reporting_to(self, progress: Progress) -> Encoder:
        """The same encoder, which tells within a batch how many of its items are done and can be cancelled there."""
