"""Evidence packs: what holds, that no byte can change unseen, and what strangers may send instead."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load, save

from muc_core.audit.audit import AuditSettings
from muc_core.audit.result import Mode
from muc_core.data.ingest import ingest_folder, usable_dataset
from muc_core.errors import MucError
from muc_core.evidence import container
from muc_core.evidence.container import read_container
from muc_core.evidence.keys import new_key
from muc_core.evidence.manifest import FILES, check_size, read_manifest
from muc_core.evidence.pictures import merkle_root, picture_digests
from muc_core.evidence.verify import Verification, pictures_meant, verify_pack
from muc_core.reports.evidence import write_reports
from muc_core.similarity import Similarity
from tests.unit.evidence.pack import CONTROLS, KEY, OWNER, TITLE, inputs, pack, pictures, signed_anew


def verified(data: bytes) -> Verification:
    return verify_pack(data, public_key=KEY.public_key(), write_reports=write_reports)


def problem(data: bytes) -> str:
    found = verified(data)
    assert not found.verified
    assert len(found.problems) == 1
    return found.problems[0]


def files() -> dict[str, bytes]:
    return dict(read_container(pack()).files)


@pytest.mark.parametrize("mode", ["image-text", "two-view"])
def test_a_pack_holds_and_gives_back_the_result(mode: Mode) -> None:
    found = verified(pack(mode))
    assert found.problems == ()
    assert found.result == inputs(mode).result()
    assert found.manifest is not None
    assert found.manifest.title == TITLE
    assert any("checks, collateral" in note for note in found.notes)
    assert not any("--public-key" in note for note in found.notes)
    assert any("--public-key" in note for note in verify_pack(pack(mode)).notes)


@pytest.mark.parametrize("mode", ["image-text", "two-view"])
def test_statistics_by_distance_are_computed_again_by_distance(mode: Mode) -> None:
    how = Similarity("lorentz", 0.5)
    found = verified(pack(mode, how))
    assert found.problems == ()
    assert found.result == inputs(mode, how).result() != inputs(mode).result()
    assert found.manifest is not None
    assert found.manifest.similarities == {"before": how, "after": how}
    assert verified(pack(mode)).manifest.similarities == {}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"after": {"name": "cosine"}}, "but the vectors give"),
        ({"after": {"name": "lorentz", "curvature": 2.0}}, "but the vectors give"),
        ({"after": {"name": "lorentz", "curvature": -1.0}}, "give a number above 0"),
        ({"after": {"name": "lorentz"}}, "give a number above 0"),
        ({"after": {"name": "euclid"}}, "similarities"),
        ({"after": {"name": "lorentz", "curvature": 1.0, "more": 1}}, "similarities"),
        ({"elsewhere": {"name": "cosine"}}, "similarities"),
    ],
)
def test_another_similarity_than_the_one_used_is_found(told: dict[str, object], sentence: str) -> None:
    packed = dict(read_container(pack("image-text", Similarity("lorentz", 0.5))).files)
    assert sentence in problem(signed_anew(packed, {"similarities": told}))


@cache
def places() -> dict[str, range]:
    """Where the content of each file lies in the pack."""
    with zipfile.ZipFile(io.BytesIO(pack())) as packed:
        found = {}
        for member in packed.infolist():
            start = member.header_offset + 30 + len(member.filename)
            found[member.filename] = range(start, start + member.file_size)
        return found


def flipped(position: int, bits: int) -> bytes:
    changed = bytearray(pack())
    changed[position] ^= bits
    return bytes(changed)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(FILES), st.integers(1, 255))
def test_any_changed_byte_is_found_and_its_file_named(data: st.DataObject, name: str, bits: int) -> None:
    place = places()[name]
    assert name in problem(flipped(data.draw(st.integers(place.start, place.stop - 1)), bits))


@pytest.mark.parametrize("name", FILES)
def test_the_first_and_the_last_byte_of_every_file_count_and_every_bit_of_them(name: str) -> None:
    for position in (places()[name].start, places()[name].stop - 1):
        for bit in range(8):
            assert name in problem(flipped(position, 1 << bit)), (position, bit)


def test_every_byte_between_the_files_counts() -> None:
    """Headers of members, the list of them, and its end: whatever is no file's content."""
    inside = {position for place in places().values() for position in place}
    between = [position for position in range(len(pack())) if position not in inside]
    assert len(between) > 7 * (30 + 46) + 22
    for position in between:
        for bits in (0x01, 0x80, 0xFF):
            assert not verified(flipped(position, bits)).verified, (position, bits)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(pack()) - 1), st.binary(max_size=30))
def test_a_pack_cut_short_or_continued_is_found(length: int, more: bytes) -> None:
    assert not verified(pack()[:length] + more).verified
    assert not verified(pack() + more + b"\0").verified
    assert not verified(more + b"\0" + pack()).verified


@pytest.mark.parametrize("name", FILES)
def test_a_file_put_in_place_of_another_is_named(name: str) -> None:
    changed = files()
    changed[name] = changed[name][:-1] + bytes([changed[name][-1] ^ 1])
    assert name in problem(container.write_container(changed))


def test_another_key_is_refused() -> None:
    found = verify_pack(pack(), public_key=new_key().public_key())
    assert "not that of the given public key" in found.problems[0]
    assert "not that of the key in the pack" in verify_pack(_with("manifest.sig", bytes(64))).problems[0]
    assert "holds no public key" in verify_pack(_with("public-key.pem", b"-----BEGIN")).problems[0]


def _with(name: str, content: bytes) -> bytes:
    return container.write_container({**files(), name: content})


def _result(change: Callable[[dict[str, object]], object]) -> bytes:
    told = json.loads(files()["result.json"])
    change(told)
    return signed_anew({**files(), "result.json": json.dumps(told).encode()})


def _set(place: str, value: object) -> Callable[[dict[str, object]], object]:
    def change(told: dict[str, object]) -> None:
        *path, last = place.split(".")
        inner: object = told
        for key in path:
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]  # type: ignore[index]
        inner[last] = value  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("findings.trace.p", 0.5),
        ("findings.trace.effect.low", -9.0),
        ("items.0.q", 0.123),
        ("items.0.id", "other.png"),
        ("n_controls", 100),
        ("rule", "Because I say so."),
        ("alpha", 0.01),
        ("delta", 0.4999),
        ("warnings", []),
        ("checks.1.passed", False),
        ("checks.1.value", "similarity with other pictures' captions: +0.00 of the controls' spread, p = .900"),
    ],
)
def test_a_signer_cannot_tell_other_statistics_than_the_vectors_give(place: str, value: object) -> None:
    told = problem(_result(_set(place, value)))
    assert place.split(".")[0] in told
    assert "the vectors give" in told


def test_a_signer_cannot_tell_another_verdict() -> None:
    honest = inputs().result().verdict
    told = problem(_result(_set("verdict", "over-forgotten" if honest != "over-forgotten" else "forgotten")))
    assert told.startswith("verdict in result.json is")


def test_reports_that_are_written_otherwise_by_now_are_not_compared_and_it_is_said() -> None:
    found = verified(signed_anew(files(), {"report_form": "0" * 64}))
    assert found.verified
    assert any("was not compared" in note for note in found.notes)
    assert not any("was not compared" in note for note in verified(pack()).notes)
    assert any("was not compared" in note for note in verify_pack(pack()).notes)


@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_a_report_that_says_something_else_is_found(name: str) -> None:
    assert f"{name} is not the report of" in problem(signed_anew({**files(), name: b"<h1>Forgotten</h1>"}))


def test_rounding_on_another_processor_is_no_change() -> None:
    effect = inputs().result().findings["like never-seen"].effect.value
    assert verified(_result(_set("findings.like never-seen.effect.value", effect + 1e-9))).verified


def _vectors(**changed: np.ndarray | None) -> bytes:
    parts = load(files()["vectors.safetensors"])
    for name, part in changed.items():
        key = name.replace("_", "/")
        if part is None:
            del parts[key]
        else:
            parts[key] = part
    return signed_anew({**files(), "vectors.safetensors": save(parts)})


ITEMS = OWNER + CONTROLS
NAN = np.full((2, ITEMS, 6), np.nan, np.float32)
ZERO = np.zeros((2, ITEMS, 6), np.float32)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (_vectors(after_views=NAN), "not finite"),
        (_vectors(after_views=ZERO), "a picture vector of zeros"),
        (_vectors(after_views=ZERO.astype(np.float64)), "float64 of shape"),
        (_vectors(after_views=ZERO[:0]), "float32 of shape (0, 32, 6)"),
        (_vectors(after_views=ZERO[:, 1:]), "with 32 items is expected"),
        (_vectors(after_views=np.full_like(ZERO, 3e38)), "cannot be computed"),
        (_vectors(after_views=load(files()["vectors.safetensors"])["before/views"]), "the vectors give"),
        (_vectors(after_texts=None), "holds other parts than"),
        (_vectors(more_views=ZERO), "holds other parts than"),
        (signed_anew({**files(), "vectors.safetensors": struct.pack("<Q", 2**60) + b"{}"}), "cannot be read"),
        (signed_anew({**files(), "vectors.safetensors": b""}), "cannot be read"),
        (signed_anew({**files(), "result.json": b"[" * 100_000}), "is not the result of an audit"),
        (signed_anew({**files(), "result.json": b"\xff{}"}), "is not the result of an audit"),
        (signed_anew(files(), {"schema_version": 1}), "is not the manifest"),
        (signed_anew(files(), {"surprise": 1}), "is not the manifest"),
        (signed_anew(files(), {"encoders": {}}), "the encoder after is not named"),
        (signed_anew(files(), {"merkle_root": "0" * 64}), "Merkle root"),
        (signed_anew(files(), {"owner": [], "controls": []}), "Merkle root"),
        (signed_anew(files(), {"owner": [{"id": "a", "digest": "0" * 64}] * 30_000}), "more than an evidence pack"),
        (signed_anew(files(), {"settings": {"permutations": 10**9}}), "is not the manifest"),
        (signed_anew(files(), {"settings": {"permutations": 999}}), "the vectors give"),
        (signed_anew(files(), {"warnings": ["All is well."]}), "warnings"),
    ],
)
def test_a_lying_pack_that_is_signed_ends_in_a_sentence(data: bytes, sentence: str) -> None:
    assert sentence in problem(data)


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: b"", "not a zip"),
        (lambda: b"PK", "not a zip"),
        (lambda: b"PK" + bytes(1000), "list of files was changed"),
        (lambda: zipped([("../../etc/passwd", b"x")]), "it holds '../../etc/passwd'"),
        (lambda: zipped([("/" + "a" * 5000, b"x")]), "list of files was changed"),
        (lambda: zipped(list(files().items())[:-1]), "report.pdf is missing"),
        (lambda: zipped([*list(files().items())[:-1], ("manifest.json", b"{}")]), "manifest.json is there more than"),
        (lambda: zipped([*files().items(), ("extra", b"x")]), "it lists 8 files"),
        (lambda: zipped([(f"{i}", b"") for i in range(70_000)]), "it is written as a zip of many gigabytes|it lists"),
        (lambda: zipped(list(files().items())[::-1]), "another order"),
        (lambda: zipped(list(files().items())), "changed between its files"),
        (
            lambda: zipped([(name, bytes(10**8) if name == "report.html" else b"") for name in FILES], 8),
            "manifest.json is compressed",
        ),
        (lambda: zipped([(name, b"") for name in FILES], zipfile.ZIP_LZMA), "is compressed"),
    ],
)
def test_a_hostile_zip_ends_in_a_sentence(make: Callable[[], bytes], sentence: str) -> None:
    told = problem(make())
    assert any(part in told for part in sentence.split("|")), told


def test_what_is_too_large_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_BYTES", 1000)
    assert "more than" in problem(pack())
    with pytest.raises(MucError, match="take fewer controls"):
        container.write_container(dict.fromkeys(FILES, bytes(500)))
    for pictures_and_controls, sentence in (((1, 20_000), "more than"), ((6_000, 5_000), "25,000,000 pairs")):
        with pytest.raises(MucError, match=sentence):
            check_size(*pictures_and_controls, AuditSettings())
    with pytest.raises(MucError, match="up to 99,009 are accepted"):
        check_size(100, 10_000, AuditSettings(permutations=1_000_000))
    check_size(1_000, 10_000, AuditSettings())


def test_pictures_are_found_again_by_their_pixels_alone(tmp_path: Path) -> None:
    mine = pictures(OWNER, 1).images(32)
    for place, pixels in enumerate([*mine[:-1], *pictures(1, 2).images(32), *pictures(1, 9).images(32)]):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / f"IMG_{place}.png")
    manifest = read_manifest(files()["manifest.json"])
    meant = pictures_meant(manifest, usable_dataset(ingest_folder(tmp_path, name="mine"), tmp_path))
    assert meant.found == (
        *((f"IMG_{i}.png", f"mine/{i}.png", "owner") for i in range(OWNER - 1)),
        ("IMG_7.png", "c0", "control"),
    )
    assert meant.missing == (f"mine/{OWNER - 1}.png",)
    assert meant.others == ("IMG_8.png",)


def test_digests_depend_on_the_salt_and_on_every_picture() -> None:
    first = picture_digests(pictures(5, 1), b"a" * 32)
    assert len({*first, *picture_digests(pictures(5, 1), b"b" * 32)}) == 10
    roots = {merkle_root(first[:n]) for n in range(1, 6)} | {merkle_root(first[::-1])}
    assert len(roots) == 6


def test_the_merkle_root_is_that_of_rfc_6962() -> None:
    def slow(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\0" + leaves[0]).digest()
        k = 1
        while k * 2 < len(leaves):
            k *= 2
        return hashlib.sha256(b"\1" + slow(leaves[:k]) + slow(leaves[k:])).digest()

    leaves = [hashlib.sha256(bytes([i])).digest() for i in range(13)]
    for n in range(1, 14):
        assert merkle_root([leaf.hex() for leaf in leaves[:n]]) == slow(leaves[:n]).hex()
