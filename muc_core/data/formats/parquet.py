"""Parquet files with a column of pictures, among them those that Hugging Face's `datasets` writes.

Opening reads the footers, and the ids where there is a column for them. Captions and labels are read when they are
first asked for, and of the pictures only the row groups that hold the ones asked for.
"""

import hashlib
import io
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from muc_core.data.columns import ColumnItems, FullColumn, Ids, RepeatedId, RowIds, TextColumn, TextIds
from muc_core.data.dataset import LARGE, ImageSource, ImageTextDataset
from muc_core.data.formats.base import (
    DataFormat,
    column_names,
    find_column,
    find_files,
    holds_pictures,
    read_head,
    register_format,
)
from muc_core.data.interpolation import Interpolation
from muc_core.data.pictures import FilePictures, check_files, decode_pictures, read_picture
from muc_core.errors import BadImage, MucError

_MOST_KEPT = 256 * 2**20
"""Bytes of row groups that are kept, since pictures that are asked for one after the other often share one."""
_HEAD = 4096
_MOST_STATED = 2**30
_MOST_TEXT_STATED = 256 * 2**20
_MOST_TEXT = 128 * 2**20
_LONG = 1024
"""Bytes of texts in a row group, and how long they are on average where they are more."""


@dataclass(frozen=True)
class _File:
    """One parquet file: where it is, and how many rows each of its row groups has."""

    path: Path
    rows: tuple[int, ...]

    @property
    def count(self) -> int:
        return sum(self.rows)


@dataclass(frozen=True)
class _Columns:
    """Names of the columns that are used, None for those that are not there."""

    image: str
    caption: str | None
    label: str | None
    owner: str | None
    id: str | None
    in_files: bool
    """Whether the image column holds the paths of picture files, and not their bytes."""
    classes: tuple[str, ...] | None
    """Names of the labels 0, 1, ..., where the file says them."""


def open_parquet(path: Path, images: Path | None = None) -> ImageTextDataset:
    """The rows of one parquet file, or of all in a folder.

    The picture is a column of bytes, of Hugging Face's {bytes, path}, or of paths. Ids are those of a column id or key,
    else the name of the file and the number of the row, "train-00000-of-00002/00000017".

    Args:
        path: a file, or a folder with files of the same columns.
        images: where relative paths of picture files begin, the folder of the parquet file when None.

    Raises:
        MucError: damaged or cut short, no column of pictures, files with different columns, an id that is there twice.
    """
    paths = find_files(path, ".parquet") if path.is_dir() else [path]
    if not paths:
        raise MucError(f"{path} holds no .parquet; give the folder of the files")
    files, columns = _look_at(paths)
    count = sum(file.count for file in files)
    if not count:
        raise MucError(f"{path} has no rows; each picture needs one")
    names = [file.path.relative_to(path) if path.is_dir() else Path(file.path.name) for file in files]
    shards = [name.with_suffix("").as_posix() for name in names]
    ids = _ids(files, columns.id, shards)

    folder = images or (path if path.is_dir() else path.parent)
    source: ImageSource
    if columns.in_files:
        values = _texts(files, columns.image, "file")
        if values.null_count:
            raise MucError(f"{path}: the column {columns.image} has no path in some rows; each row needs a picture")
        places = FullColumn(values)
        check_files(folder, places, lambda row: f"{path}, row {row + 1}")
        source = FilePictures(folder, places, ids)
    else:
        source = _RowGroups(files, columns.image, folder, ids)

    def reader(name: str | None, what: str) -> Callable[[], TextColumn] | None:
        if name is None:
            return None
        if what == "caption":
            return lambda: TextColumn(_texts(files, name, what))
        classes = columns.classes if what == "label" else None
        return lambda: TextColumn.of_few(_texts(files, name, what, classes))

    items = ColumnItems(
        ids,
        texts=reader(columns.caption, "caption"),
        labels=reader(columns.label, "label"),
        owners=reader(columns.owner, "owner"),
    )
    if count <= LARGE:
        # faults in these columns are told at once where that costs little
        items.texts, items.labels, items.owners  # noqa: B018
    return ImageTextDataset(path.resolve().name if path.is_dir() else path.stem, items, source)


class _RowGroups:
    """Pictures in parquet files, by row group."""

    def __init__(self, files: Sequence[_File], column: str, folder: Path, names: Sequence[str]) -> None:
        self._files = tuple(files)
        self._column = column
        self._folder = folder
        self._names = names
        self._groups = [(number, group) for number, file in enumerate(files) for group in range(len(file.rows))]
        self._starts = np.concatenate([[0], np.cumsum([rows for file in files for rows in file.rows])]).astype(np.int64)
        self._kept: OrderedDict[int, Any] = OrderedDict()
        # pages of the dashboard are drawn by several threads
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        """uint8 `[n, 3, size, size]`. Raises `BadImage`, naming the item or the damaged file."""
        cells = self._cells(indices)
        named = ((self._names[index], self._bytes(cells[index], self._names[index])) for index in indices)
        return decode_pictures(named, len(indices), size, interpolation)

    def fingerprint(self, indices: Sequence[int]) -> bytes:
        """Covers which rows these are, and of the column of pictures in each row group that holds one of them: the
        number of rows, the sizes before and after compression, and the first and last 4 KB.

        A change in the middle of a row group that keeps its size goes unnoticed.
        """
        rows = np.asarray(indices, dtype="<i8")
        content = hashlib.sha256(rows.tobytes())
        for number, groups in groupby((self._groups[group] for group in self._of(rows)[1]), key=lambda group: group[0]):
            path = self._files[number].path
            with _faults(path, BadImage), path.open("rb") as stream:
                metadata = _footer(path, self._column)
                for _, row_group in groups:
                    for chunk in _chunks(metadata, row_group, self._column):
                        start, size = chunk.data_page_offset, chunk.total_compressed_size
                        if chunk.has_dictionary_page:
                            start = min(start, chunk.dictionary_page_offset)
                        sizes = [metadata.row_group(row_group).num_rows, size, chunk.total_uncompressed_size]
                        content.update(np.array(sizes, dtype="<i8").tobytes())
                        for place in (start, max(start, start + size - _HEAD)):
                            stream.seek(place)
                            content.update(stream.read(min(_HEAD, size)))
        return content.digest()

    def _of(self, rows: Any) -> tuple[Any, Any]:
        """For each row its row group, and the row groups that occur."""
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        return groups, np.unique(groups)

    def _cells(self, indices: Sequence[int]) -> dict[int, Any]:
        """What is in the column of pictures in these rows."""
        rows = np.unique(np.asarray(indices, dtype=np.int64))
        groups, occurring = self._of(rows)
        cells: dict[int, Any] = {}
        with self._lock:
            for group in occurring.tolist():
                wanted = rows[groups == group]
                found = self._read(group, wanted - self._starts[group])
                cells |= zip(wanted.tolist(), found, strict=True)
        return cells

    def _read(self, group: int, rows: Any) -> list[Any]:
        """These rows of a row group, ascending. It is kept, or read piece by piece when it is too large for that."""
        number, row_group = self._groups[group]
        path = self._files[number].path
        count = self._files[number].rows[row_group]
        if group in self._kept:
            self._kept.move_to_end(group)
            taken: list[Any] = self._kept[group].take(pa.array(rows)).to_pylist()
            return taken
        with _faults(path, BadImage), _opened(path, self._column) as file:
            _check_rows(file, row_group, count, path)
            stated = _stated_size(file, row_group, self._column, path)
            if file.metadata.row_group(row_group).total_byte_size <= _MOST_KEPT:
                cells = file.read_row_group(row_group, columns=[self._column]).column(0)
                if len(cells) != count:
                    raise _changed(path)
                self._kept[group] = cells
                while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _MOST_KEPT:
                    self._kept.popitem(last=False)
                taken = cells.take(pa.array(rows)).to_pylist()
                return taken
            pieces: list[Any] = []
            start = 0
            # one value may take all that is stated, and be repeated in every row
            at_once = min(256, max(1, _MOST_KEPT // max(1, stated)))
            for batch in file.iter_batches(batch_size=at_once, row_groups=[row_group], columns=[self._column]):
                inside = rows[(rows >= start) & (rows < start + len(batch))] - start
                pieces += batch.column(0).take(pa.array(inside)).to_pylist()
                start += len(batch)
            if len(pieces) != len(rows):
                raise _changed(path)
            return pieces

    def _bytes(self, cell: Any, name: str) -> bytes:
        path = None
        if isinstance(cell, dict):
            cell, path = cell.get("bytes"), cell.get("path")
        if cell is None and isinstance(path, str):
            return read_picture(self._folder / path, name)
        if not isinstance(cell, bytes):
            raise BadImage(f"{name} has no picture in the column {self._column}; each row needs one")
        return cell


def _look_at(paths: Sequence[Path]) -> tuple[list[_File], _Columns]:
    """Footers of all files, which must have the same columns. Raises `MucError`."""
    files: list[_File] = []
    columns: _Columns | None = None
    used: list[tuple[str, Any]] = []
    for path in paths:
        with _faults(path), pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            metadata = file.metadata
            rows = tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        if any(count < 0 for count in rows):
            raise MucError(f"{path} is damaged: its footer counts rows below zero; copy it again")
        if columns is None:
            columns = _choose(schema, path)
            chosen = (columns.image, columns.caption, columns.label, columns.owner, columns.id)
            used = [(name, schema.field(name).type) for name in chosen if name is not None]
        for name, kind in used:
            if name not in schema.names or schema.field(name).type != kind:
                raise MucError(
                    f"{path} has no column {name} of the kind {kind}, which {paths[0]} has; open it on its own"
                )
        files.append(_File(path, rows))
    assert columns is not None
    return files, columns


def _choose(schema: Any, path: Path) -> _Columns:
    if twice := next((name for name in schema.names if schema.names.count(name) > 1), None):
        raise MucError(f"{path} has two columns named {twice!r}; rename one")
    encoded = [field.name for field in schema if _holds_bytes(field.type)]
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    image, in_files = (find_column(encoded, "file", str(path)) or (encoded[0] if len(encoded) == 1 else None)), False
    if image is None and not encoded:
        image, in_files = find_column(texts, "file", str(path)), True
    if image is None:
        found = ", ".join(f"{field.name}: {field.type}" for field in schema)[:300] or "none"
        raise MucError(
            f"{path} has no column of pictures (its columns are {found}); it needs one of bytes, of {{bytes, path}}, "
            f"or of paths that is named as one of {column_names('file')}"
        )
    others = [name for name in schema.names if name != image]
    label = find_column(others, "label", str(path))
    return _Columns(
        image=image,
        caption=find_column(others, "caption", str(path)),
        label=label,
        owner=find_column(others, "owner", str(path)),
        id=find_column(others, "id", str(path)),
        in_files=in_files,
        classes=_classes(schema, label) if label is not None else None,
    )


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _classes(schema: Any, label: str) -> tuple[str, ...] | None:
    """Hugging Face's names of whole-number labels, which it writes beside the schema."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    usable = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if usable and pa.types.is_integer(schema.field(label).type) else None


def _ids(files: Sequence[_File], column: str | None, shards: Sequence[str]) -> Ids:
    if column is None:
        return RowIds(shards, [file.count for file in files])
    values = _texts(files, column, "id")
    if values.null_count:
        raise MucError(f"{files[0].path}: the column {column} is empty in some rows; each needs an id of its own")
    try:
        return TextIds(values)
    except RepeatedId as error:
        raise MucError(
            f"{files[0].path}: the column {column} has {error.item_id!r} twice; make the ids unique, or rename the "
            "column so that rows are numbered instead"
        ) from error


def _texts(files: Sequence[_File], column: str, what: str, classes: tuple[str, ...] | None = None) -> Any:
    """A whole column as an Arrow chunked array of texts, blank ones missing. Raises `MucError`."""
    chunks: list[Any] = []
    for file in files:
        with _faults(file.path), _opened(file.path, column) as opened:
            for group, count in enumerate(file.rows):
                _check_rows(opened, group, count, file.path)
                _stated_size(opened, group, column, file.path, _MOST_TEXT_STATED)
                values = opened.read_row_group(group, columns=[column]).column(0)
                if len(values) != count:
                    raise _changed(file.path)
                _check_lengths(values, column, file.path)
                # what is no text in UTF-8 would come up only when it is shown
                values.validate(full=True)
                chunks += [
                    _as_text(chunk, f"{file.path}: the {what} in the column {column}", classes)
                    for chunk in values.chunks
                ]
    return pa.chunked_array(chunks, pa.large_string())


def _as_text(values: Any, where: str, classes: tuple[str, ...] | None) -> Any:
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        # several captions of a picture: the first counts
        values = pa.array([texts[0] if texts else None for texts in values.to_pylist()], values.type.value_type)
    if classes is not None:
        numbers = values.cast(pa.int64())
        wrong = pc.any(pc.greater_equal(numbers, len(classes))).as_py()
        if wrong:
            raise MucError(f"{where} is {pc.max(numbers).as_py()}; the file names the classes 0 to {len(classes) - 1}")
        # Hugging Face writes -1 for a label that is not known
        known = pc.if_else(pc.less(numbers, 0), None, numbers)
        values = pa.array(classes, pa.large_string()).take(known)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_nested(kind) or pa.types.is_boolean(kind):
        raise MucError(f"{where} is of the kind {values.type}; texts or numbers are needed")
    texts = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.equal(texts, ""), None, texts)


class _FooterOnly(io.FileIO):
    """A file that is read until its footer is known."""

    known = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.known:
            raise _FooterIsSound
        return super().read(-1 if size is None else size)


class _FooterIsSound(Exception):
    """Arrow went on to what the footer describes."""


def _footer(path: Path, column: str) -> Any:
    """The footer, with descriptions of the column that can be looked at.

    Arrow ends the process where a damaged one is looked at; where a column is read, it looks first at those of all row
    groups, and raises. So reading is begun here, and ends with the first byte.
    """
    with _FooterOnly(path) as stream:
        file = pq.ParquetFile(stream, pre_buffer=True)
        stream.known = True
        with suppress(_FooterIsSound):
            next(file.iter_batches(batch_size=1, columns=[column]), None)
        return file.metadata


def _leaves(metadata: Any, column: str) -> list[int]:
    """Numbers of what a column consists of in the schema, several when it is a struct."""
    return [leaf for leaf in range(metadata.num_columns) if metadata.schema.column(leaf).path.split(".")[0] == column]


def _chunks(metadata: Any, group: int, column: str) -> list[Any]:
    """Descriptions of a column in a row group."""
    return [metadata.row_group(group).column(leaf) for leaf in _leaves(metadata, column)]


def _opened(path: Path, column: str) -> Any:
    """A file in which a value of the column that is repeated takes memory once, as it does in the file."""
    metadata = _footer(path, column)
    leaves = [metadata.schema.column(leaf) for leaf in _leaves(metadata, column)]
    once = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and ".list." not in leaf.path]
    return pq.ParquetFile(path, metadata=metadata, read_dictionary=once)


def _stated_size(file: Any, group: int, column: str, path: Path, most: int = _MOST_STATED) -> int:
    """Bytes of a column in a row group when it is unpacked, as the footer states them.

    Raises:
        MucError: they are too many, or packed so that any number of bytes can come out.
    """
    chunks = _chunks(file.metadata, group, column)
    if any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks):
        raise MucError(
            f"{path}: the column {column} is packed by common beginnings; write it plain or with a dictionary"
        )
    size: int = sum(chunk.total_uncompressed_size for chunk in chunks)
    if size > most:
        raise MucError(f"{path}: the column {column} has {size / 2**20:,.0f} MB in one row group; write smaller ones")
    return size


def _check_lengths(values: Any, column: str, path: Path) -> None:
    """Texts that are in the file once and in the column many times must not take much memory. Raises `MucError`."""
    if not pa.types.is_dictionary(values.type):
        return
    total = sum(
        pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0 for chunk in values.chunks
    )
    if total > _MOST_TEXT and total > _LONG * len(values):
        raise MucError(
            f"{path}: the texts in the column {column} have {total / 2**20:,.0f} MB, {total // len(values):,} bytes "
            "each; captions and labels are shorter"
        )


def _check_rows(file: Any, group: int, count: int, path: Path) -> None:
    if group >= file.metadata.num_row_groups or file.metadata.row_group(group).num_rows != count:
        raise _changed(path)


def _changed(path: Path) -> BadImage:
    return BadImage(f"{path} is damaged, or changed since it was opened; bring the file back and open it again")


@contextmanager
def _faults(path: Path, kind: type[MucError] = MucError) -> Iterator[None]:
    """What Arrow raises, as a sentence."""
    try:
        yield
    except MucError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise kind(f"{path} cannot be read: {os.strerror(error.errno)}") from error
        reason = " ".join(str(error).split())[:150]
        raise kind(f"{path} is cut short, damaged or no parquet file ({reason}); copy it again") from error


def _recognise(path: Path) -> bool:
    if path.is_dir():
        return bool(find_files(path, ".parquet")) and not holds_pictures(path)
    return path.is_file() and (path.suffix.lower() == ".parquet" or read_head(path, 4) == b"PAR1")


register_format(
    DataFormat(
        name="parquet",
        title="parquet with a column of pictures",
        recognise=_recognise,
        open=open_parquet,
        takes_images=True,
    )
)
