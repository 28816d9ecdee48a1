"""Caption files: `captions.csv`, `.tsv` or `.jsonl`; each line has a file, a caption and perhaps label and owner."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from muc_core.data.dataset import ImageTextDataset, Item
from muc_core.data.files import read_file
from muc_core.data.paths import match_key, name_some
from muc_core.errors import MucError

CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.jsonl")

_COLUMNS = {
    "file": ("file", "filename", "file_name", "image"),
    "caption": ("caption", "text"),
    "label": ("label",),
    "owner": ("owner",),
}
_MOST_PROBLEMS = 20
MAX_BYTES = 64 * 2**20
MAX_LINE = 2**20
MAX_LINES = 10**6


@dataclass(frozen=True, slots=True)
class Caption:
    """What one line says of a file; `line` counts from 1."""

    text: str | None
    label: str | None
    owner: str | None
    line: int


@dataclass(frozen=True)
class CaptionTable:
    """Captions by file as `match_key` writes it, and a sentence for each line that cannot be used."""

    captions: dict[str, Caption]
    problems: tuple[str, ...]


def is_caption_file(path: str) -> bool:
    return path.rsplit("/", 1)[-1].lower() in CAPTION_FILES


def parse_captions(data: bytes, name: str) -> CaptionTable:
    """Read a caption file; its kind is told by the end of its name.

    A byte order mark, any line ends, quoted fields and blank lines are accepted. Lines that cannot be used are left out
    and named among the problems; of two lines for one file the first counts.

    Raises:
        MucError: nothing can be read: not UTF-8, no column for the file or the caption, or more than `MAX_BYTES`,
            `MAX_LINES` or a line of more than `MAX_LINE`.
    """
    _check_size(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MucError(f"{name}, line {line}: not UTF-8 text; save the file with the encoding UTF-8") from error
    rows = _json_rows(text) if name.lower().endswith(".jsonl") else _table_rows(text, name)
    captions: dict[str, Caption] = {}
    problems: list[str] = []
    for line, row in rows:
        try:
            if isinstance(row, MucError):
                raise row
            file, caption = _read_row(row, line)
            if file in captions:
                raise MucError(f"{file} already has the caption of line {captions[file].line}, which is kept")
            captions[file] = caption
        except MucError as error:
            problems.append(f"{name}, line {line}: {error}")
    if len(problems) > _MOST_PROBLEMS:
        rest = len(problems) - _MOST_PROBLEMS
        problems[_MOST_PROBLEMS:] = [f"{name}: {rest:,} more lines could not be used, for reasons like the above"]
    return CaptionTable(captions, tuple(problems))


def _check_size(data: bytes, name: str) -> None:
    if len(data) > MAX_BYTES:
        raise MucError(f"{name} has {len(data) / 2**20:,.0f} MB; caption files up to {MAX_BYTES // 2**20} MB are read")
    if data.count(b"\n") > MAX_LINES:
        raise MucError(f"{name} has more than {MAX_LINES:,} lines; split it and its pictures into several sets")
    start = 0
    while len(data) - start > MAX_LINE:
        end = data.rfind(b"\n", start, start + MAX_LINE)
        if end < 0:
            line = data.count(b"\n", 0, start) + 1
            raise MucError(f"{name}, line {line:,} has more than {MAX_LINE / 2**20:g} MB; is it a file of captions?")
        start = end + 1


def with_captions(dataset: ImageTextDataset, path: Path) -> ImageTextDataset:
    """Pictures with the captions of a file, in place of those they have. Labels and owners stay.

    A line names a picture by its id, or by its bare file name where only one picture is called so.

    Raises:
        MucError: the file cannot be read, or a line of it; a picture has no caption in it.
    """
    table = parse_captions(read_file(path, f"the captions {path}", MAX_BYTES), path.name)
    if table.problems:
        raise MucError(table.problems[0])
    bare = Counter(_bare(file) for file in table.captions)
    by_name = {_bare(file): caption for file, caption in table.captions.items() if bare[_bare(file)] == 1}
    names = Counter(_bare(match_key(item.id)) for item in dataset.items)

    def caption_of(item: Item) -> str | None:
        key = match_key(item.id)
        found = table.captions.get(key)
        if found is None and names[_bare(key)] == 1:
            found = by_name.get(_bare(key))
        return found.text if found else None

    items = [replace(item, text=caption_of(item)) for item in dataset.items]
    missing = [item.id for item in items if not item.text]
    if missing:
        known = name_some(list(table.captions), 3)
        raise MucError(
            f"{path.name} has no caption for {len(missing):,} of the {len(items):,} pictures of {dataset.name!r} "
            f"({name_some(missing, 3)}); it names {known or 'no picture'}: each picture needs a line with its file name"
        )
    return ImageTextDataset(dataset.name, items, dataset.source)


def _bare(path: str) -> str:
    return path.rsplit("/", 1)[-1]


Row = dict[str, object] | MucError


def _read_row(row: dict[str, object], line: int) -> tuple[str, Caption]:
    values: dict[str, str | None] = {}
    for column, aliases in _COLUMNS.items():
        value = next((row[alias] for alias in aliases if row.get(alias) is not None), None)
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise MucError(f"the {column} is {json.dumps(value)[:40]}; a text is needed")
        text = " ".join(str(value).split()) if value is not None else ""
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise MucError(f"the {column} has half of a character (a lone surrogate); write it whole") from error
        values[column] = text or None
    if values["file"] is None:
        raise MucError("no file is named; each line needs the name of a picture")
    return match_key(values["file"]), Caption(values["caption"], values["label"], values["owner"], line)


def _json_rows(text: str) -> Iterator[tuple[int, Row]]:
    # split at line feeds only: str.splitlines would also cut at signs that JSON allows inside a string
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, MucError('not a JSON object; write {"file": "a.png", "caption": "a bird"}')
            continue
        if isinstance(row, dict):
            yield number, {key.strip().lower(): value for key, value in row.items()}
        else:
            yield number, MucError('not a JSON object; write {"file": "a.png", "caption": "a bird"}')


def _table_rows(text: str, name: str) -> Iterator[tuple[int, Row]]:
    tabs = name.lower().endswith(".tsv")
    reader = csv.reader(StringIO(text, newline=""), delimiter="\t" if tabs else ",", strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            fields = [field.strip() for field in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            if header is None:
                raise MucError(f"{name}, line {line}: its header cannot be read ({error})") from error
            yield line, MucError(f"cannot be read ({error}); put a field with quotes or line ends in double quotes")
            continue
        if not any(fields):
            continue
        if header is None:
            header = _check_header([field.lower() for field in fields], name)
        elif any(fields[len(header) :]):
            hint = "" if tabs else "; put a caption with commas in double quotes"
            yield line, MucError(f"{len(fields)} fields where the header has {len(header)}{hint}")
        else:
            yield line, dict(zip(header, fields, strict=False))
    if header is None:
        raise MucError(f"{name} is empty; its first line must name the columns file and caption")


def _check_header(header: list[str], name: str) -> list[str]:
    for column in ("file", "caption"):
        if not set(_COLUMNS[column]) & set(header):
            raise MucError(
                f"{name} has the columns {', '.join(header)[:200]}; its first line must name file and caption"
            )
    for column, aliases in _COLUMNS.items():
        if sum(header.count(alias) for alias in aliases) > 1:
            raise MucError(f"{name} has more than one column for the {column}; keep one of {', '.join(aliases)}")
    return header
