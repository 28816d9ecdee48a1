"""WebDataset: tar archives whose files are grouped by name, <https://github.com/webdataset/webdataset>.

"0001.jpg", "0001.txt" and "0001.cls" are one item: picture, caption and class. The archives are indexed by their
headers; a picture is read from its place when it is asked for.
"""

import itertools
import json
import logging
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from muc_core.data.columns import ColumnBuilder, ColumnItems, RepeatedId, TextColumn, TextIds
from muc_core.data.dataset import LARGE, ImageTextDataset
from muc_core.data.decode import MAX_FILE_BYTES
from muc_core.data.formats.base import DataFormat, holds_pictures, list_files, read_head, register_format, text_in
from muc_core.data.interpolation import Interpolation
from muc_core.data.pictures import decode_pictures, sampled_fingerprint
from muc_core.data.tar_index import looks_like_tar, read_members
from muc_core.errors import BadImage, MucError

_log = logging.getLogger(__name__)

_PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
_OTHERS = ("json", "txt", "cls")
"""What these say; of two that say the same thing the later one counts."""
_MOST_SHARDS = 100_000
_MOST_TEXT = 2**20
_BRACES = re.compile(r"\{([^{}]*)\}")


def open_webdataset(path: Path) -> ImageTextDataset:
    """The items of one or many shards; ids are "SHARD/KEY" with the shard's name without .tar.

    Of an item, .jpg, .jpeg, .png, .webp (or another picture) is the picture, .txt the caption, .cls the label; a .json
    object may hold caption, label and owner and gives way to the former. Captions of more than `LARGE` items are read
    when they are first asked for.

    Args:
        path: a .tar, a folder of them, or a pattern such as "shards-{000..009}.tar".

    Raises:
        MucError: a shard is missing, damaged or no tar, an id is there twice, no picture, a caption that is no UTF-8.
    """
    shards = _shards(path)
    index = _Index(shards, _shard_names(shards))
    if not len(index.ids):
        raise MucError(f"{path} holds no picture; a WebDataset has files such as 0001.jpg and 0001.txt")
    if index.incomplete:
        _log.warning("%s: %d items without a picture were left out", path, index.incomplete)
    items = ColumnItems(
        index.ids,
        texts=lambda: index.metadata[0],
        labels=lambda: index.metadata[1],
        owners=lambda: index.metadata[2],
    )
    if len(items) <= LARGE:
        index.metadata  # noqa: B018  (faults in captions are told at once where that costs little)
    return ImageTextDataset(_set_name(path), items, index)


class _Index:
    """Where the pictures and captions of all shards lie; the pictures' source."""

    def __init__(self, shards: Sequence[Path], names: Sequence[str]) -> None:
        self.incomplete = 0
        self._shards = tuple(shards)
        self._shard = array("q")
        # offset and size, size -1 where there is none
        self._picture = (array("q"), array("q"))
        self._others = {suffix: (array("q"), array("q")) for suffix in _OTHERS}
        keys = ColumnBuilder()
        for number, (shard, name) in enumerate(zip(shards, names, strict=True)):
            for key, files in _grouped(shard):
                picture = next((files[suffix] for suffix in _PICTURES if suffix in files), None)
                if picture is None:
                    self.incomplete += 1
                    continue
                keys.append(f"{name}/{key}")
                self._shard.append(number)
                _append(self._picture, picture)
                for suffix, places in self._others.items():
                    _append(places, files.get(suffix, (0, -1)))
        try:
            self.ids = TextIds(keys.finish())
        except RepeatedId as error:
            raise MucError(f"two items have the id {error.item_id!r}; each key must be in a shard once") from error

    def __len__(self) -> int:
        return len(self._shard)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        """uint8 `[n, 3, size, size]`. Raises `BadImage`, naming the item."""
        return decode_pictures(self._read_pictures(indices), len(indices), size, interpolation)

    def fingerprint(self, indices: Sequence[int]) -> bytes:
        """Covers what `sampled_fingerprint` does."""
        sizes = np.frombuffer(self._picture[1], dtype=np.int64)[np.asarray(indices, dtype=np.int64)]
        return sampled_fingerprint(sizes, lambda row: next(self._read_pictures([indices[row]]))[1])

    @cached_property
    def metadata(self) -> tuple[TextColumn, TextColumn, TextColumn]:
        """Captions, labels and owners. Raises `MucError`."""
        builders = [ColumnBuilder() for _ in range(3)]
        with _Opened(self._shards) as opened:
            for position, item_id in enumerate(self.ids):
                texts: dict[str, str] = {}
                for suffix, (offsets, sizes) in self._others.items():
                    where = f"{item_id}.{suffix}"
                    if sizes[position] > _MOST_TEXT:
                        raise MucError(f"{where} is too large for a text; up to {_MOST_TEXT / 2**20:g} MB are accepted")
                    if sizes[position] >= 0:
                        raw = opened.read(self._shard[position], offsets[position], sizes[position], where)
                        texts |= _parse(suffix, raw, where)
                for builder, what in zip(builders, ("caption", "label", "owner"), strict=True):
                    builder.append(texts.get(what))
        captions, labels, owners = (builder.finish() for builder in builders)
        return TextColumn(captions), TextColumn.of_few(labels), TextColumn.of_few(owners)

    def _read_pictures(self, indices: Sequence[int]) -> Iterator[tuple[str, bytes]]:
        offsets, sizes = self._picture
        with _Opened(self._shards) as opened:
            for index in indices:
                name = self.ids[index]
                if sizes[index] > MAX_FILE_BYTES:
                    raise BadImage(f"{name} is too large; files up to {MAX_FILE_BYTES / 2**20:g} MB are accepted")
                yield name, opened.read(self._shard[index], offsets[index], sizes[index], name)


class _Opened:
    """One shard at a time, open."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self._shards = shards
        self._number = -1
        self._stream: BinaryIO | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, shard: int, offset: int, size: int, name: str) -> bytes:
        """Raises `BadImage` when the bytes are not there any more."""
        path = self._shards[shard]
        try:
            if self._stream is None or shard != self._number:
                self._stack.close()
                self._stream = self._stack.enter_context(path.open("rb"))
                self._number = shard
            self._stream.seek(offset)
            content = self._stream.read(size)
        except OSError as error:
            raise BadImage(f"{name} cannot be read from {path}: {error.strerror or error}") from error
        if len(content) < size:
            raise BadImage(f"{name} cannot be read: {path} became shorter; copy it again")
        return content


def _append(places: tuple["array[int]", "array[int]"], place: tuple[int, int]) -> None:
    for values, value in zip(places, place, strict=True):
        values.append(value)


def _grouped(shard: Path) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """(key, suffix -> (offset, size)) for each run of files with one key."""
    key: str | None = None
    files: dict[str, tuple[int, int]] = {}
    for name, offset, size in read_members(shard):
        folder, slash, base = name.removeprefix("./").rpartition("/")
        stem, dot, suffix = base.partition(".")
        if not dot or not stem or stem.startswith("__"):
            continue  # hidden files and remarks on the archive itself, as WebDataset's own reader passes them over
        if f"{folder}{slash}{stem}" != key:
            if key is not None:
                yield key, files
            key, files = f"{folder}{slash}{stem}", {}
        suffix = suffix.lower()
        if suffix in files:
            raise MucError(f"{shard} holds {name} twice; each file must be in it once")
        files[suffix] = (offset, size)
    if key is not None:
        yield key, files


def _parse(suffix: str, raw: bytes, where: str) -> dict[str, str]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MucError(f"{where} is not UTF-8 text; save it with the encoding UTF-8") from error
    if suffix != "json":
        return {"caption" if suffix == "txt" else "label": text.strip()} if text.strip() else {}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MucError(f"{where} is no JSON ({error})") from error
    if not isinstance(record, dict):
        raise MucError(f'{where} is no JSON object; it must be one, such as {{"caption": "a bird"}}')
    found = {what: text_in(record, what, where) for what in ("caption", "label", "owner")}
    return {what: said for what, said in found.items() if said is not None}


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        found = list_files(path, ".tar")
        if not found:
            raise MucError(f"{path} holds no .tar; give the folder of the shards")
        return found
    if path.exists() or not _BRACES.search(str(path)):
        return [path]
    shards = [Path(name) for name in _expand(str(path))]
    if missing := [shard for shard in shards if not shard.is_file()]:
        raise MucError(
            f"{missing[0]} is missing, and {path} names it ({len(missing):,} of {len(shards):,} are missing)"
        )
    return shards


def _expand(pattern: str) -> list[str]:
    """All names that a pattern with {000..009} and {a,b} stands for. Raises `MucError` for too many of them."""
    pieces = _BRACES.split(pattern)
    choices: list[list[str]] = []
    count = 1
    for number, piece in enumerate(pieces):  # every second one is what braces enclose
        if number % 2 == 0:
            choices.append([piece])
            continue
        if found := re.fullmatch(r"([0-9]+)\.\.([0-9]+)", piece):
            first, last = int(found[1]), int(found[2])
            count *= max(last - first + 1, 0)
        else:
            count *= piece.count(",") + 1
        if not 0 < count <= _MOST_SHARDS:
            raise MucError(f"{pattern[:200]} names {count:,} shards; from 1 to {_MOST_SHARDS:,} are accepted")
        if found:
            width = max(len(found[1]), len(found[2])) if found[1].startswith("0") else 0
            choices.append([f"{value:0{width}d}" for value in range(first, last + 1)])
        else:
            choices.append(piece.split(","))
    return ["".join(parts) for parts in itertools.product(*choices)]


def _shard_names(shards: Sequence[Path]) -> list[str]:
    """The paths from the folder that all shards lie in, without .tar: ids do not depend on where that folder is."""
    root = os.path.commonpath([shard.absolute().parent for shard in shards])
    return [shard.absolute().relative_to(root).with_suffix("").as_posix() for shard in shards]


def _set_name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _recognise(path: Path) -> bool:
    if path.is_dir():
        return bool(list_files(path, ".tar")) and not holds_pictures(path)
    if path.is_file():
        return path.name.lower().endswith((".tar", ".tar.gz", ".tgz")) or looks_like_tar(read_head(path, 512))
    return path.suffix.lower() == ".tar" and _BRACES.search(str(path)) is not None


register_format(
    DataFormat(
        name="webdataset",
        title="WebDataset: a .tar, a folder of them, or shards-{000..009}.tar",
        recognise=_recognise,
        open=lambda path, _: open_webdataset(path),
    )
)
