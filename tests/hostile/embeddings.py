"""Files of vectors to audit, sound ones and such as nobody should send."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
from safetensors.numpy import load, save

from muc_core.evidence.embeddings import METADATA, Embeddings, write_embeddings
from muc_core.similarity import Similarity
from tests.hostile.case import Case, Expected, written
from tests.hostile.uploads import png, zip_bomb
from tests.hostile.weights import PICKLES, calls_system
from tests.unit.evidence.pack import CONTROLS, OWNER, inputs

PLACES = 20
ITEMS = OWNER + CONTROLS


def cases() -> Iterator[Case]:
    for number in range(PLACES):
        for kind, make in (("safetensors", _sound), ("npz", _npz)):
            yield Case(
                f"byte_{number}_of_{PLACES}_{kind}", "vectors", written("v", partial(_changed, make, number)), "either"
            )
    for percent in (0, 1, 25, 50, 75, 99):
        for kind, make in (("safetensors", _sound), ("npz", _npz)):
            yield Case(f"cut_at_{percent}_percent_{kind}", "vectors", written("v", partial(_cut, make, percent)))
    for name, (build, expected) in _FILES.items():
        yield Case(name, "vectors", written("v", build), expected)


@cache
def _sound() -> bytes:
    known = inputs()
    return write_embeddings(Embeddings(known.vectors, known.owner_ids, known.control_ids))


def _changed(make: Callable[[], bytes], number: int) -> bytes:
    content = bytearray(make())
    content[(2 * number + 1) * len(content) // (2 * PLACES)] ^= 1 + number
    return bytes(content)


def _cut(make: Callable[[], bytes], percent: int) -> bytes:
    return make()[: len(make()) * percent // 100]


def _told(**changed: object) -> bytes:
    """The sound file with other statements about its items."""
    content = _sound()
    told = json.loads(json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])["__metadata__"][METADATA])
    return save(load(content), {METADATA: json.dumps({**told, **changed})})


def _arrays() -> dict[str, np.ndarray]:
    known = inputs()
    return {
        "ids": np.array([*known.owner_ids, *known.control_ids]),
        "roles": np.array(["forget"] * OWNER + ["controls"] * CONTROLS),
        **{f"{role}/views": vectors.views for role, vectors in known.vectors.items()},
    }


def _npz(**changed: object) -> bytes:
    """npz of two views; an underscore doubled in a name stands for a slash."""
    arrays = _arrays() | {name.replace("__", "/"): np.asarray(value) for name, value in changed.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _views(fill: float) -> bytes:
    views = inputs().vectors["after"].views.copy()
    views[:, 3] = fill
    return _npz(after__views=views)


def _members(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return stream.getvalue()


def _lying(shape: str, descr: str = "<f4") -> bytes:
    """npz whose array says that it is larger than it is."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
    return _members({"after/views.npy": array})


def _wide(items: int, views: int, length: int, similarity: Similarity | None = None) -> bytes:
    """As much as may be asked for, of random numbers."""
    rng = np.random.default_rng(0)
    half = min(items // 4, 1000)
    told = {
        "ids": [str(number) for number in range(items)],
        "roles": ["forget"] * half + ["controls"] * (items - half),
        "similarities": {} if similarity is None else {"after": {"name": "lorentz", "curvature": similarity.curvature}},
    }
    parts = {"after/views": rng.normal(size=(views, items, length)).astype(np.float32)}
    if similarity is None:
        parts["before/views"] = rng.normal(size=(views, items, length)).astype(np.float32)
    return save(parts, {METADATA: json.dumps(told)})


def _header(length: int, header: bytes) -> bytes:
    return struct.pack("<Q", length) + header


_FILES: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "sound_safetensors": (_sound, "used"),
    "sound_npz": (_npz, "used"),
    "many_items_long": (lambda: _wide(20_000, 2, 64), "used"),
    "long_vectors_long": (lambda: _wide(300, 8, 2048), "used"),
    "many_views_long": (lambda: _wide(300, 32, 128), "used"),
    "of_128_mb": (lambda: _wide(4000, 8, 256), "either"),
    "hyperbolic_long": (lambda: _wide(300, 32, 16, Similarity("lorentz", 1.0)), "used"),
    "hyperbolic_too_many_long": (lambda: _wide(4000, 32, 64, Similarity("lorentz", 1.0)), "refused"),
    "nan": (lambda: _views(np.nan), "refused"),
    "infinite": (lambda: _views(np.inf), "refused"),
    "zero": (lambda: _views(0), "refused"),
    "smallest": (lambda: _views(1e-45), "refused"),
    "largest": (lambda: _views(3e38), "either"),
    "beyond_float32": (lambda: _npz(after__views=np.full((2, ITEMS, 6), 1e300)), "refused"),
    "all_equal": (lambda: _npz(after__views=np.ones((2, ITEMS, 6)), before__views=np.ones((2, ITEMS, 6))), "refused"),
    "one_picture_twice": (lambda: _npz(**_twice()), "refused"),
    "ids_twice": (lambda: _npz(ids=["same"] * ITEMS), "refused"),
    "ids_empty": (lambda: _npz(ids=[""] * ITEMS), "refused"),
    "ids_numbers": (lambda: _npz(ids=np.arange(ITEMS)), "refused"),
    "ids_long": (lambda: _npz(ids=["x" * 10**6] * ITEMS), "refused"),
    "ids_terminal": (lambda: _npz(ids=[f"\x1b]0;owned\x07{n}" for n in range(ITEMS)]), "refused"),
    "ids_markup": (lambda: _npz(ids=[f"[/bold][link=x]<b>=1+1{n}" for n in range(ITEMS)]), "used"),
    "ids_surrogates": (lambda: _told(ids=[f"\ud800{n}" for n in range(ITEMS)]), "refused"),
    "roles_unknown": (lambda: _npz(roles=["mine"] * ITEMS), "refused"),
    "roles_one": (lambda: _npz(roles=["forget"] * ITEMS), "refused"),
    "roles_fewer": (lambda: _npz(roles=["forget"] * 3), "refused"),
    "dimensions_differ": (lambda: _npz(before__views=np.random.default_rng(0).normal(size=(2, ITEMS, 5))), "refused"),
    "items_differ": (lambda: _npz(before__views=np.ones((2, 5, 6))), "refused"),
    "no_length": (lambda: _npz(after__views=np.ones((2, ITEMS, 0))), "refused"),
    "no_dimension": (lambda: _npz(after__views=np.float32(1)), "refused"),
    "complex": (lambda: _npz(after__views=np.ones((2, ITEMS, 6), complex)), "refused"),
    "text_for_numbers": (lambda: _npz(after__views=np.full((2, ITEMS, 6), "x")), "refused"),
    "other_parts": (lambda: _npz(more__of__it=np.ones(3)), "refused"),
    "pickle": (lambda: PICKLES["system"](), "refused"),
    "pickle_in_npz": (lambda: _npz(ids=np.array([calls_system()] * ITEMS, dtype=object)), "refused"),
    "pickle_as_member": (lambda: _members({"after/views.npy": PICKLES["system"]()}), "refused"),
    "npy_alone": (lambda: _npy(np.ones((2, ITEMS, 6))), "refused"),
    "npz_lies_of_shape": (lambda: _lying("(2, 1000000000000, 6)"), "refused"),
    "npz_lies_of_size": (lambda: _lying("(2, 100000000, 6)"), "refused"),
    "npz_negative_shape": (lambda: _lying("(-1, 32, 6)"), "refused"),
    "npz_deep_header": (lambda: _lying("(" * 100 + ")" * 100), "refused"),
    "npz_code_in_header": (lambda: _lying("__import__('os').system('touch EXECUTED')"), "refused"),
    "npz_object_header": (lambda: _lying("(1,)", "|O"), "refused"),
    "npz_huge_text": (lambda: _lying("(1,)", "<U900000000"), "refused"),
    "npz_climbs": (lambda: _members({"../../after/views.npy": b"x"}), "refused"),
    "npz_bomb": (lambda: _members({"after/views.npy": bytes(2**29)}), "refused"),
    "npz_bombs_of_many": (lambda: _members({f"{n}.npy": bytes(2**26) for n in range(8)}), "refused"),
    "npz_of_npz": (lambda: _members({"after/views.npy": _npz()}), "refused"),
    "npz_of_pictures": (lambda: _members({"a.png": png()}), "refused"),
    "bomb_of_pictures": (zip_bomb, "refused"),
    "picture": (png, "refused"),
    "header_of_exabytes": (lambda: _header(2**63, b"{}"), "refused"),
    "header_longer_than_file": (lambda: _header(1000, b"{}"), "refused"),
    "header_deep": (lambda: _header(500_000, b"[" * 500_000), "refused"),
    "header_of_20_mb": (lambda: _header(20 * 2**20, b'{"a": "' + b" " * (20 * 2**20 - 9) + b'"}'), "refused"),
    "header_overlaps": (lambda: _offsets([0, 8], [4, 12]), "refused"),
    "header_beyond_the_end": (lambda: _offsets([0, 8], [8, 2**40]), "refused"),
    "metadata_missing": (lambda: save(load(_sound())), "refused"),
    "metadata_deep": (lambda: save(load(_sound()), {METADATA: "[" * 500_000}), "refused"),
    "metadata_of_another": (lambda: save(load(_sound()), {METADATA: '{"ids": 3}'}), "refused"),
    "metadata_more": (lambda: _told(verdict="forgotten"), "refused"),
    "metadata_a_million_ids": (lambda: _told(ids=[str(n) for n in range(10**6)]), "refused"),
    "metadata_made_with": (lambda: _told(made_with="x" * 10**6), "refused"),
    "metadata_curvature": (lambda: _told(similarities={"after": {"name": "lorentz", "curvature": -1}}), "refused"),
    "metadata_curvature_tiny": (lambda: _told(similarities=_hyperbolic(1e-300)), "either"),
    "metadata_curvature_large": (lambda: _told(similarities=_hyperbolic(1e300)), "either"),
    "empty": (lambda: b"", "refused"),
    "text": (lambda: b"id,role\n1,forget\n", "refused"),
    "zeros_of_200_mb": (lambda: bytes(200 * 2**20), "refused"),
}


def _twice() -> dict[str, object]:
    found = {}
    for role, vectors in inputs().vectors.items():
        views = vectors.views.copy()
        views[:, 1] = views[:, 0]
        found[f"{role}__views"] = views
    return dict(found)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _offsets(first: list[int], second: list[int]) -> bytes:
    header = json.dumps(
        {
            name: {"dtype": "F32", "shape": [2], "data_offsets": place}
            for name, place in (("after/views", first), ("after/texts", second))
        }
    ).encode()
    return _header(len(header), header) + bytes(16)


def _hyperbolic(curvature: float) -> dict[str, object]:
    return {role: {"name": "lorentz", "curvature": curvature} for role in ("before", "after")}
