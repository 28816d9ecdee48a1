"""Pictures from people: uploads, zip archives and folders, with captions, become a data set.

A file that cannot be used is rejected with one sentence and the others go on; whatever was done to a file that is used
is noted. Ids are the files' relative paths.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from muc_core.data.archives import read_archive
from muc_core.data.captions import MAX_BYTES, Caption, CaptionTable, is_caption_file, parse_captions
from muc_core.data.columns import ColumnBuilder, ColumnItems, TextColumn, TextIds
from muc_core.data.dataset import LARGE, ImageTextDataset, Item
from muc_core.data.decode import MAX_FILE_BYTES, check_header, decode_image, to_square_tensor
from muc_core.data.files import read_file
from muc_core.data.interpolation import Interpolation
from muc_core.data.paths import clean_path, guess_caption, is_clutter, match_key, name_some
from muc_core.data.pictures import FilePictures
from muc_core.errors import BadImage, MucError

__all__ = [
    "EncodedImages",
    "Ingest",
    "Rejection",
    "guess_caption",
    "ingest_files",
    "ingest_folder",
    "ingest_zip",
    "usable_dataset",
]

_log = logging.getLogger(__name__)
_MOST_WARNINGS = 20

PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".apng")
)
"""In a folder, files with other suffixes are not looked at."""

_SPLIT_FOLDERS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


@dataclass(frozen=True)
class Rejection:
    """A file, or a line of a caption file, that was not used: the file's name and a sentence for the user."""

    name: str
    reason: str


@dataclass(frozen=True)
class Ingest:
    """What became of some files: the pictures that can be used (None when there are none) and what to tell the user."""

    dataset: ImageTextDataset | None
    rejected: tuple[Rejection, ...]
    notes: tuple[str, ...]


class EncodedImages:
    """Pictures as encoded files, in memory or on disk, decoded whenever they are asked for."""

    def __init__(self, names: Sequence[str], files: Sequence[bytes | Path]) -> None:
        if len(names) != len(files):
            raise ValueError(f"{len(names)} names for {len(files)} files")
        self._names = tuple(names)
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        """uint8 `[n, 3, size, size]`. Raises `BadImage`, naming a file that is gone or cannot be decoded."""
        pixels = torch.empty((len(indices), 3, size, size), dtype=torch.uint8)
        for row, index in enumerate(indices):
            name = self._names[index]
            pixels[row] = to_square_tensor(
                decode_image(_read(self._files[index], name), name).image, size, interpolation
            )
        return pixels


def ingest_files(
    files: Iterable[tuple[str, bytes]],
    *,
    name: str,
    captions: Mapping[str, str | None] | None = None,
    guess_captions: bool = False,
) -> Ingest:
    """Uploaded files: pictures, caption files, and zip archives of both.

    Every picture is decoded once to be sure of it, and kept in encoded form. A second file of the same name gets the id
    "name (2)", unless its content is the same: then it is left out.

    Args:
        files: (file name, content).
        name: of the resulting set.
        captions: what the user typed, by id. An empty one gives way to the caption files, and these to guessing.
        guess_captions: take the missing captions from the file names.
    """
    collected = _Collected()
    for file_name, content in files:
        if file_name.lower().endswith(".zip"):
            collected.add_archive(content, file_name)
        else:
            collected.add_upload(file_name, content)
    return collected.finish(name, captions or {}, guess_captions)


def ingest_zip(path_or_bytes: str | Path | bytes, *, name: str) -> Ingest:
    """A zip archive of pictures, perhaps with caption files beside them.

    Raises:
        MucError: the path does not lead to a file.
    """
    collected = _Collected()
    if isinstance(path_or_bytes, bytes):
        collected.add_archive(path_or_bytes, name)
    else:
        path = Path(path_or_bytes)
        if not path.is_file():
            raise MucError(f"there is no file {path}; give the path of a zip archive")
        collected.add_archive(path, path.name)
    return collected.finish(name, {}, False)


def ingest_folder(path: str | Path, *, name: str) -> Ingest:
    """A folder of pictures and its subfolders, perhaps with caption files beside the pictures.

    A picture's label is its class folder: the first folder on its path, or the second where the first ones are all
    named like the parts of a split (train, val, test). A label from a caption file comes first.

    Only the headers are read, and of more than `LARGE` pictures only the names; a picture is decoded when it is asked
    for, so that damage shows then, as `BadImage`. Files without the suffix of a picture are left out and counted in a
    note.

    Raises:
        MucError: the path is not a folder, or the folder holds no usable picture.
    """
    root = Path(path)
    if not root.is_dir():
        raise MucError(f"there is no folder {root}; give the path of a folder with pictures")
    collected = _Collected()
    pictures: list[str] = []
    others: Counter[str] = Counter()
    for folder, subfolders, file_names in os.walk(root, onerror=collected.reject_folder):
        # hidden folders are passed over, and the order is the same on every machine
        subfolders[:] = sorted(sub for sub in subfolders if not is_clutter(sub))
        others["linked folders"] += sum(os.path.islink(os.path.join(folder, sub)) for sub in subfolders)
        for file_name in sorted(file_names):
            file = Path(folder, file_name)
            shown = file.relative_to(root).as_posix()
            suffix = file.suffix.lower()
            if is_clutter(file_name):
                continue
            if is_caption_file(shown):
                collected.add_captions(shown, file)
            elif suffix in PICTURE_SUFFIXES:
                pictures.append(shown)
            else:
                others[suffix or "without suffix"] += 1
    if +others:
        kinds = name_some([f"{count:,} {kind}" for kind, count in (+others).most_common()], 5)
        collected.notes.append(f"left out, because they are not pictures: {kinds}")
    if len(pictures) > LARGE:
        return collected.finish_large(name, root, pictures)
    for shown in pictures:
        collected.add_path(shown, root / shown)
    ingest = collected.finish(name, {}, False, class_folders=True)
    if ingest.dataset is None:
        why = f"; {ingest.rejected[0].reason}" if ingest.rejected else ""
        raise MucError(f"the folder {root} holds no picture that can be used{why}")
    return ingest


def usable_dataset(ingest: Ingest, path: Path) -> ImageTextDataset:
    """The set that an ingest of this path gave; what could not be used is logged as warnings.

    Raises:
        MucError: there is no usable picture.
    """
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


def _class_folder(paths: Iterable[str]) -> int:
    """Which folder on a picture's path names its class: 0 the first, 1 the second."""
    first = {path.split("/", 1)[0].lower() for path in paths if "/" in path}
    return int(bool(first) and first <= _SPLIT_FOLDERS)


def _class_of(path: str, class_folder: int) -> str | None:
    folders = path.split("/")[:-1]
    return folders[class_folder] if len(folders) > class_folder else None


@dataclass
class _Source:
    """One origin of files with its own caption files: the loose uploads, an archive, or a folder."""

    paths: set[str] = field(default_factory=set)
    """Where its caption files look for its pictures; a second file of the same name is found by its id only."""
    seen: set[str] = field(default_factory=set)
    """Keys of all its files, the rejected ones too: what a caption file may name without being wrong."""
    tables: list[tuple[str, CaptionTable]] = field(default_factory=list)
    captions: dict[str, Caption] = field(default_factory=dict)
    """Filled at the end: captions by the key of the picture's path."""


@dataclass(frozen=True)
class _Picture:
    id: str
    path: str
    content: bytes | Path
    source: _Source


class _Collected:
    """Gathers pictures, caption files and what there is to say of them; `finish` makes the set."""

    def __init__(self) -> None:
        self.rejected: list[Rejection] = []
        self.notes: list[str] = []
        self._loose = _Source()
        self._sources = [self._loose]
        self._pictures: list[_Picture] = []
        self._contents: dict[str, list[bytes]] = {}
        self._unpacked = 0

    def add_upload(self, file_name: str, content: bytes) -> None:
        try:
            path = clean_path(file_name)
        except MucError as error:
            self._reject(file_name, error)
        else:
            self._add_bytes(path, content, self._loose)

    def add_archive(self, archive: bytes | Path, archive_name: str) -> None:
        source = _Source()
        self._sources.append(source)
        empty = True
        try:
            for path, content in read_archive(archive, archive_name, before=self._unpacked):
                empty = False
                if isinstance(content, MucError):
                    source.seen.add(match_key(path))
                    self._reject(path, content)
                else:
                    self._unpacked += len(content)
                    self._add_bytes(path, content, source)
            if empty:
                raise MucError(f"{archive_name} holds no files; pack pictures into it")
        except MucError as error:
            self._reject(archive_name, error)

    def add_path(self, shown: str, file: Path) -> None:
        """A picture on disk, by its path from the folder; only its header is read."""
        self._loose.seen.add(match_key(shown))
        try:
            path = clean_path(shown)
            if not file.is_file():  # opening a named pipe would wait for ever
                raise BadImage(f"{path} is a broken link or not an ordinary file; pictures in files are accepted")
            with file.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size > MAX_FILE_BYTES:
                    raise BadImage(f"{path} is too large; files up to {MAX_FILE_BYTES / 2**20:g} MB are accepted")
                check_header(stream, path)
        except MucError as error:
            self._reject(shown, error)
        except OSError as error:
            self._reject(shown, MucError(f"{shown} cannot be read: {error.strerror or error}"))
        else:
            self._add_picture(path, path, file, self._loose)

    def add_captions(self, path: str, content: bytes | Path, source: _Source | None = None) -> None:
        try:
            table = parse_captions(content if isinstance(content, bytes) else read_file(content, path, MAX_BYTES), path)
        except MucError as error:
            self._reject(path, error)
        else:
            self.rejected += [Rejection(path, problem) for problem in table.problems]
            (source or self._loose).tables.append((path, table))

    def reject_folder(self, error: OSError) -> None:
        self._reject(str(error.filename), MucError(f"the folder {error.filename} cannot be read: {error.strerror}"))

    def finish(self, name: str, typed: Mapping[str, str | None], guess: bool, *, class_folders: bool = False) -> Ingest:
        items: list[Item] = []
        files: list[bytes | Path] = []
        guessed = 0
        class_folder = _class_folder(picture.path for picture in self._pictures)
        for source in self._sources:
            self._match(source)
        for picture in self._pictures:
            caption = picture.source.captions.get(match_key(picture.path))
            text = (typed.get(picture.id) or "").strip() or (caption.text if caption else None)
            if text is None and guess:
                text = guess_caption(picture.path)
                guessed += text is not None
            label, owner = (caption.label, caption.owner) if caption else (None, None)
            if label is None and class_folders:
                label = _class_of(picture.path, class_folder)
            items.append(Item(picture.id, text, label, owner))
            files.append(picture.content)
        if guessed:
            self.notes.append(f"captions guessed from file names: {guessed:,}")
        ids = [item.id for item in items]
        rejected = {rejection.name for rejection in self.rejected}
        self._note_missing("captions were typed for", [key for key in typed if key not in rejected.union(ids)])
        dataset = ImageTextDataset(name, items, EncodedImages(ids, files)) if items else None
        return Ingest(dataset, tuple(self.rejected), tuple(self.notes))

    def finish_large(self, name: str, root: Path, pictures: Sequence[str]) -> Ingest:
        """The pictures of a large folder by their paths from it; none is looked at."""
        self._loose.seen.update(match_key(shown) for shown in pictures if self._loose.tables)
        paths, texts, labels, owners = (ColumnBuilder() for _ in range(4))
        usable: list[str] = []
        for shown in pictures:
            try:
                # most names are plain, and these need no closer look
                usable.append(
                    shown if shown.isascii() and shown.isprintable() and "\\" not in shown else clean_path(shown)
                )
            except MucError as error:
                self._reject(shown, error)
        self._loose.paths.update(usable if self._loose.tables else ())
        self._match(self._loose)
        class_folder = _class_folder(usable)
        for path in usable:
            caption = self._loose.captions.get(match_key(path)) if self._loose.captions else None
            paths.append(path)
            texts.append(caption.text if caption else None)
            labels.append((caption.label if caption else None) or _class_of(path, class_folder))
            owners.append(caption.owner if caption else None)
        ids = TextIds(paths.finish())
        columns = TextColumn(texts.finish()), TextColumn.of_few(labels.finish()), TextColumn.of_few(owners.finish())
        items = ColumnItems(ids, texts=lambda: columns[0], labels=lambda: columns[1], owners=lambda: columns[2])
        dataset = ImageTextDataset(name, items, FilePictures(root, ids, ids))
        return Ingest(dataset, tuple(self.rejected), tuple(self.notes))

    def _add_bytes(self, path: str, content: bytes, source: _Source) -> None:
        if is_caption_file(path):
            self.add_captions(path, content, source)
            return
        source.seen.add(match_key(path))
        try:
            decoded = decode_image(content, path)
        except BadImage as error:
            self._reject(path, error)
            return
        earlier = self._contents.setdefault(path, [])
        if content in earlier:
            self.notes.append(f"{path} was given twice with the same content; the second was left out")
            return
        earlier.append(content)
        picture_id, number = path, len(earlier)
        while number > 1 and (picture_id := f"{path} ({number})") in self._contents:
            number += 1
        if picture_id != path:
            self._contents[picture_id] = [content]
            self.notes.append(f"different files are named {path}; one of them has the id {picture_id}")
        self.notes += decoded.notes
        self._add_picture(picture_id, picture_id if path in source.paths else path, content, source)

    def _add_picture(self, picture_id: str, path: str, content: bytes | Path, source: _Source) -> None:
        self._pictures.append(_Picture(picture_id, path, content, source))
        source.paths.add(path)

    def _match(self, source: _Source) -> None:
        """Give a source's captions to its pictures; those without a picture are noted."""
        paths = {match_key(path) for path in source.paths}
        for table_path, table in source.tables:
            folder = PurePosixPath(table_path).parent
            missing = []
            for file, caption in table.captions.items():
                # files are named as seen from the caption file, or from the root
                candidates = (match_key(str(folder / file)), file)
                found = next((path for path in candidates if path in paths), None)
                if found is None:
                    if not source.seen.intersection(candidates):
                        missing.append(file)
                elif found in source.captions:
                    self.rejected.append(
                        Rejection(table_path, f"{table_path}, line {caption.line}: {found} already has a caption")
                    )
                else:
                    source.captions[found] = caption
            self._note_missing(f"{table_path} has captions for", missing)

    def _note_missing(self, beginning: str, files: list[str]) -> None:
        if files:
            count = "a file that is" if len(files) == 1 else f"{len(files):,} files that are"
            self.notes.append(f"{beginning} {count} not among the pictures: {name_some(files)}")

    def _reject(self, name: str, error: MucError) -> None:
        printable = name.encode("utf-8", "backslashreplace").decode()
        self.rejected.append(Rejection(printable, str(error)))


def _read(file: bytes | Path, name: str) -> bytes:
    if isinstance(file, bytes):
        return file
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BadImage(f"{name} is too large; files up to {MAX_FILE_BYTES / 2**20:g} MB are accepted")
        return file.read_bytes()
    except OSError as error:
        raise BadImage(f"{name} cannot be read any more: {error.strerror or error}") from error
