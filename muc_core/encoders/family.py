"""What a family of contrastive encoders must offer to be trained, unlearned and audited; one file registers one."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from muc_core.data.augment import AugmentSettings
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import full
from muc_core.encoders.chunks import Encode, in_chunks
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.parallel import Share
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MucError
from muc_core.losses.contrast import Contrast
from muc_core.registry import Registry

Model: TypeAlias = Any
"""An `nn.Module`; each family knows its own class."""


@dataclass(frozen=True)
class Batch:
    """One step's samples: n of them, of which this process has m. One process alone has them all.

    Attributes:
        images: uint8 `[m, 3, size, size]`, the pictures before augmentation.
        tokens: int64 `[m, length]` captions, or None for families without text.
        forget: int64 `[u]`, positions of the forget samples among all n, in rising order; empty when there are none.
        partner: int64 `[u]`, position of the partner p(i) of each forget sample; empty unless the method calibrates.
        draw: one random view of pictures, uint8 `[m, 3, size, size]` to float32 in [0, 1]; it is told which of a joint
            batch they are.
        share: which of the n samples are here; None: all of them.
        labels: int64 `[n]` class numbers of all n samples, or None for families that learn without classes.
        chunk_size: most samples that pass through the model at once; None: all that are here.
        low_precision: the model computes in bfloat16 where that is safe, and what becomes of its vectors does not:
            cosines near 1 divided by a temperature would have errors as large as what is learned from them.
    """

    images: Tensor
    tokens: Tensor | None
    forget: Tensor
    partner: Tensor
    draw: Callable[[Tensor, Share | None], Tensor]
    share: Share | None = None
    labels: Tensor | None = None
    chunk_size: int | None = None
    low_precision: bool = False

    @property
    def n(self) -> int:
        """Samples of the step, those of other processes included."""
        return len(self.images) if self.share is None else self.share.n

    def view(self) -> Tensor:
        """A new random view of the pictures that are here, float32 `[m, 3, size, size]` in [0, 1]."""
        return self.draw(self.images, self.share)

    def through(self, model: Model, rows: Tensor, encode: Encode | None = None) -> Tensor:
        """Rows `[m, ...]` to vectors `[m, d]`, by the model or a method of it; float32 or finer.

        Raises:
            MucError: as `in_chunks`.
        """
        encode = encode or model
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.low_precision):
            vectors = encode(rows) if self.chunk_size is None else in_chunks(model, encode, rows, self.chunk_size)
        return vectors.to(torch.promote_types(vectors.dtype, torch.float32))

    def joined(self, part: Tensor) -> Tensor:
        """Rows `[m, ...]` of the samples that are here to those of all `[n, ...]`, with gradients."""
        return part if self.share is None else self.share.joined(part)

    @property
    def retain(self) -> Tensor:
        """int64 `[n - u]`, positions of the retain samples."""
        is_retain = torch.ones(self.n, dtype=torch.bool, device=self.images.device)
        is_retain[self.forget] = False
        return is_retain.nonzero().squeeze(1)

    def twice(self) -> tuple["Batch", "Batch"]:
        """The same samples for two models, one after the other: the second is given the views that the first drew."""
        drawn: deque[Tensor] = deque()

        def draw(images: Tensor, share: Share | None) -> Tensor:
            drawn.append(self.draw(images, share))
            return drawn[-1]

        return replace(self, draw=draw), replace(self, draw=lambda _images, _share: drawn.popleft())

    def only(self, positions: Tensor) -> "Batch":
        """The samples at these positions, int64 `[m]`, as a batch without forget samples."""
        share, here = (None, positions) if self.share is None else self.share.only(positions)
        return replace(
            self,
            images=self.images[here],
            tokens=None if self.tokens is None else self.tokens[here],
            forget=self.forget[:0],
            partner=self.partner[:0],
            share=share,
            labels=None if self.labels is None else self.labels[positions],
        )


class Family(Protocol):
    """Model building, the loss, and the encoder around trained weights.

    `loss`, `contrasts` and `sides` are those of the whole step, on every process: a family passes the samples that are
    here through the model (`Batch.through`) and joins the vectors (`Batch.joined`).

    Attributes:
        has_text: learns from captions.
        has_classes: learns from class labels; its architectures end in `@CLASSES`.
    """

    name: str
    has_text: bool
    has_classes: bool
    default_architecture: str
    default_augment: AugmentSettings

    def architectures(self) -> tuple[str, ...]:
        """Names that `build` accepts."""

    def build(self, architecture: str, seed: int) -> Model:
        """A freshly initialised model; the same seed gives the same weights. Raises `UnknownName`."""

    def image_size(self, model: Model) -> int: ...

    def set_temperature(self, model: Model, temperature: float) -> None:
        """Set tau in place. Raises `MucError` for a family that learns it."""

    def set_preprocessing(self, model: Model, preprocessing: Preprocessing) -> None:
        """Prepare pictures in another way than the architecture's. Raises `MucError` when the model cannot take it."""

    def tokenize(self, architecture: str, texts: Sequence[str]) -> Tensor | None:
        """Captions to int64 `[n, length]`; None for families without text."""

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """The contrastive loss of a batch, its mean over anchors, or a classifier's cross-entropy: plain training."""

    def contrasts(self, model: Model, batch: Batch) -> Sequence[Contrast]:
        """The similarities behind `loss`, one entry a direction; `loss` is the mean of their `anchor_loss`.

        Two-view families draw a third view of the forget samples, for positive calibration, when these have partners. A
        classifier's candidates are its classes, and the positive is the own class.
        """

    def sides(self, model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the black box of the model as it is would say of both sides of each sample, `[n, d]` each.

        Sides are two new views, or a view and the caption.
        """

    def alignment(self, model: Model, left: Tensor, right: Tensor) -> Tensor:
        """The alignment matrix of an audit from `sides`, `[n, n]`: similarities of each left with each right side."""

    def after_step(self, model: Model) -> None:
        """What must happen after each optimiser step: clamps, momentum updates."""

    def finished(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of a trained model's state is kept with the encoder; `build` and `load_state_dict` take it back."""

    def encoder(self, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> Encoder:
        """The black box around trained weights. Raises `MucError` when they do not fit the architecture."""


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> None:
    """Load stored weights into the model of their architecture. Raises `MucError` when they do not fit."""
    try:
        model.load_state_dict(full(weights))
    except RuntimeError as error:
        raise MucError(
            f"the weights of {manifest.name!r} do not fit the architecture {manifest.architecture!r}: {error}"
        ) from error


FAMILIES: Registry[Family] = Registry("encoder family")
