"""COCO's caption annotations, <https://cocodataset.org/#format-data>: a JSON file and a folder of pictures."""

import json
import re
from pathlib import Path
from typing import Any

from muc_core.data.columns import ColumnBuilder, ColumnItems, RepeatedId, TextColumn, TextIds
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.files import read_file
from muc_core.data.formats.base import DataFormat, list_files, read_head, register_format, text_of
from muc_core.data.pictures import FilePictures, check_files
from muc_core.errors import MucError

_MOST_BYTES = 100 * 2**20
_MOST_PARTS = 6_000_000
"""COCO's largest captions file has 88 MB and 3.6 million commas and brackets; each costs memory when it is read."""


def open_coco(path: Path, images: Path | None = None) -> ImageTextDataset:
    """The pictures of a COCO captions file; ids are the file names, the first caption of a picture is its text.

    Args:
        path: the JSON file, or a folder with one file annotations/captions_*.json.
        images: the folder of the pictures. When None it is looked for beside the file and one folder above: the folder
            itself, "images", and the one that the file is named after (captions_train2017.json: train2017).

    Raises:
        MucError: not such a file, a picture that is named twice, or no folder with the pictures.
    """
    path = _annotations(path)
    content = _read(path)
    pictures = _records(content, "images", path)
    captions = _first_captions(_records(content, "annotations", path), path)
    files, texts = ColumnBuilder(), ColumnBuilder()
    seen: set[int | str] = set()
    for number, picture in enumerate(pictures):
        where = f"{path}, images[{number}]"
        key = _key(picture.get("id"), "id", where)
        if key in seen:
            raise MucError(f"{where}: the id {key!r} is that of an earlier picture, too; ids must be unique")
        seen.add(key)
        file = text_of(picture.get("file_name"), "file_name", where)
        if file is None:
            raise MucError(f"{where}: no file_name; each picture needs the path of its file")
        files.append(file)
        texts.append(captions.pop(key, None))
    if not seen:
        raise MucError(f"{path} names no picture; its list images is empty")
    if captions:
        raise MucError(
            f"{path}: there is a caption for the image_id {next(iter(captions))!r}, which images does not list"
        )
    try:
        ids = TextIds(files.finish())
    except RepeatedId as error:
        raise MucError(f"{path}: two images have the file_name {error.item_id!r}; each must be there once") from error
    folder = _find_images(path, ids[0]) if images is None else images
    check_files(folder, ids, lambda row: f"{path}, images[{row}]")
    column = TextColumn(texts.finish())
    return ImageTextDataset(path.stem, ColumnItems(ids, texts=lambda: column), FilePictures(folder, ids, ids))


def _annotations(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = _captions_files(path)
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise MucError(f"{path} must hold one file annotations/captions_*.json; found: {found}. Give the path of one")
    return files[0]


def _captions_files(path: Path) -> list[Path]:
    return [file for file in list_files(path / "annotations", ".json") if file.name.startswith("captions_")]


def _read(path: Path) -> dict[str, Any]:
    raw = read_file(path, str(path), _MOST_BYTES)
    if sum(map(raw.count, (b",", b"[", b"{"))) > _MOST_PARTS:
        raise MucError(f"{path} lists more than {_MOST_PARTS:,} things; split it, or write it as WebDataset or parquet")
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise MucError(f"{path}: not UTF-8 text; save the file with the encoding UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise MucError(f"{path} is no JSON, or it is cut short ({error})") from error
    if not isinstance(content, dict):
        raise MucError(f"{path} is no COCO file; it must be a JSON object with the lists images and annotations")
    return content


def _records(content: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    records = content.get(name)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise MucError(f"{path} has no list {name} of objects; a COCO captions file has images and annotations")
    return records


def _first_captions(annotations: list[dict[str, Any]], path: Path) -> dict[int | str, str]:
    captions: dict[int | str, str] = {}
    for number, annotation in enumerate(annotations):
        where = f"{path}, annotations[{number}]"
        if "caption" not in annotation:
            raise MucError(f"{where} has no caption; give the captions file of COCO, not that of objects or persons")
        key = _key(annotation.get("image_id"), "image_id", where)
        text = text_of(annotation["caption"], "caption", where)
        if text is not None:
            captions.setdefault(key, text)
    return captions


def _key(value: object, what: str, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise MucError(f"{where}: the {what} is {json.dumps(value)[:40]}; a number or a text is needed")
    return value


def _find_images(path: Path, first: str) -> Path:
    named_after = re.sub(r"^captions_?", "", path.stem)
    names = ["", "images", *([named_after, f"images/{named_after}"] if named_after else [])]
    folders = [base / name for base in (path.parent, path.absolute().parent.parent) for name in names]
    found = next((folder for folder in folders if (folder / first).is_file()), None)
    if found is None:
        raise MucError(
            f"{path}: there is no picture {first!r} beside it, in images or in {named_after or 'images'}; name the "
            "folder of the pictures by writing ?images=FOLDER after the path"
        )
    return found


def _recognise(path: Path) -> bool:
    if path.is_dir():
        return bool(_captions_files(path))
    head = read_head(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    if path.suffix.lower() == ".json":
        return head[:1] == b"{" and not _is_json_lines(head)
    return head[:1] == b"{" and re.search(rb'"(images|annotations)"\s*:\s*\[', head) is not None


def _is_json_lines(head: bytes) -> bool:
    first, line_end, _ = head.partition(b"\n")
    try:
        return bool(line_end) and "images" not in json.loads(first)
    except (ValueError, RecursionError):
        return False


register_format(
    DataFormat(
        name="coco",
        title="COCO captions: a JSON file and the folder of its pictures",
        recognise=_recognise,
        open=open_coco,
        takes_images=True,
    )
)
