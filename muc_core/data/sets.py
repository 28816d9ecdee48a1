"""Sets by name, as users write them: `demo`, `owner:artist`, `held-out`, `category:animal-bird`, `ids:FILE`, a path.

A path is a data set in one of the registered formats, told from its content, or `FORMAT:PATH` where that is not enough.
"""

import difflib
import os
import random
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import muc_core.data.formats  # noqa: F401  (registers them)
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import load_demo
from muc_core.data.files import read_file
from muc_core.data.formats.base import FORMATS, DataFormat
from muc_core.data.paths import name_some
from muc_core.data.splits import DataSplit
from muc_core.errors import MucError, UnknownName

_PARTS = {
    "train": "all items trained on",
    "forget": "items to be forgotten",
    "retain": "items trained on and kept",
    "held-out": "never trained on: the controls",
    "calibration": "never trained on: for calibration",
}
_IMAGES = "?images="
_MOST_BYTES_OF_IDS = 64 * 2**20


@dataclass(frozen=True)
class SetInfo:
    """A set that can be asked for: how to write it, how many items it has, and what it is."""

    spec: str
    count: int
    description: str


def load_dataset(spec: str) -> ImageTextDataset:
    """The data set "demo", or that at a path, in any format that is registered.

    The format is told from names and content. "FORMAT:PATH" says it, as "cifar10:PATH" does where both CIFARs are. A
    pattern such as "shards-{000..009}.tar" is a path, too, and "PATH?images=FOLDER" says where the picture files are
    that the file at PATH names. Files that cannot be used, and are left out for it, are logged as warnings.

    Raises:
        UnknownName: neither "demo" nor an existing path.
        MucError: a path in no format or in several, or a data set with a fault in it.
    """
    if spec == "demo":
        return load_demo()
    location = _locate(spec)
    if location is None:
        raise UnknownName(
            f"there is no data set {spec[:100]!r}; known: demo, or the path of a folder, zip, table, .tar or "
            ".parquet with pictures"
        )
    return location.open()


def absolute_spec(spec: str) -> str:
    """The same data set, written so that it means the same in another working directory."""
    location = None if spec == "demo" else _locate(spec)
    if location is None:
        return spec
    data_format = f"{location.format.name}:" if location.format else ""
    images = f"{_IMAGES}{location.images.absolute()}" if location.images else ""
    return f"{data_format}{location.path.absolute()}{images}"


def resolve_ids(spec: str, dataset: ImageTextDataset, split: DataSplit | None) -> tuple[str, ...]:
    """The ids that a spec names, never none.

    "train", "forget", "retain", "held-out" and "calibration" are the split's. "owner:X" and "category:X" (the items'
    label) name items that were trained on, in the order of the data set; without a split, all such items. "ids:FILE" is
    a UTF-8 text file with one id a line; blank lines and lines that begin with # are passed over. "random:100" and
    "random:10%" are so many items that were trained on, drawn at random with the seed of the split (0 without one).

    Raises:
        UnknownName: no such set; the message lists what is known.
        MucError: an empty set, a set that needs a split when there is none, or a file of ids that is wrong.
    """
    if spec in _PARTS:
        if split is None:
            raise MucError(f"{spec!r} is part of a split, and this data set is not split; name an owner or a category")
        ids = _part(split, spec)
        if not ids:
            raise MucError(f"the {spec} set is empty; choose at least one item for it")
        return ids
    kind, colon, value = spec.partition(":")
    if colon and kind == "ids":
        return _read_ids(Path(value), dataset)
    if colon and kind == "random":
        return _draw_ids(value, dataset, split)
    if colon and kind in ("owner", "category"):
        return _grouped_ids(kind, value, dataset, split)
    known = name_some([info.spec for info in list_sets(dataset, split)], 12)
    raise UnknownName(f"there is no set {spec[:100]!r}; known: {known}, random:COUNT, ids:FILE")


def resolve_items(spec: str, *, dataset: ImageTextDataset, split: DataSplit | None) -> ImageTextDataset:
    """The items that a spec names: a set as `resolve_ids` knows it, or a data set as `load_dataset` knows it.

    Raises:
        UnknownName: no such set or path; the message lists what is known.
        MucError: as `resolve_ids`, or a path without usable pictures.
    """
    if is_named_set(spec):
        return dataset.subset(resolve_ids(spec, dataset, split), name=spec)
    location = _locate(spec)
    if location is not None:
        return location.open()
    known = name_some([info.spec for info in list_sets(dataset, split)], 12)
    raise UnknownName(
        f"there is no set {spec[:100]!r}; known: {known}, random:COUNT, ids:FILE, or the path of a folder, zip or "
        "picture"
    )


def is_named_set(spec: str) -> bool:
    """Whether a spec names items of the data set rather than a path."""
    kind, colon, _ = spec.partition(":")
    return spec in _PARTS or (bool(colon) and kind in ("owner", "category", "ids", "random"))


def list_sets(dataset: ImageTextDataset, split: DataSplit | None) -> list[SetInfo]:
    """The sets that can be asked for: parts of the split that are not empty, owners, categories by size."""
    sets: list[SetInfo] = []
    if split is not None:
        sets += [SetInfo(part, len(ids), what) for part, what in _PARTS.items() if (ids := _part(split, part))]
    where = "all items" if split is None else "items trained on"
    for kind, of in (("owner", "owned by"), ("category", "in the category")):
        counts = Counter(value for _, value in _grouped(kind, dataset, split))
        for value, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            sets.append(SetInfo(f"{kind}:{value}", count, f"{where} {of} {value}"))
    return sets


def _part(split: DataSplit, name: str) -> tuple[str, ...]:
    parts = {
        "train": split.train,
        "forget": split.forget,
        "retain": split.retain,
        "held-out": split.held_out,
        "calibration": split.calibration,
    }
    return parts[name]


def _grouped(kind: str, dataset: ImageTextDataset, split: DataSplit | None) -> list[tuple[str, str]]:
    """(id, owner or category) of the items that have one and were trained on."""
    values = dataset.owners if kind == "owner" else dataset.labels
    trained = None if split is None else set(split.train)
    return [
        (item_id, value)
        for item_id, value in zip(dataset.item_ids, values, strict=True)
        if value is not None and (trained is None or item_id in trained)
    ]


def _grouped_ids(kind: str, value: str, dataset: ImageTextDataset, split: DataSplit | None) -> tuple[str, ...]:
    grouped = _grouped(kind, dataset, split)
    ids = tuple(item_id for item_id, found in grouped if found == value)
    if ids:
        return ids
    if value in (dataset.owners if kind == "owner" else dataset.labels):
        raise MucError(f"no item of {kind} {value!r} was trained on; they are all held-out or calibration items")
    known = sorted({found for _, found in grouped})
    near = difflib.get_close_matches(value, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UnknownName(f"there is no {kind} {value!r} in {dataset.name!r}{hint} Known: {', '.join(known) or 'none'}")


def _draw_ids(value: str, dataset: ImageTextDataset, split: DataSplit | None) -> tuple[str, ...]:
    trained = sorted(dataset.ids if split is None else split.train)
    number = value.removesuffix("%")
    try:
        count = round(len(trained) * float(number) / 100) if number != value else int(number)
    except (ValueError, OverflowError):
        count = 0
    if not 1 <= count < len(trained):
        raise MucError(
            f"'random:{value[:100]}' is no number of items; write random:1 to random:{len(trained) - 1}, or a share "
            "such as random:10%"
        )
    drawn = set(random.Random(0 if split is None else split.seed).sample(trained, count))
    return tuple(item_id for item_id in dataset.item_ids if item_id in drawn)


def _read_ids(file: Path, dataset: ImageTextDataset) -> tuple[str, ...]:
    try:
        text = read_file(file, f"the file of ids {file}", _MOST_BYTES_OF_IDS).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MucError(f"the file of ids {file} is not UTF-8 text; save it with the encoding UTF-8") from error
    first_line: dict[str, int] = {}
    for number, line in enumerate(StringIO(text, newline=None), start=1):
        item_id = line.strip()
        if not item_id or item_id.startswith("#"):
            continue
        if dataset.find(item_id) is None:
            raise MucError(f"{file}, line {number}: {dataset.name!r} has no item {item_id!r}; give one id a line")
        if item_id in first_line:
            raise MucError(f"{file}, line {number}: {item_id!r} is named in line {first_line[item_id]} already")
        first_line[item_id] = number
    if not first_line:
        raise MucError(f"the file of ids {file} names no item; give one id a line")
    return tuple(first_line)


@dataclass(frozen=True)
class _Location:
    """Where a data set is, with what the user said of its format and of the folder of its pictures."""

    path: Path
    format: DataFormat | None
    images: Path | None

    def open(self) -> ImageTextDataset:
        data_format = self.format or self._recognise()
        if self.images is not None and not data_format.takes_images:
            raise MucError(f"{self.path} is {data_format.title}, which names no picture files; leave {_IMAGES}... out")
        if self.images is not None and not self.images.is_dir():
            raise MucError(f"there is no folder {self.images}; write after {_IMAGES} where the pictures are")
        return data_format.open(self.path, self.images)

    def _recognise(self) -> DataFormat:
        try:
            found = [each for each in FORMATS if not each.general and each.recognise(self.path)]
            found = found or [each for each in FORMATS if each.general and each.recognise(self.path)]
        except OSError as error:
            raise MucError(f"{self.path} cannot be read: {error.strerror or error}") from error
        if not found:
            known = "; ".join(each.title for each in FORMATS)
            raise MucError(f"{self.path} is in no format that is known: {known}. If it is, write FORMAT:PATH")
        if len(found) > 1:
            ways = ", ".join(f"{each.name}:{self.path}" for each in found)
            raise MucError(f"{self.path} can be read in several ways; write one of {ways}")
        return found[0]


def _locate(spec: str) -> _Location | None:
    """What a spec says of where a data set is; None when nothing is there."""
    if os.path.exists(spec):
        return _Location(Path(spec), None, None)
    name, colon, rest = spec.partition(":")
    data_format = FORMATS.get(name) if colon and name in FORMATS.names() else None
    path, asked, images = (rest if data_format else spec).partition(_IMAGES)
    # a pattern names files, and is not one; the format tells which of them are missing
    if not os.path.exists(path) and not _is_pattern(path):
        return None
    return _Location(Path(path), data_format, Path(images) if asked else None)


def _is_pattern(path: str) -> bool:
    return "{" in path and path.endswith(".tar") and "\0" not in path
