"""Copies within one set: the same picture several times is one picture, however often it is counted."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from muc_core.data.dataset import ImageTextDataset
from muc_core.stats.appearance import thumbnails

SIZE = 64
SIDE = 16
SAME = 2.0
"""Root mean square difference of 16 x 16 thumbnails, in levels of 255, below which two pictures are one: saved again or
in another size stays below; two drawings of a person, one of a man and one of a woman, do not."""

_CHUNK = 512


def copies_among(dataset: ImageTextDataset) -> dict[str, str]:
    """Ids of pictures that are copies of an earlier one, each with the id of that one."""
    small = _small(dataset)
    squares = (small**2).sum(axis=1)
    limit = SAME**2 * small.shape[1]
    found: dict[str, str] = {}
    for start in range(0, len(small), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(small)))
        earlier = np.arange(rows[-1] + 1)
        distance = squares[rows, None] + squares[earlier] - 2 * small[rows] @ small[earlier].T
        near = (distance < limit) & (earlier < rows[:, None])
        for row, first in zip(rows[near.any(axis=1)], near.argmax(axis=1)[near.any(axis=1)], strict=True):
            found[dataset.item_ids[row]] = dataset.item_ids[first]
    return found


def without(dataset: ImageTextDataset, ids: Iterable[str]) -> ImageTextDataset:
    """The set without some of its items. Raises `MucError` when nothing is left."""
    left_out = set(ids)
    if not left_out:
        return dataset
    return dataset.subset([item_id for item_id in dataset.item_ids if item_id not in left_out])


def _small(dataset: ImageTextDataset) -> npt.NDArray[np.float64]:
    parts = [
        255 * thumbnails(dataset.images(SIZE, range(start, min(start + _CHUNK, len(dataset)))).numpy(), SIDE)
        for start in range(0, len(dataset), _CHUNK)
    ]
    return np.concatenate(parts)
