"""Zip archives: nothing outside, nothing hidden, nothing endless."""

import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muc_core.data import archives
from muc_core.data.archives import read_archive
from muc_core.errors import MucError
from tests.hostile import hostile_upload, png, raw_zip, zeros_deflated, zip_bomb, zipped


def members(archive: bytes | Path, name: str = "up.zip") -> tuple[dict[str, bytes], list[str]]:
    good: dict[str, bytes] = {}
    refused = []
    for path, content in read_archive(archive, name):
        if isinstance(content, MucError):
            refused.append(str(content))
        else:
            good[path] = content
    return good, refused


def test_reads_files_and_passes_over_clutter(tmp_path: Path) -> None:
    archive = zipped(
        ("a.png", b"1"), ("birds/", b""), ("birds\\", b""), ("birds/b.png", b"2"), ("./c//d.png", b"3"),
        ("e\\f.png", b"4"), ("__MACOSX/._a.png", b"x"), (".DS_Store", b"x"), ("birds/.hidden.png", b"x"),
        ("Thumbs.db", b"x"),
    )  # fmt: skip
    expected = {"a.png": b"1", "birds/b.png": b"2", "c/d.png": b"3", "e/f.png": b"4"}
    assert members(archive) == (expected, [])
    (tmp_path / "up.zip").write_bytes(archive)
    assert members(tmp_path / "up.zip") == (expected, [])


@pytest.mark.parametrize(
    ("case", "reasons"),
    [
        ("zip_climbs", ["points outside its folder"] * 2),
        ("zip_climbs_backslash", ["points outside its folder"]),
        ("zip_absolute", ["points outside its folder"] * 2),
        ("zip_symlink", ["link.png is a link or a device"]),
        ("zip_encrypted", ["secret.png is encrypted"]),
        ("zip_nested", ["inner.zip is an archive within the archive"]),
        ("zip_wrong_size", ["a.png is damaged"]),
        ("zip_bzip2", ["a.png is compressed in an unusual way"]),
    ],
)
def test_members_are_refused_one_by_one(case: str, reasons: list[str]) -> None:
    name, archive = hostile_upload(case)
    good, refused = members(archive, name)
    assert good == {}
    assert len(refused) == len(reasons)
    for sentence, reason in zip(refused, reasons, strict=True):
        assert sentence.startswith(f"in {name}: ")
        assert reason in sentence


def test_other_members_go_on() -> None:
    archive = zipped(("../a.png", b"x"), ("inner.zip", b"x"), ("b.png", b"good"))
    good, refused = members(archive)
    assert good == {"b.png": b"good"}
    assert len(refused) == 2


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("zip_not_a_zip", r"^fake\.zip is not a zip archive"),
        ("zip_truncated", r"^cut\.zip is not a zip archive"),
        ("zip_many_members", r"^many\.zip holds more than 10,000 files"),
    ],
)
def test_whole_archives_are_refused(case: str, message: str) -> None:
    name, archive = hostile_upload(case)
    with pytest.raises(MucError, match=message):
        members(archive, name)


def test_ten_thousand_members_are_accepted() -> None:
    archive = raw_zip([(f"{number}.png", b"\x03\x00", 0, 0) for number in range(10_000)])
    assert len(members(archive)[0]) == 10_000


def test_a_list_of_millions_is_refused_without_parsing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = raw_zip([(f"{number:0400}.png", b"\x03\x00", 0, 0) for number in range(30_000)])

    def never(archive: object) -> zipfile.ZipFile:
        raise AssertionError("parsed")

    monkeypatch.setattr(zipfile, "ZipFile", never)
    with pytest.raises(MucError, match="holds more than 10,000 files"):
        members(archive)


def test_ten_gigabytes_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = 0
    read = zipfile.ZipExtFile.read

    def count(stream: zipfile.ZipExtFile, size: int | None = -1) -> bytes:
        nonlocal unpacked
        content = read(stream, size)
        unpacked += len(content)
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "read", count)
    archive = zip_bomb(members=100, megabytes=100)
    assert len(archive) < 20 * 2**20
    good = 0
    for path, content in read_archive(archive, "bomb.zip"):
        if isinstance(content, MucError):
            last = (path, str(content))
        else:
            good += 1
    assert good == 6
    assert last == ("bomb.zip", "bomb.zip unpacks to more than 512 MB; its last 95 files were left out")
    assert unpacked <= archives.MAX_UNPACKED_BYTES + 1


def test_one_huge_member_is_refused_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 2**20)
    huge, crc = zeros_deflated(4), zlib.crc32(bytes(4 * 2**20))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = packer.compress(b"good") + packer.flush()
    archive = raw_zip([("a.png", huge, crc, 4 * 2**20), ("b.png", small, zlib.crc32(b"good"), 4)])
    assert members(archive) == (
        {"b.png": b"good"},
        ["in up.zip: a.png unpacks to more than 1 MB; smaller files are accepted"],
    )


def test_damaged_members_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # each has a wrong checksum, which shows only after all of it has been unpacked
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 10 * 2**20)
    archive = raw_zip([(f"{number}.png", zeros_deflated(4), 0, 4 * 2**20) for number in range(50)])
    start = time.perf_counter()
    good, refused = members(archive)
    assert good == {}
    assert len(refused) == 3
    assert refused[-1].endswith("its last 48 files were left out")
    assert time.perf_counter() - start < 5


def test_names_in_utf8_that_do_not_say_so() -> None:
    archive = zipped(("cafe.png", b"1"), ("kühe.png", b"2"))
    unflagged = archive.replace(b"cafe.png", "cé!.png".encode())
    assert members(unflagged) == ({"cé!.png": b"1", "kühe.png": b"2"}, [])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet="ab./\\:C ~é", min_size=1, max_size=10), max_size=5))
def test_no_member_gets_out(names: list[str]) -> None:
    archive = zipped(*((name, b"x") for name in names))
    for path, content in read_archive(archive, "up.zip"):
        if not isinstance(content, MucError):
            assert not PurePosixPath(path).is_absolute()
            assert not set(PurePosixPath(path).parts) & {"..", "."}
            assert not path.startswith("C:/")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_members_or_sentences(data: st.DataObject) -> None:
    archive = bytearray(zipped(("a.png", png()), ("b/c.png", png(1))))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    found: list[bytes | MucError] = []
    try:
        found += [content for _, content in read_archive(bytes(archive), "up.zip")]
    except MucError as error:
        found.append(error)
    assert len(found) <= 3
    assert all(isinstance(content, bytes) or "up.zip" in str(content) for content in found)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(MucError, match=r"up\.zip cannot be read: No such file"):
        members(tmp_path / "none.zip")
