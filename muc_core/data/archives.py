"""Zip archives from strangers: members are checked before they are read, and unpacked within limits.

Nothing is written to disk, and a member's stated size is not believed: what counts is the bytes that come out.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from muc_core.data.decode import MAX_FILE_BYTES
from muc_core.data.paths import clean_path, is_clutter
from muc_core.errors import MucError

MAX_MEMBERS = 10_000
MAX_UNPACKED_BYTES = 512 * 2**20
"""Of all archives that come together; what is unpacked is held in memory."""

_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
_MOST_BYTES_A_MEMBER = 1024
"""An entry in the list of members takes 46 bytes and the member's name; no honest list needs more on average."""


def read_archive(archive: bytes | Path, name: str, *, before: int = 0) -> Iterator[tuple[str, bytes | MucError]]:
    """The members of a zip as (path, bytes), or (path, the error that says why this one is refused).

    Folders, dotfiles and what operating systems add are passed over. When more than `MAX_UNPACKED_BYTES`
    are unpacked, the `before` bytes of earlier archives among them, the last pair carries the archive's own name and an
    error, and the rest is left out.

    Raises:
        MucError: not a zip, damaged as a whole, or more than `MAX_MEMBERS` members.
    """
    with _open(archive, name) as packed:
        members = [member for member in packed.infolist() if not _name_of(member).endswith(("/", "\\"))]
        unpacked = before
        for position, member in enumerate(members):
            shown = _name_of(member)
            most = min(MAX_FILE_BYTES, MAX_UNPACKED_BYTES - unpacked)
            try:
                path = clean_path(shown)
                if is_clutter(path):
                    continue
                _check(member, path)
                data = _unpack(packed, member, path, most)
            except _Damaged as error:
                # zipfile unpacks no more than the stated size, and that much may have been unpacked before it failed
                unpacked += min(member.file_size, most + 1)
                yield path, MucError(f"in {name}: {error}")
            except MucError as error:
                yield shown, MucError(f"in {name}: {error}")
            else:
                unpacked += len(data)
                if len(data) <= most:
                    yield path, data
                elif unpacked <= MAX_UNPACKED_BYTES:
                    limit = f"{MAX_FILE_BYTES / 2**20:g} MB"
                    yield path, MucError(f"in {name}: {path} unpacks to more than {limit}; smaller files are accepted")
            if unpacked > MAX_UNPACKED_BYTES:
                what = f"{name} unpacks" if not before else f"{name} and the archives before it unpack"
                limit, rest = f"{MAX_UNPACKED_BYTES / 2**20:g} MB", len(members) - position
                yield name, MucError(f"{what} to more than {limit}; its last {rest:,} files were left out")
                return


class _Damaged(MucError):
    """A member that cannot be unpacked."""


def _open(archive: bytes | Path, name: str) -> zipfile.ZipFile:
    try:
        with BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb") as stream:
            directory_bytes = _directory_bytes(stream)
        if directory_bytes <= MAX_MEMBERS * _MOST_BYTES_A_MEMBER:
            packed = zipfile.ZipFile(BytesIO(archive) if isinstance(archive, bytes) else archive)
            if len(packed.infolist()) <= MAX_MEMBERS:
                return packed
            packed.close()
    except OSError as error:
        raise MucError(f"{name} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise MucError(f"{name} is not a zip archive, or it is damaged; pack and upload it again") from error
    raise MucError(f"{name} holds more than {MAX_MEMBERS:,} files; split it into several archives")


def _directory_bytes(stream: BinaryIO) -> int:
    """Size of the list of members as the archive states it (APPNOTE 4.3.14 and 4.3.16), 0 when it states none.

    `zipfile` parses that whole list on opening, so a list of millions of members must be refused before.
    """
    length = stream.seek(0, 2)
    stream.seek(max(0, length - 2**16 - 128))
    tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    end64 = tail.rfind(b"PK\x06\x06", 0, max(end, 0))
    sizes = [0]
    if 0 <= end <= len(tail) - 22:
        sizes += [size for size in struct.unpack_from("<L", tail, end + 12) if size != 0xFFFFFFFF]
    if 0 <= end64 <= len(tail) - 56:
        sizes += struct.unpack_from("<Q", tail, end64 + 40)
    return max(sizes)


def _name_of(member: zipfile.ZipInfo) -> str:
    """The member's name; many programs store UTF-8 without saying so, which `zipfile` reads as code page 437."""
    if member.flag_bits & _UTF8_NAME:
        return member.orig_filename
    try:
        return member.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return member.orig_filename


def _check(member: zipfile.ZipInfo, path: str) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise MucError(f"{path} is a link or a device; only ordinary files are accepted")
    if member.flag_bits & _ENCRYPTED:
        raise MucError(f"{path} is encrypted; archives without a password are accepted")
    if path.lower().endswith(".zip"):
        raise MucError(f"{path} is an archive within the archive; unpack it and upload its pictures")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MucError(f"{path} is compressed in an unusual way; ordinary (deflated) zip archives are accepted")


def _unpack(packed: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, most: int) -> bytes:
    """The member's bytes, of which at most `most` + 1 are unpacked."""
    try:
        with packed.open(member) as stream:
            return stream.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _Damaged(f"{path} is damaged and cannot be unpacked; pack and upload it again") from error
