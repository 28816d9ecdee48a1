"""What lies where in a tar archive, read from its headers alone.

Python's `tarfile` takes a damaged header for the end of the archive and says nothing; here damage is an error.
Understood are ustar, GNU and pax archives (POSIX.1-2017, pax) with ordinary files.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from muc_core.errors import MucError

_BLOCK = 512
_MOST_EXTRA = 2**20
_FILES = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


def looks_like_tar(head: bytes) -> bool:
    """Whether a file that begins like this is a tar archive."""
    return head[257:262] == b"ustar"


def read_members(path: Path) -> Iterator[tuple[str, int, int]]:
    """The ordinary files in an archive as (name, offset, size), in their order; folders and links are passed over.

    Raises:
        MucError: the archive cannot be read, is compressed, damaged, cut short or no tar at all.
    """
    try:
        with path.open("rb") as stream:
            yield from _members(stream, path)
    except OSError as error:
        raise MucError(f"{path} cannot be read: {error.strerror or error}") from error


def _members(stream: BinaryIO, path: Path) -> Iterator[tuple[str, int, int]]:
    length = stream.seek(0, 2)
    position = 0
    extra: dict[str, str] = {}
    while True:
        stream.seek(position)
        header = stream.read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        if position == 0 and (header[:2] == b"\x1f\x8b" or header[:3] == b"BZh" or header[:6] == b"\xfd7zXZ\0"):
            raise MucError(
                f"{path} is compressed, so that no picture can be read on its own; unpack it to a plain .tar"
            )
        if len(header) < _BLOCK:
            raise MucError(f"{path} {'is empty' if length == 0 else 'is cut short'}; pack or copy it again")
        if not _sum_is_right(header):
            what = "is no tar archive" if position == 0 else f"is damaged at byte {position:,}"
            raise MucError(f"{path} {what}; pack or copy it again")
        kind = header[156:157]
        start = position + _BLOCK
        stated = extra.get("size", "")
        size = int(stated) if re.fullmatch("[0-9]{1,19}", stated) else _number(header[124:136], path)
        if kind in _WITHOUT_DATA:
            size = 0
        if start + size > length:
            raise MucError(f"{path} is cut short in the file at byte {position:,}; pack or copy it again")
        position = start + -(-size // _BLOCK) * _BLOCK
        if kind in (b"x", b"L", b"K", b"g"):
            if size > _MOST_EXTRA:
                raise MucError(f"{path} is damaged at byte {start:,}; pack or copy it again")
            content = stream.read(size)
            if kind == b"x":
                extra |= _pax(content, path)
            elif kind == b"L":
                extra["path"] = _text(content.rstrip(b"\0"), path)
            continue
        if kind == b"S" or any(key.startswith("GNU.sparse.") for key in extra):
            raise MucError(f"{path} holds a sparse file, whose bytes do not lie in one piece; pack it without --sparse")
        if kind in _FILES:
            yield extra.get("path") or _name(header, path), start, size
        extra = {}


def _sum_is_right(header: bytes) -> bool:
    try:
        stated = int(header[148:156].strip(b" \0") or b"-1", 8)
    except ValueError:
        return False
    # its own eight bytes count as spaces
    return stated == sum(header) - sum(header[148:156]) + 8 * 0x20


def _number(field: bytes, path: Path) -> int:
    if field[0] & 0x80:  # GNU's way to write sizes of 8 GB and more
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise MucError(f"{path} is damaged: a size in it is no number; pack or copy it again")
    return int(digits or b"0", 8)


def _pax(content: bytes, path: Path) -> dict[str, str]:
    """Records "length key=value\\n" of an extended header."""
    records: dict[str, str] = {}
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 5 <= int(length) <= len(content):
            raise MucError(f"{path} is damaged: an extended header in it cannot be read; pack or copy it again")
        key, equals, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if equals and (key in (b"path", b"size") or key.startswith(b"GNU.sparse.")):
            records[_text(key, path)] = _text(value, path)
        content = content[int(length) :]
    return records


def _name(header: bytes, path: Path) -> str:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name, path)


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MucError(f"{path}: the name {raw[:60]!r} in it is not UTF-8; pack it with names in UTF-8") from error
