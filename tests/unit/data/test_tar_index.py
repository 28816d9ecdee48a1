"""The index of a tar archive against Python's `tarfile`, and damage that `tarfile` passes over in silence."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muc_core.data.tar_index import looks_like_tar, read_members
from muc_core.errors import MucError
from tests.data_sets import complaint, tar_of

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=150)


def index(tmp_path: Path, content: bytes) -> list[tuple[str, int, int]]:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    return list(read_members(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=8), st.sampled_from(FORMATS[1:]))
def test_it_finds_what_tarfile_finds(tmp_path: Path, files: list[tuple[str, bytes]], form: int) -> None:
    content = tar_of(files, form)
    found = index(tmp_path, content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = archive.getmembers()
    assert found == [(member.name, member.offset_data, member.size) for member in members]
    assert [content[start : start + size] for _, start, size in found] == [data for _, data in files]


def test_long_names_in_ustar(tmp_path: Path) -> None:
    name = "/".join(["folder" * 10] * 3) + "/a.png"
    for form in FORMATS:
        assert index(tmp_path, tar_of([(name, b"x")], form))[0][0] == name


def test_folders_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number, kind in enumerate((tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"m{number}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("last.png"), io.BytesIO())
    assert [name for name, _, _ in index(tmp_path, stream.getvalue())] == ["last.png"]


def test_sizes_beyond_octal(tmp_path: Path) -> None:
    member = tarfile.TarInfo("big.png")
    member.size = 2**40
    header = member.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(MucError, match="cut short in the file at byte 0"):
        index(tmp_path, header + bytes(1024))


SOUND = tar_of([("a.png", b"x" * 700), ("b.png", b"y" * 700)], tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; pack"),
        (b"no tar" * 200, "is no tar archive; pack"),
        (gzip.compress(SOUND), "is compressed, so that no picture can be read on its own"),
        (SOUND[:300], "is cut short; pack or copy"),
        (SOUND[:1000], "is cut short in the file at byte 0"),
        (SOUND[:1536], "is cut short; pack"),  # after a whole file, without the blocks that end an archive
        (SOUND[:1700], "is cut short; pack"),
        (SOUND[:1536] + b"\1" + SOUND[1537:], "is damaged at byte 1,536"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(MucError, match=rf"a\.tar {message}"):
        index(tmp_path, content)


def test_tarfile_would_have_passed_over_a_damaged_header() -> None:
    damaged = SOUND[:1536] + b"\1" + SOUND[1537:]
    with tarfile.open(fileobj=io.BytesIO(damaged)) as archive:
        assert archive.getnames() == ["a.png"]


def _signed(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + f"{sum(blank):06o}\0 ".encode() + blank[156:]


def test_odd_headers(tmp_path: Path) -> None:
    header = SOUND[:512]
    with pytest.raises(MucError, match="a size in it is no number"):
        index(tmp_path, _signed(header[:124] + b"9" * 12 + header[136:]) + bytes(1024))
    with pytest.raises(MucError, match="is not UTF-8; pack it"):
        index(tmp_path, _signed(b"\xff" + header[1:]) + SOUND[512:])
    with pytest.raises(MucError, match="holds a sparse file"):
        index(tmp_path, _signed(header[:156] + b"S" + header[157:]) + SOUND[512:])
    with pytest.raises(MucError, match="is no tar archive"):
        index(tmp_path, header[:148] + b"zzzzzzzz" + header[156:] + SOUND[512:])
    long = tarfile.TarInfo("x")
    long.type, long.size = b"L", 2**21
    with pytest.raises(MucError, match="is damaged at byte 512"):
        index(tmp_path, long.tobuf() + bytes(2**21 + 1024))


@pytest.mark.parametrize("records", [b"x", b"1000 path=a\n", b"0 path=a\n", b"-3 path=a\n", b"12 path=\xff\xff\xff\n"])
def test_damaged_extended_headers(tmp_path: Path, records: bytes) -> None:
    extended = tarfile.TarInfo("x")
    extended.type, extended.size = b"x", len(records)
    content = extended.tobuf(tarfile.USTAR_FORMAT) + records + bytes(512 - len(records)) + SOUND
    with pytest.raises(MucError):
        index(tmp_path, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.binary(max_size=2000), st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=9))
def test_anything_at_all(tmp_path: Path, content: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(SOUND)
    for place, value in changes:
        changed[place] = value
    for candidate in (content, bytes(changed), SOUND[:512] + content):
        members: list[tuple[str, int, int]] = []
        said = complaint(lambda: members.extend(index(tmp_path, candidate)))  # noqa: B023  (called at once)
        assert said is None or "\n" not in said
        assert all(0 < start <= start + size <= len(candidate) for _, start, size in members)


def test_recognition() -> None:
    assert looks_like_tar(SOUND)
    assert looks_like_tar(tar_of([("a", b"")], tarfile.GNU_FORMAT))
    assert not looks_like_tar(b"")
    assert not looks_like_tar(bytes(1024))
