"""What a format of data sets is, the registry of formats, and what several formats need to look at files."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.ingest import PICTURE_SUFFIXES
from muc_core.data.paths import is_clutter
from muc_core.errors import MucError
from muc_core.registry import Registry

_log = logging.getLogger(__name__)

_ALIASES = {
    "file": ("filepath", "file_path", "file", "filename", "file_name", "image", "image_path", "img", "path"),
    "caption": ("caption", "captions", "title", "text"),
    "label": ("label", "labels", "fine_label", "class", "category"),
    "owner": ("owner",),
    "id": ("id", "key", "__key__"),
}


@dataclass(frozen=True)
class DataFormat:
    """A format of data sets on disk.

    Attributes:
        name: as in `FORMAT:PATH`.
        title: what it is, in a few words for people.
        recognise: whether a path holds it, told from names and first bytes; never raises and reads no picture.
        open: the data set at a path. The second argument is the folder of the pictures, when the user names one. Raises
            `MucError`, naming the file and what is wrong with it. Paths that the files at the path hold are followed
            wherever they lead: only for paths that the user gave, never for uploads.
        general: recognised only where no other format is.
        takes_images: whether a folder of the pictures can be named.
    """

    name: str
    title: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path, Path | None], ImageTextDataset]
    general: bool = False
    takes_images: bool = False


FORMATS: Registry[DataFormat] = Registry("data format")


def register_format(data_format: DataFormat) -> DataFormat:
    """Make a format known to `load_dataset`."""
    return FORMATS.register(data_format.name, data_format)


def read_head(path: Path, size: int = 65_536) -> bytes:
    """The first bytes of an ordinary file; none when it is not one or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(size)
    except (OSError, ValueError):
        return b""


def list_files(path: Path, suffix: str) -> list[Path]:
    """The files of a folder with that suffix, sorted; none when it is not a folder or cannot be read."""
    try:
        return sorted(file for file in path.iterdir() if _has_suffix(file, suffix)) if path.is_dir() else []
    except OSError:
        return []


def find_files(path: Path, suffix: str) -> list[Path]:
    """The files of that suffix in a folder and the folders in it, sorted."""
    return sorted(
        Path(folder, name) for folder, _, names in os.walk(path) for name in names if _has_suffix(Path(name), suffix)
    )


def holds_pictures(path: Path) -> bool:
    """Whether a folder or one of the folders in it has a file with the suffix of a picture."""
    return any(
        Path(name).suffix.lower() in PICTURE_SUFFIXES and not is_clutter(name)
        for _, _, names in os.walk(path)
        for name in names
    )


def find_columns(names: Iterable[str], what: str) -> list[str]:
    """The columns of a table that could be that of the file, caption, label, owner or id, the likeliest first.

    Case, spaces, dashes and underscores do not matter.
    """
    plain = {_plain(name): name for name in names}
    return list(dict.fromkeys(plain[_plain(alias)] for alias in _ALIASES[what] if _plain(alias) in plain))


def find_column(names: Iterable[str], what: str, source: str) -> str | None:
    """The likeliest of `find_columns`, None when there is none; that there are others is logged as a warning."""
    found = find_columns(names, what)
    if len(found) > 1:
        _log.warning("%s: the %s is read from the column %s, not from %s", source, what, found[0], ", ".join(found[1:]))
    return found[0] if found else None


def column_names(what: str) -> str:
    """The names under which a column is found, for messages."""
    return ", ".join(_ALIASES[what])


def text_of(value: object, what: str, where: str) -> str | None:
    """A caption, label or owner from JSON; None when it is missing or blank. Raises `MucError` when it is no text."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MucError(f"{where}: the {what} is {json.dumps(value)[:40]}; a text is needed")
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MucError(f"{where}: the {what} has half of a character (a lone surrogate); write it whole") from error
    return text or None


def text_in(record: Mapping[str, object], what: str, where: str) -> str | None:
    """The caption, label or owner of a JSON object, found under any of its names. Raises `MucError`."""
    plain = {_plain(key): value for key, value in record.items()}
    aliases = (_plain(alias) for alias in _ALIASES[what])
    return next((text for alias in aliases if (text := text_of(plain.get(alias), what, where)) is not None), None)


def unreadable(path: Path, error: OSError) -> MucError:
    return MucError(f"{path} cannot be read: {error.strerror or error}")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())


def _has_suffix(path: Path, suffix: str) -> bool:
    return path.suffix.lower() == suffix and not path.name.startswith(".")
