"""Tables that name picture files: CSV and TSV as open_clip reads them, and JSON lines with the same columns.

One line a picture: its file and, if there are any, caption, label and owner. Quotes are read strictly, since one quote
too many would otherwise swallow all lines up to the next.
"""

import csv
import json
import re
from array import array
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from muc_core.data.columns import ColumnBuilder, ColumnItems, RepeatedId, TextColumn, TextIds
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.formats.base import (
    DataFormat,
    column_names,
    find_column,
    find_columns,
    read_head,
    register_format,
    text_of,
    unreadable,
)
from muc_core.data.pictures import FilePictures, check_files
from muc_core.errors import MucError

_JSON_SUFFIXES = (".jsonl", ".ndjson")
_SUFFIXES = (".csv", ".tsv", *_JSON_SUFFIXES)
_COLUMNS = ("file", "caption", "label", "owner")
_LONGEST_LINE = 2**24
_MOST_KEYS = 1000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

Row = tuple[int, list[str | None]]
"""Line, counted from 1, and file, caption, label and owner."""


def open_table(path: Path, images: Path | None = None) -> ImageTextDataset:
    """The pictures that a CSV, TSV or JSON lines file names. Their ids are the paths as written, those in the folder of
    the pictures relative to it.

    The file is read once, line by line; no picture is.

    Args:
        path: UTF-8 text; columns of CSV and TSV are separated by commas or tabs, the first line names them.
        images: where relative paths begin, the folder of the table when None. Other paths are followed, too.

    Raises:
        MucError: no column for the file, a line that cannot be read, a picture that is named twice or is not there (of
            more than 1,024, a sample is looked for).
    """
    folder = path.parent if images is None else images
    inside = f"{folder.absolute().as_posix()}/"
    builders = [ColumnBuilder() for _ in _COLUMNS]
    lines = array("q")
    for line, (file, *others) in _rows(path):
        if file is None:
            raise MucError(f"{path}, line {line}: no file is named; each line needs the path of a picture")
        if _URL.match(file):
            raise MucError(f"{path}, line {line}: {file[:80]!r} is an address; fetch the pictures and name the files")
        lines.append(line)
        builders[0].append(_plain_path(file, inside))
        for builder, text in zip(builders[1:], others, strict=True):
            builder.append(text)
    if not lines:
        raise MucError(f"{path} names no picture; each line after the first needs the path of one")
    files, captions, labels, owners = (builder.finish() for builder in builders)
    try:
        ids = TextIds(files)
    except RepeatedId as error:
        first, second, *_ = (row for row, file in enumerate(TextColumn(files)) if file == error.item_id)
        raise MucError(
            f"{path}, line {lines[second]}: {error.item_id!r} is named in line {lines[first]} already; keep one line a "
            "picture"
        ) from error
    check_files(folder, ids, lambda row: f"{path}, line {lines[row]}")
    columns = TextColumn(captions), TextColumn.of_few(labels), TextColumn.of_few(owners)
    items = ColumnItems(ids, texts=lambda: columns[0], labels=lambda: columns[1], owners=lambda: columns[2])
    return ImageTextDataset(path.stem, items, FilePictures(folder, ids, ids))


def _plain_path(file: str, inside: str) -> str:
    file = file.replace("\\", "/")
    while file.startswith("./"):
        file = file[2:].lstrip("/")
    return file.removeprefix(inside)


def _rows(path: Path) -> Iterator[Row]:
    line = 0

    def lines() -> Iterator[str]:
        nonlocal line
        with path.open(encoding="utf-8-sig", newline="") as stream:
            while text := stream.readline(_LONGEST_LINE):
                line += 1
                if len(text) == _LONGEST_LINE:
                    raise MucError(f"{path}, line {line} is too long; is it a table of text?")
                yield text

    try:
        yield from _json_rows(path, lines()) if _is_json(path) else _delimited_rows(path, lines())
    except UnicodeDecodeError as error:
        raise MucError(f"{path}, after line {line}: not UTF-8 text; save the file with the encoding UTF-8") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _delimited_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    number = 0
    header = ""
    for header in lines:
        number += 1
        if header.strip():
            break
    delimiter = _delimiter(header, path.suffix.lower() == ".tsv")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = _header(header, delimiter, path)
    chosen = [find_column(columns, what, str(path)) for what in _COLUMNS]
    if chosen[0] is None:
        listed = ", ".join(columns)[:200] or "none; it is empty"
        raise MucError(
            f"{path} has no column for the file of the picture (its columns are {listed}); name it in the first line "
            f"as one of {column_names('file')}"
        )
    places = [None if name is None else columns.index(name) for name in chosen]
    try:
        for fields in reader:
            if len(fields) != len(columns):
                if not any(field.strip() for field in fields):
                    continue
                hint = "; put a caption with commas in double quotes" if delimiter == "," else ""
                raise MucError(
                    f"{path}, line {number + reader.line_num}: {len(fields)} fields where the first line has "
                    f"{len(columns)}{hint}"
                )
            yield (
                number + reader.line_num,
                [None if place is None else fields[place].strip() or None for place in places],
            )
    except csv.Error as error:
        raise MucError(
            f"{path}, line {number + reader.line_num}: cannot be read ({error}); put a field with quotes or line ends "
            "in double quotes and double the quotes in it"
        ) from error


def _delimiter(header: str, tabs: bool) -> str:
    return "\t" if tabs or header.count("\t") > header.count(",") else ","


def _header(line: str, delimiter: str, path: Path) -> list[str]:
    try:
        columns = [field.strip() for field in next(csv.reader(StringIO(line), delimiter=delimiter, strict=True), [])]
    except csv.Error as error:
        raise MucError(f"{path}, line 1: its names of columns cannot be read ({error})") from error
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise MucError(f"{path} has two columns named {twice!r}; rename one")
    return columns


def _json_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    # nearly all objects of a file have the same keys
    known: dict[tuple[str, ...], list[str | None]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise MucError(f'{where}: not a JSON object; write {{"file": "a.png", "caption": "a bird"}}') from error
        if not isinstance(record, dict):
            raise MucError(f'{where}: not a JSON object; write {{"file": "a.png", "caption": "a bird"}}')
        keys = tuple(record)
        if keys not in known:
            if len(known) == _MOST_KEYS:
                known.clear()
            known[keys] = [find_column(keys, what, str(path)) for what in _COLUMNS]
        values = [
            None if name is None else text_of(record[name], what, where)
            for what, name in zip(_COLUMNS, known[keys], strict=True)
        ]
        if values[0] is None:
            raise MucError(f"{where}: no file of a picture is named; name it as one of {column_names('file')}")
        yield number, values


def _is_json(path: Path) -> bool:
    if path.suffix.lower() in (".csv", ".tsv"):
        return False
    return path.suffix.lower() in _JSON_SUFFIXES or read_head(path, 64).removeprefix(b"\xef\xbb\xbf")[:1] == b"{"


def _recognise(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return path.is_file()
    try:
        first = read_head(path).removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].decode()
        if first.startswith("{"):
            record = json.loads(first)
            return isinstance(record, dict) and bool(find_columns(record, "file"))
        columns = _header(first, _delimiter(first, False), path)
    except (ValueError, RecursionError):
        return False
    return len(columns) > 1 and bool(find_columns(columns, "file"))


register_format(
    DataFormat(
        name="table",
        title="CSV, TSV or JSON lines that name picture files",
        recognise=_recognise,
        open=open_table,
        takes_images=True,
    )
)
