"""A folder of pictures (a sub-folder is a label, as in torchvision's ImageFolder), a zip archive, or one picture."""

from pathlib import Path

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.formats.base import DataFormat, read_head, register_format, unreadable
from muc_core.data.ingest import PICTURE_SUFFIXES, ingest_files, ingest_folder, ingest_zip, usable_dataset
from muc_core.errors import MucError


def open_folder(path: Path) -> ImageTextDataset:
    """See `ingest_folder`: label from the sub-folder, captions from captions.csv, .tsv or .jsonl. Raises `MucError`."""
    return usable_dataset(ingest_folder(path, name=path.resolve().name), path)


def open_zip(path: Path) -> ImageTextDataset:
    """See `ingest_zip`; nothing in an archive can name a file outside it. Raises `MucError`."""
    return usable_dataset(ingest_zip(path, name=path.stem), path)


def open_picture(path: Path) -> ImageTextDataset:
    """One picture as a set. Raises `MucError`."""
    if _is_zip(path):
        raise MucError(f"{path} is a zip archive and not one picture; write zip:{path}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return usable_dataset(ingest_files([(path.name, content)], name=path.name), path)


def _is_zip(path: Path) -> bool:
    return not path.is_dir() and (path.suffix.lower() == ".zip" or read_head(path, 4) == b"PK\x03\x04")


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES


register_format(
    DataFormat(
        name="image-folder",
        title="a folder of pictures; its sub-folders are labels",
        recognise=lambda path: path.is_dir(),
        open=lambda path, _: open_folder(path),
        general=True,
    )
)
register_format(
    DataFormat(
        name="zip",
        title="a zip archive of pictures and caption files",
        recognise=_is_zip,
        open=lambda path, _: open_zip(path),
    )
)
register_format(
    DataFormat(
        name="picture",
        title="one picture",
        recognise=_is_picture,
        open=lambda path, _: open_picture(path),
        general=True,
    )
)
