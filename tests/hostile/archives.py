"""Zip archives that unpack to far too much, out of their folder, or to something else than they list."""

import io
import random
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from PIL import Image

from tests.hostile.case import Case, Expected, upload, written
from tests.hostile.pictures import flipped
from tests.hostile.uploads import (
    encode,
    hostile_upload,
    many_members_zip,
    png,
    raw_zip,
    zeros_deflated,
    zip_bomb,
    zipped,
)


def cases() -> Iterator[Case]:
    for name, (make, expected) in _ARCHIVES.items():
        yield Case(f"zip_{name}", "archive", written("archive.zip", make), expected)
        yield upload(f"zip_{name}", "archive.zip", make, expected)
    for seed in range(10):
        yield Case(f"zip_flipped_{seed}", "archive", written("a.zip", partial(_flipped, seed)), "either")
    for percent in (5, 30, 60, 90, 99):
        yield Case(f"zip_cut_at_{percent}_percent", "archive", written("a.zip", partial(_cut, percent)))


def _sound() -> bytes:
    captions = b"file,caption\na.png,a bird\nd/b.png,a cat\n"
    return zipped(("a.png", png(1)), ("d/b.png", png(2)), ("captions.csv", captions))


def _flipped(seed: int) -> bytes:
    return flipped(_sound(), seed)


def _cut(percent: int) -> bytes:
    return _sound()[: len(_sound()) * percent // 100]


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _overlapping(count: int = 5000, megabytes: int = 20) -> bytes:
    """David Fifield's way (WOOT 2019): all entries of the list lead to the same compressed bytes."""
    content, crc, size = zeros_deflated(megabytes), 0, megabytes * 2**20
    crc = zlib.crc32(bytes(size))
    fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 33, crc, len(content), size, 5, 0)
    local = b"PK\x03\x04" + fields + b"a.png" + content
    entries = b"".join(
        b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + f"{n:05}"[:5].encode()
        for n in range(count)
    )
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, count, count, len(entries), len(local), 0)
    return local + entries + end


def _pictures_of_zeros(count: int, side: int) -> bytes:
    """Sound uncompressed pictures, each a thousandth of its size when packed."""
    picture = encode(Image.new("RGB", (side, side)), "BMP")
    content, crc = _deflated(picture), zlib.crc32(picture)
    return raw_zip([(f"{number}.bmp", content, crc, len(picture)) for number in range(count)])


def _nested(depth: int) -> bytes:
    content = zipped(("a.png", png()))
    for _ in range(depth):
        content = zipped(("inner.zip", content))
    return content


def _mode(kind: int, target: bytes = b"/etc/passwd", name: str = "odd.png") -> bytes:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (kind | 0o7777) << 16
    return zipped((member, target), ("good.png", png()))


def _link_then_through() -> bytes:
    link = zipfile.ZipInfo("folder")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zipped((link, b"../.."), ("folder/evil.png", png()))


def _method(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("a.png", bytes(2**20))
    return stream.getvalue()


def _patched(change: Callable[[bytearray], None]) -> bytes:
    content = bytearray(_sound())
    change(content)
    return bytes(content)


def _at_end(offset: int, form: str, *values: int) -> Callable[[], bytes]:
    """A sound archive in whose end of the list something else is written."""

    def change(content: bytearray) -> None:
        struct.pack_into(form, content, content.rindex(b"PK\x05\x06") + offset, *values)

    return lambda: _patched(change)


def _in_list(offset: int, form: str, *values: int) -> Callable[[], bytes]:
    def change(content: bytearray) -> None:
        struct.pack_into(form, content, content.index(b"PK\x01\x02") + offset, *values)

    return lambda: _patched(change)


def _zip64() -> bytes:
    end = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**62, 2**62, 2**62, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    return end + locator + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)


def _other_local_name() -> bytes:
    content = bytearray(zipped(("good.png", png())))
    content[30:38] = b"evil.png"
    return bytes(content)


def _extra_path() -> bytes:
    """The Info-ZIP Unicode path (APPNOTE 4.6.9) says another name than the entry."""
    member = zipfile.ZipInfo("a.png")
    told = b"\x01" + struct.pack("<L", zlib.crc32(b"a.png")) + b"../../evil.png"
    member.extra = struct.pack("<HH", 0x7075, len(told)) + told
    return zipped((member, png()))


def _with_comment() -> bytes:
    """The comment is itself the end of an archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", png())
        archive.comment = b"PK\x05\x06" + bytes(18)
    return stream.getvalue()


def _same_name() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zipped(*[("a.png", png(number % 7)) for number in range(2000)])


def _quine_like() -> bytes:
    """An archive that holds itself as far as it can: a stored archive of a stored archive, names and all."""
    content = _sound()
    for _ in range(30):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("again.zip", content)
        content = stream.getvalue()
    return content


def _caption_bomb() -> bytes:
    """A caption file that is small only as long as it is packed."""
    lines = b'{"file": "a.png", "caption": [' + b"[],[]," * 15_000_000 + b"0]}"
    return raw_zip(
        [
            ("a.png", _deflated(png()), zlib.crc32(png()), len(png())),
            ("captions.jsonl", _deflated(lines), zlib.crc32(lines), len(lines)),
        ]
    )


def _noise() -> bytes:
    return b"PK\x03\x04" + random.Random(0).randbytes(100_000) + b"PK\x05\x06" + bytes(18)


_ARCHIVES: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "sound": (_sound, "used"),
    "bomb_10_gb": (zip_bomb, "refused"),
    "bomb_overlapping": (_overlapping, "refused"),
    "bomb_of_pictures": (lambda: _pictures_of_zeros(8, 6600), "either"),
    "bomb_of_small_pictures": (lambda: _pictures_of_zeros(3000, 400), "either"),
    "bomb_of_captions": (_caption_bomb, "refused"),
    "bomb_one_member": (lambda: hostile_upload("zip_one_huge")[1], "refused"),
    "nested_once": (lambda: _nested(1), "refused"),
    "nested_200_deep": (lambda: _nested(200), "refused"),
    "nested_in_itself": (_quine_like, "refused"),
    "many_members": (many_members_zip, "refused"),
    "many_folders": (lambda: raw_zip([(f"{n}/", b"\x03\x00", 0, 0) for n in range(9000)]), "refused"),
    "many_of_one_name": (_same_name, "either"),
    "symlink": (lambda: _mode(stat.S_IFLNK), "refused"),
    "symlink_named_zip": (lambda: _mode(stat.S_IFLNK, b"../a.zip", "b.zip"), "refused"),
    "symlink_then_through": (_link_then_through, "refused"),
    "device": (lambda: _mode(stat.S_IFCHR), "refused"),
    "pipe": (lambda: _mode(stat.S_IFIFO), "refused"),
    "set_uid": (lambda: _mode(stat.S_IFREG, png()), "used"),
    "bzip2": (lambda: _method(zipfile.ZIP_BZIP2), "refused"),
    "lzma": (lambda: _method(zipfile.ZIP_LZMA), "refused"),
    "method_99": (_in_list(10, "<H", 99), "refused"),
    "version_99": (_in_list(6, "<H", 99), "either"),
    "offset_behind_the_end": (_in_list(42, "<L", 2**31), "refused"),
    "name_longer_than_the_list": (_in_list(28, "<H", 65_535), "refused"),
    "size_4_gb": (_in_list(24, "<L", 2**32 - 2), "either"),
    "size_zero": (_in_list(24, "<L", 0), "refused"),
    "wrong_checksum": (_in_list(16, "<L", 1), "refused"),
    "count_65534": (_at_end(8, "<HH", 65_534, 65_534), "either"),
    "count_0": (_at_end(8, "<HH", 0, 0), "either"),
    "list_of_4_gb": (_at_end(12, "<L", 2**32 - 2), "refused"),
    "list_at_4_gb": (_at_end(16, "<L", 2**32 - 2), "refused"),
    "second_disk": (_at_end(4, "<HH", 1, 1), "either"),
    "zip64_lies": (_zip64, "refused"),
    "local_name_differs": (_other_local_name, "refused"),
    "unicode_path_differs": (_extra_path, "either"),
    "end_in_the_comment": (_with_comment, "either"),
    "noise": (_noise, "refused"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\x00" + bytes(200), "refused"),
    "seven_zip": (lambda: b"7z\xbc\xaf'\x1c" + bytes(200), "refused"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(200), "refused"),
}
