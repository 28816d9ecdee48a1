"""Asking encoders for items of a set, among decoys where the encoder is somebody else's."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder
from muc_core.encoders.decoys import OfOthers
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.progress import SILENT, Progress


@dataclass(frozen=True, eq=False)
class Asking:
    """Asks for items of a set whose last ones are decoys, in shuffled order; an encoder of one's own gets none of them.

    Attributes:
        items: how many are no decoys, the first ones.
        decoys: how many follow.
        generator: of the order; nothing else may draw from it, or decoys would change a result.
    """

    items: int
    decoys: int
    generator: torch.Generator

    def images(
        self, encoder: Encoder, dataset: ImageTextDataset, rows: Sequence[int], progress: Progress = SILENT
    ) -> Tensor:
        """Vectors `[len(rows), d]` of the pictures at some rows, or as `embed_images` raises."""
        asked, order = self._asked(encoder, rows)
        mixed = dataset.subset([dataset.item_ids[asked[place]] for place in order.tolist()])
        return embed_images(self._whole(encoder), mixed, progress=progress)[order.argsort()[: len(rows)]]

    def texts(self, encoder: Encoder, texts: Sequence[str], rows: Sequence[int], progress: Progress = SILENT) -> Tensor:
        """The same of texts, one of each item."""
        asked, order = self._asked(encoder, rows)
        mixed = [texts[asked[place]] for place in order.tolist()]
        return embed_texts(self._whole(encoder), mixed, progress=progress)[order.argsort()[: len(rows)]]

    def _asked(self, encoder: Encoder, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """The rows to ask for, and in which order."""
        if not self.decoys or not isinstance(encoder, OfOthers):
            return list(rows), torch.arange(len(rows))
        asked = [*rows, *range(self.items, self.items + self.decoys)]
        return asked, torch.randperm(len(asked), generator=self.generator)

    def _whole(self, encoder: Encoder) -> Encoder:
        return encoder.together() if self.decoys and isinstance(encoder, OfOthers) else encoder
