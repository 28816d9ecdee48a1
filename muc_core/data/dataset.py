"""The image-text data set: pictures, and for each a stable id, a caption, a label and an owner."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from muc_core.data.interpolation import Interpolation
from muc_core.errors import MucError

MEMORY_LIMIT_BYTES = 512 * 2**20
"""Sets whose pixels at the size asked for fit below this are decoded once and kept; of larger ones nothing is kept."""

LARGE = 20_000
"""Sets of more pictures than this are large: opening them looks at no picture, and their digest decodes none."""


@dataclass(frozen=True)
class Item:
    """What is known of one picture. `id` is stable and unique within its set; the rest may be missing."""

    id: str
    text: str | None = None
    label: str | None = None
    owner: str | None = None


class ItemTable(Sequence[Item]):
    """The items of a large set, held as columns; an `Item` is made when it is asked for. Ids are unique."""

    @property
    @abstractmethod
    def ids(self) -> Sequence[str]: ...

    @property
    @abstractmethod
    def texts(self) -> Sequence[str | None]: ...

    @property
    @abstractmethod
    def labels(self) -> Sequence[str | None]: ...

    @property
    @abstractmethod
    def owners(self) -> Sequence[str | None]: ...

    @abstractmethod
    def find(self, item_id: str) -> int | None:
        """Position of an id, None when there is no such item."""

    @abstractmethod
    def take(self, positions: Sequence[int]) -> "ItemTable":
        """The items at these positions. Raises `MucError` when one is there twice."""


class ImageSource(Protocol):
    """Where the pixels come from."""

    def __len__(self) -> int: ...

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        """Square pictures as uint8 `[n, 3, size, size]` in RGB. Raises `BadImage`, naming the bad file."""


@runtime_checkable
class Fingerprinted(Protocol):
    """A source that can tell whether its pictures are the same ones without decoding them."""

    def fingerprint(self, indices: Sequence[int]) -> bytes:
        """Changes when the encoded pictures do, as far as its documentation says. Raises `BadImage`."""


class TensorImages:
    """Pictures already decoded: uint8 `[n, 3, h, w]`, not copied. Other sizes are a centre crop, resized."""

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"expected uint8 [n, 3, h, w], got {pixels.dtype} {tuple(pixels.shape)}")
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        whole = isinstance(indices, range) and indices == range(len(self))
        pixels = self.pixels if whole else self.pixels[torch.as_tensor(indices, dtype=torch.long)]
        height, width = pixels.shape[-2:]
        if height == width == size:
            return pixels
        if height != width:
            pixels = transforms.center_crop(pixels, [min(height, width)])
        resized: Tensor = transforms.resize(pixels, [size, size], InterpolationMode(interpolation), antialias=True)
        return resized


class Selection:
    """Some pictures of another set, read through that set so that both share what it remembers."""

    def __init__(self, parent: "ImageTextDataset", positions: Sequence[int]) -> None:
        self.parent = parent
        self._positions = np.asarray(positions, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._positions)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        return self.parent.images(size, self.positions(indices), interpolation)

    def positions(self, indices: Sequence[int]) -> list[int]:
        """Where pictures of the selection are in the parent."""
        found: list[int] = self._positions[np.asarray(indices, dtype=np.int64)].tolist()
        return found


class _Memory:
    """Pixels of one size; each picture is decoded when it is first asked for and kept."""

    def __init__(self, source: ImageSource, size: int, interpolation: Interpolation) -> None:
        self._source = source
        self._size = size
        self._interpolation = interpolation
        self._pixels = torch.empty((len(source), 3, size, size), dtype=torch.uint8)
        self._known = torch.zeros(len(source), dtype=torch.bool)

    def read(self, indices: Sequence[int] | None) -> Tensor:
        wanted = torch.arange(len(self._known)) if indices is None else torch.as_tensor(indices, dtype=torch.long)
        missing = sorted(set(wanted[~self._known[wanted]].tolist()))
        if missing:
            self._pixels[missing] = self._source.load(missing, self._size, self._interpolation)
            self._known[missing] = True
        return self._pixels if indices is None else self._pixels[wanted]


class ImageTextDataset:
    """Pictures with captions.

    Args:
        name: shown to the user.
        items: one per picture, ids unique; an `ItemTable` is kept as it is.
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
        self.source = source
        self.items: Sequence[Item] = items if isinstance(items, ItemTable) else tuple(items)
        self._positions: dict[str, int] = {}
        if not isinstance(items, ItemTable):
            self._positions = {item.id: position for position, item in enumerate(items)}
            if len(self._positions) != len(items):
                # a repeated id has kept its last position only
                twice = next(item.id for position, item in enumerate(items) if self._positions[item.id] != position)
                raise MucError(f"the set {name!r} has two items with the id {twice!r}; ids must be unique")
        self._memory: dict[tuple[int, Interpolation], _Memory] = {}
        self._digests: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """All ids. Of a large set they are made when first asked for; `item_ids` is the way to look through them."""
        return tuple(self.item_ids)

    @cached_property
    def texts(self) -> tuple[str | None, ...]:
        """All captions, made as `ids` are."""
        return tuple(self.items.texts if isinstance(self.items, ItemTable) else (item.text for item in self.items))

    @cached_property
    def item_ids(self) -> Sequence[str]:
        """The ids as they are held: a column when the items are."""
        return self.items.ids if isinstance(self.items, ItemTable) else tuple(item.id for item in self.items)

    @cached_property
    def labels(self) -> Sequence[str | None]:
        return self.items.labels if isinstance(self.items, ItemTable) else tuple(item.label for item in self.items)

    @cached_property
    def owners(self) -> Sequence[str | None]:
        return self.items.owners if isinstance(self.items, ItemTable) else tuple(item.owner for item in self.items)

    def find(self, item_id: str) -> int | None:
        """Position of an id, None when the set does not have it."""
        return self.items.find(item_id) if isinstance(self.items, ItemTable) else self._positions.get(item_id)

    def index_of(self, item_id: str) -> int:
        """Position of an id. Raises `MucError` when the set does not have it."""
        position = self.find(item_id)
        if position is None:
            raise MucError(f"the set {self.name!r} has no item {item_id!r}")
        return position

    def subset(self, ids: Sequence[str], *, name: str | None = None) -> "ImageTextDataset":
        """The named items, in the order of `ids`. Raises `MucError` for an unknown or repeated id, or none at all."""
        positions = [self.index_of(item_id) for item_id in ids]
        if isinstance(self.items, ItemTable):
            items: Sequence[Item] = self.items.take(positions)
        else:
            items = [self.items[position] for position in positions]
        return ImageTextDataset(name or self.name, items, Selection(self, positions))

    def images(
        self, size: int, indices: Sequence[int] | None = None, interpolation: Interpolation = "bicubic"
    ) -> Tensor:
        """Pixels as uint8 `[n, 3, size, size]` in RGB; all pictures when `indices` is None.

        Pictures of another size are brought to this one by `interpolation`, with antialiasing unless it is "nearest".

        The result may be the set's own memory: copy it before writing into it.

        Raises:
            BadImage: a file that cannot be decoded, named.
        """
        if not self._remembers(size):
            return self.source.load(range(len(self)) if indices is None else indices, size, interpolation)
        if (size, interpolation) not in self._memory:
            self._memory[size, interpolation] = _Memory(self.source, size, interpolation)
        return self._memory[size, interpolation].read(indices)

    def digest(self, size: int = 32) -> str:
        """SHA-256 over ids, captions and the pixels at a small size: the same content gives the same digest.

        Of large sets from files (more than `LARGE` pictures) no picture is decoded: instead of the pixels it covers
        what their source's `fingerprint` does, and `size` does not matter.

        Raises:
            BadImage: a picture that is gone, or cannot be decoded when it must be.
        """
        if size not in self._digests:
            content = hashlib.sha256()
            texts = self.items.texts if isinstance(self.items, ItemTable) else self.texts
            for item_id, text in zip(self.item_ids, texts, strict=True):
                content.update(json.dumps([item_id, text]).encode())
            fingerprint = _fingerprint(self.source, range(len(self))) if len(self) > LARGE else None
            if fingerprint is not None:
                content.update(b"fingerprint" + fingerprint)
            else:
                for start in range(0, len(self), 1024):
                    chunk = range(start, min(start + 1024, len(self)))
                    content.update(self.images(size, chunk).numpy().tobytes())
            self._digests[size] = content.hexdigest()
        return self._digests[size]

    def _remembers(self, size: int) -> bool:
        """Whether this set keeps pixels of that size itself: they must fit, and not be at hand in its source anyway."""
        return len(self) * 3 * size * size <= MEMORY_LIMIT_BYTES and not self._at_hand(size)

    def _at_hand(self, size: int) -> bool:
        if isinstance(self.source, TensorImages):
            return self.source.pixels.shape[-2:] == (size, size)
        if isinstance(self.source, Selection):
            parent = self.source.parent
            return parent._remembers(size) or parent._at_hand(size)
        return False


def _fingerprint(source: ImageSource, indices: Sequence[int]) -> bytes | None:
    if isinstance(source, Selection):
        return _fingerprint(source.parent.source, source.positions(indices))
    return source.fingerprint(indices) if isinstance(source, Fingerprinted) else None
