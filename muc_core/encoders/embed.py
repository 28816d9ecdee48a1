"""Embedding whole sets: batch by batch, with progress, and with several views of each picture."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from muc_core.data.augment import Augmentation, AugmentSettings
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.base import Encoder, Reports
from muc_core.encoders.decoys import Decoys, OfOthers, ask_hidden
from muc_core.encoders.device import compute_device
from muc_core.encoders.remote.faults import RejectedPictures
from muc_core.errors import MissingTextTower, MucError
from muc_core.progress import SILENT, Progress

KEPT_BYTES = 2**26
"""Decoded pictures of a set are kept from one view to the next when all of them take no more, and its views likewise
from one encoder to the next."""

KeptViews = MutableMapping[tuple[int, Interpolation], list[Tensor]]
"""All views of one set as they were drawn, by the size of the pictures and how they were brought to it."""

AUDIT_VIEWS = AugmentSettings(crop_scale=0.5, flip=0.5)
"""Views of a two-view audit: mild crops and mirror images, which every family was trained to ignore."""


def embed_images(
    encoder: Encoder,
    dataset: ImageTextDataset,
    *,
    rows: range | None = None,
    batch_size: int = 256,
    progress: Progress = SILENT,
) -> Tensor:
    """Vectors of all pictures or of those at `rows`, float32 `[n, d]`.

    Raises `MucError` when one is not finite, naming the picture.
    """
    return _embed(
        encoder,
        dataset.ids,
        lambda asked, rows: asked.encode_images(dataset.images(asked.image_size, rows, asked.interpolation)),
        batch_size,
        progress,
        f"pictures through {encoder.name}",
        rows,
    )


def embed_texts(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    rows: range | None = None,
    batch_size: int = 256,
    progress: Progress = SILENT,
) -> Tensor:
    """Vectors of texts or of those at `rows`, float32 `[n, d]`.

    Raises `MissingTextTower`; `MucError` when one is not finite.
    """
    if not encoder.has_text:
        raise MissingTextTower(f"the encoder {encoder.name!r} has no text tower; give it pictures only (two-view mode)")
    return _embed(
        encoder,
        texts,
        lambda asked, rows: asked.encode_texts([texts[row] for row in rows]),
        batch_size,
        progress,
        f"captions through {encoder.name}",
        rows,
    )


def embed_views(
    encoder: Encoder,
    dataset: ImageTextDataset,
    *,
    views: int = 8,
    seed: int = 0,
    augment: AugmentSettings = AUDIT_VIEWS,
    batch_size: int = 256,
    decoys: Decoys | None = None,
    kept: KeptViews | None = None,
    progress: Progress = SILENT,
) -> Tensor:
    """Vectors of several random views of each picture, float32 `[views, n, d]`.

    A picture's views depend on the seed, its position and the encoder's picture size: two encoders of one size see the
    same views. With decoys an encoder of others gets views of them, too, which change nothing of the result.

    Args:
        kept: where views are left, unless they take much room, for the next encoder that is shown the same set with the
            same settings; it saves drawing them again.
    """
    if views < 2:
        raise MucError(f"views is {views}; a two-view audit needs at least 2 views of each picture")
    augmentation = Augmentation(augment, encoder.image_size)
    generator = torch.Generator().manual_seed(seed)

    hidden = decoys if isinstance(encoder, OfOthers) else None
    count = len(dataset) + (0 if hidden is None else len(hidden.pictures))
    # generators of their own, so that what is asked besides does not change the owner's views
    of_decoys, order = (torch.Generator().manual_seed(0 if hidden is None else hidden.seed + i) for i in (1, 2))

    @lru_cache(maxsize=None if count * 3 * encoder.image_size**2 <= KEPT_BYTES else 0)
    def pictures(of: ImageTextDataset, rows: range) -> Tensor:
        return of.images(encoder.image_size, rows, encoder.interpolation)

    def seen(of: ImageTextDataset, rows: range, generator: torch.Generator) -> Tensor:
        views = augmentation(pictures(of, rows).to(compute_device()), generator)
        return (views * 255).round().to(torch.uint8).cpu()

    if views * len(dataset) * 3 * encoder.image_size**2 > KEPT_BYTES:
        kept = None
    kind = (encoder.image_size, encoder.interpolation)
    known = None if kept is None else kept.get(kind)
    drawn: list[Tensor] = []

    def own_views(rows: range) -> Tensor:
        pixels = seen(dataset, rows, generator) if known is None else known[len(drawn)]
        if kept is not None:
            drawn.append(pixels)
        return pixels

    def encode(asked: Encoder, rows: range) -> Tensor:
        own = own_views(rows)
        if hidden is None:
            return asked.encode_images(own)
        assert isinstance(asked, OfOthers)
        others = seen(hidden.pictures, hidden.of(rows), of_decoys)
        return ask_hidden(asked.together().encode_images, own, others, order)

    rounds = [
        _embed(
            encoder, dataset.ids, encode, batch_size, progress, f"view {number + 1} of {views} through {encoder.name}"
        )
        for number in range(views)
    ]
    if kept is not None:
        kept[kind] = drawn
    return torch.stack(rounds)


@dataclass(frozen=True)
class _Batch:
    """Progress within a batch as that of the whole set."""

    whole: Progress
    end: int
    total: int
    message: str

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.whole.report(self.end - total + step, self.total, f"{self.message}: {message}")


def _embed(
    encoder: Encoder,
    names: Sequence[str],
    encode: Callable[[Encoder, range], Tensor],
    batch_size: int,
    progress: Progress,
    message: str,
    wanted: range | None = None,
) -> Tensor:
    wanted = range(len(names)) if wanted is None else wanted
    parts: list[Tensor] = []
    for start in range(wanted.start, wanted.stop, batch_size):
        rows = range(start, min(start + batch_size, wanted.stop))
        asked = encoder
        if isinstance(encoder, Reports):
            asked = encoder.reporting_to(_Batch(progress, rows.stop, len(names), message))
        try:
            vectors = encode(asked, rows)
        except RejectedPictures as error:
            refused = {names[rows[position]]: reason for position, reason in error.reasons.items()}
            raise MucError(
                f"{error.endpoint} refused {len(refused)} of {len(rows)} pictures: "
                + "; ".join(f"{name!r}: {reason}" for name, reason in list(refused.items())[:5])
                + "; leave them out or save them in another format (all others are remembered)"
            ) from error
        finite = torch.isfinite(vectors).all(dim=1)
        if not finite.all():
            name = names[rows[int((~finite).nonzero()[0])]]
            raise MucError(f"the encoder gave numbers that are not finite for {name!r}; its weights may be damaged")
        parts.append(vectors)
        progress.report(rows[-1] + 1, len(names), message)
    return torch.cat(parts)
