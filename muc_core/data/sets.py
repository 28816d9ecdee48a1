"""Sets by name, as users write them: `demo`, `owner:artist`, `held-out`, `category:animal-bird`, `ids:FILE`, a path."""

import difflib
import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import load_demo
from muc_core.data.ingest import Ingest, ingest_files, ingest_folder, ingest_zip
from muc_core.data.paths import name_some
from muc_core.data.splits import DataSplit
from muc_core.errors import MucError, UnknownName

_log = logging.getLogger(__name__)

_PARTS = {
    "train": "all items trained on",
    "forget": "items to be forgotten",
    "retain": "items trained on and kept",
    "held-out": "never trained on: the controls",
    "calibration": "never trained on: for calibration",
}
_MOST_WARNINGS = 20


@dataclass(frozen=True)
class SetInfo:
    """A set that can be asked for: how to write it, how many items it has, and what it is."""

    spec: str
    count: int
    description: str


def load_dataset(spec: str) -> ImageTextDataset:
    """The data set "demo", or that of a folder or zip archive with pictures and perhaps caption files.

    Files of it that cannot be used are logged as warnings.

    Raises:
        UnknownName: neither "demo" nor an existing path.
        MucError: a path without usable pictures.
    """
    if spec == "demo":
        return load_demo()
    if not os.path.exists(spec):
        raise UnknownName(
            f"there is no data set {spec[:100]!r}; known: demo, or the path of a folder or zip with pictures"
        )
    return _load_path(Path(spec))


def resolve_ids(spec: str, dataset: ImageTextDataset, split: DataSplit | None) -> tuple[str, ...]:
    """The ids that a spec names, never none.

    "train", "forget", "retain", "held-out" and "calibration" are the split's. "owner:X" and "category:X" (the items'
    label) name items that were trained on, in the order of the data set; without a split, all such items. "ids:FILE" is
    a UTF-8 text file with one id a line; blank lines and lines that begin with # are passed over.

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
    if colon and kind in ("owner", "category"):
        return _grouped_ids(kind, value, dataset, split)
    known = name_some([info.spec for info in list_sets(dataset, split)], 12)
    raise UnknownName(f"there is no set {spec[:100]!r}; known: {known}, ids:FILE")


def resolve_items(spec: str, *, dataset: ImageTextDataset, split: DataSplit | None) -> ImageTextDataset:
    """The items that a spec names: a set as `resolve_ids` knows it, or the path of a folder, a zip or a picture.

    Raises:
        UnknownName: no such set or path; the message lists what is known.
        MucError: as `resolve_ids`, or a path without usable pictures.
    """
    kind, colon, _ = spec.partition(":")
    if spec in _PARTS or (colon and kind in ("owner", "category", "ids")):
        return dataset.subset(resolve_ids(spec, dataset, split), name=spec)
    if os.path.exists(spec):
        return _load_path(Path(spec))
    known = name_some([info.spec for info in list_sets(dataset, split)], 12)
    raise UnknownName(
        f"there is no set {spec[:100]!r}; known: {known}, ids:FILE, or the path of a folder, zip or picture"
    )


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
        for item_id, value in zip(dataset.ids, values, strict=True)
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


def _read_ids(file: Path, dataset: ImageTextDataset) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise MucError(f"the file of ids {file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise MucError(f"the file of ids {file} is not UTF-8 text; save it with the encoding UTF-8") from error
    known = set(dataset.ids)
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        item_id = line.strip()
        if not item_id or item_id.startswith("#"):
            continue
        if item_id not in known:
            raise MucError(f"{file}, line {number}: {dataset.name!r} has no item {item_id!r}; give one id a line")
        if item_id in first_line:
            raise MucError(f"{file}, line {number}: {item_id!r} is named in line {first_line[item_id]} already")
        first_line[item_id] = number
    if not first_line:
        raise MucError(f"the file of ids {file} names no item; give one id a line")
    return tuple(first_line)


def _load_path(path: Path) -> ImageTextDataset:
    if path.is_dir():
        ingest = ingest_folder(path, name=path.resolve().name)
    elif path.suffix.lower() == ".zip":
        ingest = ingest_zip(path, name=path.stem)
    else:
        ingest = _ingest_picture(path)
    for rejection in ingest.rejected[:_MOST_WARNINGS]:
        _log.warning("%s", rejection.reason)
    if len(ingest.rejected) > _MOST_WARNINGS:
        _log.warning("%s: %d more files or lines were not used", path, len(ingest.rejected) - _MOST_WARNINGS)
    for note in ingest.notes[:_MOST_WARNINGS]:
        _log.info("%s", note)
    if ingest.dataset is None:
        why = f"; {ingest.rejected[0].reason}" if ingest.rejected else ""
        raise MucError(f"{path} holds no picture that can be used{why}")
    return ingest.dataset


def _ingest_picture(path: Path) -> Ingest:
    try:
        return ingest_files([(path.name, path.read_bytes())], name=path.name)
    except OSError as error:
        raise MucError(f"{path} cannot be read: {error.strerror or error}") from error
