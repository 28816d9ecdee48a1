"""The zip of an evidence pack, in one canonical form: the same files give the same bytes, so that no byte is free.

Files are stored as they are. Nothing can therefore unpack to more than the size of the zip, and nothing is written to
disk: names of members are compared, never used as paths.
"""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from muc_core.errors import MucError
from muc_core.evidence.manifest import FILES

MAX_BYTES = 256 * 2**20
_MOST_BYTES_OF_JSON = 16 * 2**20
"""Of the manifest and the result; a hostile megabyte of JSON takes some 30 when it is read."""
_MOST_BYTES_OF_THE_LIST = 4096
_END = struct.Struct("<4s4H2LH")
"""End of the list of members, APPNOTE 4.3.16, without a comment."""

_END64 = b"PK\x06\x07"


@dataclass(frozen=True)
class Container:
    """The files that could be read, and what is wrong with the rest: one sentence each."""

    files: Mapping[str, bytes]
    problems: tuple[str, ...]


def write_container(files: Mapping[str, bytes]) -> bytes:
    """The zip of all `FILES`. Raises `MucError` for more than `MAX_BYTES`."""
    stream = _written(files)
    if stream.tell() > MAX_BYTES:
        raise MucError(
            f"the evidence takes {stream.tell() / 2**20:,.0f} MB, and a pack holds up to {MAX_BYTES / 2**20:.0f}; take "
            "fewer controls (--match) or fewer views"
        )
    return stream.getvalue()


def _written(files: Mapping[str, bytes]) -> BytesIO:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name in FILES:
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o100644 << 16
            packed.writestr(member, files[name])
    stream.seek(0, 2)
    return stream


def read_container(data: bytes) -> Container:
    """The files of a zip that may come from anyone. Raises `MucError` when it is no evidence pack."""
    if len(data) > MAX_BYTES:
        raise MucError(f"it has more than {MAX_BYTES / 2**20:.0f} MB; no evidence pack is that large")
    _check_list(data)
    files: dict[str, bytes] = {}
    problems: list[str] = []
    try:
        with zipfile.ZipFile(BytesIO(data)) as packed:
            members = packed.infolist()
            _check_names([member.orig_filename for member in members])
            for member in members:
                if member.filename.endswith(".json") and member.file_size > _MOST_BYTES_OF_JSON:
                    most = _MOST_BYTES_OF_JSON // 2**20
                    raise MucError(f"{member.filename} has more than {most} MB; that of no evidence pack does")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise MucError(f"{member.filename} is compressed; a pack's files are stored as they are")
                try:
                    files[member.filename] = packed.read(member)
                except _DAMAGE:
                    problems.append(f"{member.filename} was changed: its checksum in the zip does not fit")
    except MucError:
        raise
    except _DAMAGE as error:
        raise MucError("it is not a zip archive, or its list of files was changed") from error
    # compared in place: a copy more would take as much memory again
    if not problems and _written(files).getbuffer() != data:
        problems.append("the zip was changed between its files: it is not as an evidence pack is written")
    return Container(files, tuple(problems))


_DAMAGE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
)


def _check_list(data: bytes) -> None:
    """The list of members must be small and at the end before `zipfile` may look at it: it parses all of it at once."""
    if len(data) < _END.size or not data.startswith(b"PK"):
        raise MucError("it is not a zip archive, or its beginning was changed")
    mark, *_, count, length, _, comment = _END.unpack(data[-_END.size :])
    if mark != b"PK\x05\x06" or comment or length > _MOST_BYTES_OF_THE_LIST or count > len(FILES):
        if count > len(FILES) and mark == b"PK\x05\x06":
            raise MucError(f"it lists {count:,} files; an evidence pack has {len(FILES)}")
        raise MucError("its list of files was changed, or something was added behind it")
    if _END64 in data[-_END.size - 20 : -_END.size]:
        raise MucError("it is written as a zip of many gigabytes; no evidence pack is")


def _check_names(names: list[str]) -> None:
    for name in names:
        if name not in FILES:
            raise MucError(f"it holds {name[:100]!r}, which no evidence pack does")
    for name in FILES:
        if names.count(name) != 1:
            raise MucError(f"{name} is {'missing' if name not in names else 'there more than once'}")
    if tuple(names) != FILES:
        raise MucError(f"its files are in another order than {', '.join(FILES)}")
