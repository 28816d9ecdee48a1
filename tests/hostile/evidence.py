"""Evidence packs in which something was changed, and what is sent in place of a pack or a public key."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from muc_core.evidence.container import read_container, write_container
from muc_core.evidence.keys import write_private_key, write_public_key
from muc_core.evidence.manifest import FILES
from tests.hostile.case import Case, Expected, written
from tests.hostile.uploads import png, zip_bomb
from tests.unit.evidence.pack import KEY, pack, signed_anew

PLACES = 40


def cases() -> Iterator[Case]:
    yield Case("sound", "evidence", written("audit.muc.zip", pack), "used")
    for number in range(PLACES):
        yield Case(f"byte_{number}_of_{PLACES}", "evidence", written("a.zip", partial(_changed, number)))
    for percent in (0, 1, 25, 50, 75, 99):
        yield Case(f"cut_at_{percent}_percent", "evidence", written("a.zip", partial(_cut, percent)))
    for name, make in _PACKS.items():
        yield Case(name, "evidence", written("a.zip", make))
    for name, (make, expected) in _KEYS.items():
        yield Case(name, "public key", _beside_a_pack(make), expected)


@cache
def _files() -> dict[str, bytes]:
    return dict(read_container(pack()).files)


def _changed(number: int) -> bytes:
    """One byte of the pack is another one, at places spread over all of it."""
    content = bytearray(pack())
    content[(2 * number + 1) * len(content) // (2 * PLACES)] ^= 1 + number
    return bytes(content)


def _cut(percent: int) -> bytes:
    return pack()[: len(pack()) * percent // 100]


def _zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return stream.getvalue()


def _with(**content: bytes) -> bytes:
    """A pack of changed files that is signed all the same."""
    return signed_anew({**_files(), **{name.replace("_dot_", "."): data for name, data in content.items()}})


def _vectors(change: Callable[[dict[str, np.ndarray]], object]) -> bytes:
    parts = load(_files()["vectors.safetensors"])
    change(parts)
    return _with(vectors_dot_safetensors=save(parts))


def _manifest(**changed: object) -> bytes:
    return signed_anew(_files(), changed)


def _largest(length: int = 250 * 2**20) -> bytes:
    """As large as a pack may be, with a report of zeros, signed."""
    return write_container({**_files(), "report.html": bytes(length)})


def _picture(text: str) -> dict[str, str]:
    return {"id": text, "digest": "0" * 64}


_PACKS: dict[str, Callable[[], bytes]] = {
    "file_in_place_of_another": lambda: write_container({**_files(), "report.html": _files()["result.json"]}),
    "key_of_another": lambda: write_container(
        {**_files(), "public-key.pem": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}
    ),
    "key_is_private": lambda: write_container({**_files(), "public-key.pem": write_private_key(KEY, "x")}),
    "signature_empty": lambda: write_container({**_files(), "manifest.sig": b""}),
    "signature_of_zeros": lambda: write_container({**_files(), "manifest.sig": bytes(64)}),
    "signature_of_1_mb": lambda: write_container({**_files(), "manifest.sig": bytes(2**20)}),
    "more_files": lambda: _zipped([*_files().items(), ("run.sh", b"touch EXECUTED")]),
    "climbs": lambda: _zipped([("../../manifest.json", b"{}"), *list(_files().items())[1:]]),
    "compressed": lambda: _zipped(list(_files().items()), zipfile.ZIP_DEFLATED),
    "bomb": lambda: _zipped(
        [(name, bytes(2**28) if name == "report.html" else b"") for name in FILES], zipfile.ZIP_DEFLATED
    ),
    "bomb_of_pictures": zip_bomb,
    "other_order": lambda: _zipped(list(_files().items())[::-1]),
    "polyglot": lambda: png() + pack(),
    "something_behind": lambda: pack() + b"<script>alert(1)</script>",
    "large": _largest,
    "manifest_deep": lambda: write_container(
        {**_files(), "manifest.json": b"[" * 500_000, "manifest.sig": KEY.sign(b"[" * 500_000)}
    ),
    "manifest_of_80_mb": lambda: _signed(b"[" + b"{}," * 27_000_000 + b"{}]"),
    "manifest_not_finite": lambda: _signed(b'{"settings": {"alpha": NaN}}'),
    "manifest_title_terminal": lambda: _manifest(title="\x1b]0;owned\x07[bold]ok[/]", merkle_root="0" * 64),
    "manifest_of_a_million_pictures": lambda: _manifest(owner=[_picture(f"{n}") for n in range(1_000_000)]),
    "manifest_permutations": lambda: _manifest(settings={"permutations": 10**18}),
    "manifest_many_permutations": lambda: _manifest(settings={"permutations": 10**6}),
    "manifest_names": lambda: _manifest(owner=[_picture("=cmd|' /C calc'!A0")] * 8),
    "manifest_version": lambda: _manifest(schema_version=99),
    "result_deep": lambda: _with(result_dot_json=b"[" * 500_000),
    "result_of_80_mb": lambda: _with(result_dot_json=b"[" + b"{}," * 27_000_000 + b"{}]"),
    "result_of_another": lambda: _with(result_dot_json=_files()["result.json"].replace(b'"verdict"', b'"Verdict"')),
    "result_verdict": lambda: _with(result_dot_json=_other_verdict()),
    "report_script": lambda: _with(report_dot_html=b"<script>alert(1)</script>"),
    "vectors_header": lambda: _with(vectors_dot_safetensors=struct.pack("<Q", 2**63) + b"{}"),
    "vectors_not_finite": lambda: _vectors(lambda parts: parts["after/views"].fill(np.nan)),
    "vectors_zero": lambda: _vectors(lambda parts: parts["after/views"].fill(0)),
    "vectors_huge": lambda: _vectors(lambda parts: parts["after/views"].fill(3e38)),
    "vectors_missing": lambda: _vectors(lambda parts: parts.pop("after/texts")),
    "vectors_of_another_length": lambda: _vectors(
        lambda parts: parts.update({"after/views": parts["after/views"][:, :5].copy()})
    ),
    "vectors_of_no_length": lambda: _vectors(
        lambda parts: parts.update({"after/views": parts["after/views"][:, :, :0].copy()})
    ),
    "vectors_of_64_bits": lambda: _vectors(
        lambda parts: parts.update({"after/views": parts["after/views"].astype(float)})
    ),
    "vectors_swapped": lambda: _vectors(lambda parts: parts.update({"after/views": parts["before/views"]})),
    "vectors_long": lambda: _vectors(
        lambda parts: parts.update({"after/views": np.ones((2, 32, 400_000), np.float32)})
    ),
    "pickle": lambda: b"cos\nsystem\n(S'touch EXECUTED'\ntR.",
    "text": lambda: b"verified: true\n",
}


def _signed(manifest: bytes) -> bytes:
    return write_container({**_files(), "manifest.json": manifest, "manifest.sig": KEY.sign(manifest)})


def _other_verdict() -> bytes:
    told = json.loads(_files()["result.json"])
    told["verdict"] = "forgotten" if told["verdict"] != "forgotten" else "cannot tell"
    return json.dumps(told).encode()


def _beside_a_pack(make: Callable[[], bytes]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "audit.muc.zip").write_bytes(pack())
        (folder / "key.pem").write_bytes(make())
        return folder / "key.pem"

    return build


_KEYS: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "sound": (lambda: write_public_key(KEY.public_key()), "used"),
    "private": (lambda: write_private_key(KEY, "x"), "refused"),
    "noise": (lambda: b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 10**6 + b"\n-----END PUBLIC KEY-----\n", "refused"),
    "of_100_mb": (lambda: b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 10**8, "refused"),
    "rsa": (lambda: _rsa(), "refused"),
    "certificate": (lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "refused"),
    "empty": (lambda: b"", "refused"),
    "pack": (pack, "refused"),
}


def _rsa() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
