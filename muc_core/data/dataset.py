"""The image-text data set: pictures, and for each a stable id, a caption, a label and an owner."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from muc_core.errors import MucError

MEMORY_LIMIT_BYTES = 512 * 2**20
"""Sets whose pixels fit below this are decoded once and kept; larger ones are decoded batch by batch."""


@dataclass(frozen=True)
class Item:
    """What is known of one picture. `id` is stable and unique within its set; the rest may be missing."""

    id: str
    text: str | None = None
    label: str | None = None
    owner: str | None = None


class ImageSource(Protocol):
    """Where the pixels come from."""

    def __len__(self) -> int: ...

    def load(self, indices: Sequence[int], size: int) -> Tensor:
        """Square pictures as uint8 `[n, 3, size, size]` in RGB. Raises `BadImage` naming a file that cannot be decoded."""


class TensorImages:
    """Pictures already decoded: uint8 `[n, 3, h, w]`."""

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"expected uint8 [n, 3, h, w], got {pixels.dtype} {tuple(pixels.shape)}")
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, indices: Sequence[int], size: int) -> Tensor:
        pixels = self.pixels[torch.as_tensor(indices, dtype=torch.long)]
        if pixels.shape[-2:] == (size, size):
            return pixels
        resized: Tensor = transforms.resize(pixels, [size, size], antialias=True)
        return resized


class _Selection:
    """Some pictures of another source."""

    def __init__(self, source: ImageSource, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def load(self, indices: Sequence[int], size: int) -> Tensor:
        return self._source.load([self._indices[i] for i in indices], size)


class ImageTextDataset:
    """Pictures with captions.

    Args:
        name: shown to the user.
        items: one per picture, ids unique.
        source: the pixels, in the same order.

    Raises:
        MucError: no item, or an id that appears twice.
    """

    def __init__(self, name: str, items: Sequence[Item], source: ImageSource) -> None:
        if not items:
            raise MucError(f"the set {name!r} is empty; it needs at least one picture")
        if len(items) != len(source):
            raise ValueError(f"{len(items)} items for {len(source)} pictures")
        self.name = name
        self.items = tuple(items)
        self.source = source
        self._positions = {item.id: position for position, item in enumerate(self.items)}
        if len(self._positions) != len(self.items):
            seen: set[str] = set()
            twice = next(item.id for item in self.items if item.id in seen or seen.add(item.id))  # type: ignore[func-returns-value]
            raise MucError(f"the set {name!r} has two items with the id {twice!r}; ids must be unique")
        self._memory: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(item.id for item in self.items)

    @property
    def texts(self) -> tuple[str | None, ...]:
        return tuple(item.text for item in self.items)

    @property
    def labels(self) -> tuple[str | None, ...]:
        return tuple(item.label for item in self.items)

    @property
    def owners(self) -> tuple[str | None, ...]:
        return tuple(item.owner for item in self.items)

    def index_of(self, item_id: str) -> int:
        """Position of an id. Raises `MucError` when the set does not have it."""
        if item_id not in self._positions:
            raise MucError(f"the set {self.name!r} has no item {item_id!r}")
        return self._positions[item_id]

    def subset(self, ids: Sequence[str], *, name: str | None = None) -> "ImageTextDataset":
        """The named items, in the order of `ids`. Raises `MucError` for an unknown or repeated id, or none at all."""
        positions = [self.index_of(item_id) for item_id in ids]
        return ImageTextDataset(
            name or self.name, [self.items[p] for p in positions], _Selection(self.source, positions)
        )

    def images(self, size: int, indices: Sequence[int] | None = None) -> Tensor:
        """Pixels as uint8 `[n, 3, size, size]`; all pictures when `indices` is None."""
        if len(self) * 3 * size * size > MEMORY_LIMIT_BYTES:
            return self.source.load(range(len(self)) if indices is None else indices, size)
        if size not in self._memory:
            self._memory[size] = self.source.load(range(len(self)), size)
        pixels = self._memory[size]
        return pixels if indices is None else pixels[torch.as_tensor(indices, dtype=torch.long)]

    def digest(self, size: int = 32) -> str:
        """SHA-256 over ids, captions and the pixels at a small size: the same content gives the same digest."""
        content = hashlib.sha256()
        for item in self.items:
            content.update(repr((item.id, item.text)).encode())
        for start in range(0, len(self), 1024):
            chunk = range(start, min(start + 1024, len(self)))
            content.update(self.images(size, chunk).numpy().tobytes())
        return content.hexdigest()
