"""Items of large sets as Arrow columns: a few bytes a picture where an object each would take hundreds.

Texts become Python strings only when they are asked for, and a column can be read from its file as late as that.
"""

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from muc_core.data.dataset import Item, ItemTable
from muc_core.errors import MucError

_AT_ONCE = 65_536


class TextColumn(Sequence[str | None]):
    """Texts, some of them missing. `values`: an Arrow array or chunked array of strings or of dictionary indices."""

    def __init__(self, values: Any) -> None:
        if not pa.types.is_dictionary(values.type):
            # 32-bit offsets would end at 2 GB of text
            values = values.cast(pa.large_string())
        self.values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values

    @staticmethod
    def of_few(values: Any) -> "TextColumn":
        """A column such as labels, in which few texts are repeated: each is held once."""
        return TextColumn(values if pa.types.is_dictionary(values.type) else values.dictionary_encode())

    @staticmethod
    def missing(length: int) -> "TextColumn":
        return TextColumn(pa.nulls(length, pa.string()).dictionary_encode())

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str | None]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str | None] | None:
        if isinstance(index, slice):
            return TextColumn(self.values.take(pa.array(np.arange(len(self), dtype=np.int64)[index])))
        text: str | None = self.values[range(len(self))[index]].as_py()
        return text

    def __iter__(self) -> Iterator[str | None]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.values.slice(start, _AT_ONCE).to_pylist()

    def take(self, positions: npt.NDArray[np.int64]) -> "TextColumn":
        return TextColumn(self.values.take(pa.array(positions)))


class FullColumn(Sequence[str]):
    """Texts of which none is missing. Raises `ValueError` when one is."""

    def __init__(self, values: Any) -> None:
        self.column = TextColumn(values)
        if self.column.values.null_count:
            raise ValueError("a text is missing")

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return tuple(self[position] for position in range(len(self))[index])
        text: str = self.column.values[range(len(self))[index]].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        return (text for text in self.column if text is not None)


class RepeatedId(MucError):
    """Two items have one id, which is the attribute `item_id`."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"the set has two items with the id {item_id!r}; ids must be unique")
        self.item_id = item_id


class Ids(Sequence[str]):
    """Ids that are unique and can be found."""

    @abstractmethod
    def find(self, item_id: str) -> int | None:
        """Position of an id, None when it is not there."""

    def take(self, positions: npt.NDArray[np.int64]) -> "Ids":
        """The ids at these positions. Raises `RepeatedId`."""
        return TextIds(pa.array((self[position] for position in positions.tolist()), pa.large_string()))


class TextIds(FullColumn, Ids):
    """Ids as they were written.

    Raises:
        RepeatedId: two are equal.
    """

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        texts = self.column.values
        # sorted order as an index: 8 bytes an id, and none at all when the ids come sorted
        self._order: npt.NDArray[np.uint64] | None = None
        if not _ascends(texts):
            self._order = pc.sort_indices(texts).to_numpy()
            ordered = texts.take(pa.array(self._order))
            if not _ascends(ordered):
                same = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
                raise RepeatedId(ordered[int(np.flatnonzero(same)[0])].as_py())

    def find(self, item_id: str) -> int | None:
        def ranked(rank: int) -> str:
            return self[rank if self._order is None else int(self._order[rank])]

        # Arrow orders UTF-8 bytes, which is the order of code points and so of Python's strings
        rank = bisect_left(range(len(self)), item_id, key=ranked)
        if rank == len(self) or ranked(rank) != item_id:
            return None
        return rank if self._order is None else int(self._order[rank])

    def take(self, positions: npt.NDArray[np.int64]) -> "TextIds":
        return TextIds(self.column.values.take(pa.array(positions)))


class RowIds(Ids):
    """Ids that are made, not held: the name of a shard and the number of the row in it, "train-0/00000017"."""

    def __init__(self, shards: Sequence[str], counts: Sequence[int]) -> None:
        self._shards = tuple(shards)
        self._starts = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
        self._numbers = {shard: number for number, shard in enumerate(self._shards)}

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return tuple(self[position] for position in range(len(self))[index])
        position = range(len(self))[index]
        shard = int(np.searchsorted(self._starts, position, side="right")) - 1
        return f"{self._shards[shard]}/{position - int(self._starts[shard]):08d}"

    def __iter__(self) -> Iterator[str]:
        for number, shard in enumerate(self._shards):
            for row in range(int(self._starts[number + 1] - self._starts[number])):
                yield f"{shard}/{row:08d}"

    def find(self, item_id: str) -> int | None:
        shard, _, row = item_id.rpartition("/")
        number = self._numbers.get(shard)
        if number is None or not (row.isascii() and row.isdecimal() and len(row) < 16):
            return None
        position = int(self._starts[number]) + int(row)
        return position if position < self._starts[number + 1] and self[position] == item_id else None


class ColumnItems(ItemTable):
    """Items over columns; captions, labels and owners are read by a function when they are first asked for.

    Args:
        ids: of all items.
        texts, labels, owners: give a column as long as the ids; None where all are missing.
    """

    def __init__(
        self,
        ids: Ids,
        *,
        texts: Callable[[], TextColumn] | None = None,
        labels: Callable[[], TextColumn] | None = None,
        owners: Callable[[], TextColumn] | None = None,
    ) -> None:
        self._ids = ids
        self._readers = (texts, labels, owners)

    @property
    def ids(self) -> Ids:
        return self._ids

    @cached_property
    def texts(self) -> TextColumn:
        return self._read(0)

    @cached_property
    def labels(self) -> TextColumn:
        return self._read(1)

    @cached_property
    def owners(self) -> TextColumn:
        return self._read(2)

    def _read(self, number: int) -> TextColumn:
        reader = self._readers[number]
        column = TextColumn.missing(len(self)) if reader is None else reader()
        assert len(column) == len(self)
        return column

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return tuple(self[position] for position in range(len(self))[index])
        return Item(self._ids[index], self.texts[index], self.labels[index], self.owners[index])

    def __iter__(self) -> Iterator[Item]:
        return map(Item, self._ids, self.texts, self.labels, self.owners)

    def find(self, item_id: str) -> int | None:
        return self._ids.find(item_id)

    def take(self, positions: Sequence[int]) -> "ColumnItems":
        chosen = np.asarray(positions, dtype=np.int64)
        return ColumnItems(
            self._ids.take(chosen),
            texts=lambda: self.texts.take(chosen),
            labels=lambda: self.labels.take(chosen),
            owners=lambda: self.owners.take(chosen),
        )


class ColumnBuilder:
    """Collects texts one by one; what is collected is held in Arrow's layout."""

    def __init__(self) -> None:
        self._texts: list[str | None] = []
        self._chunks: list[Any] = []

    def append(self, text: str | None) -> None:
        self._texts.append(text)
        if len(self._texts) == _AT_ONCE:
            self._flush()

    def finish(self) -> Any:
        """All texts as an Arrow chunked array of strings."""
        self._flush()
        return pa.chunked_array(self._chunks, pa.large_string())

    def _flush(self) -> None:
        self._chunks.append(pa.array(self._texts, pa.large_string()))
        self._texts = []


def _ascends(values: Any) -> bool:
    return len(values) < 2 or bool(pc.all(pc.less(values[:-1], values[1:])).as_py())
