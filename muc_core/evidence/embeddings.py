"""A file of vectors to audit in place of pictures and encoders: of an owner who shows no picture, or a host who lends
no encoder.

Parts are named as in an evidence pack, `ENCODER/views` `[views, items, d]` or `[items, d]`, and for captions
`ENCODER/texts` `[items, d]`, where ENCODER is before, after or retrained; floating-point numbers of 16 to 64 bits.

- `.safetensors`: the metadata hold, under `muc-embeddings`, the JSON of `Contents`.
- `.npz`: two arrays of text, `ids` and `roles`, say what the items are; similarity is by cosine. No pickle is read.

The file may come from anyone: whatever is wrong with it ends in a sentence.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Annotated, Literal, Self, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load, save

from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors, check_vectors
from muc_core.audit.vectors_alone import inputs_of_vectors
from muc_core.data.archives import read_archive
from muc_core.encoders.manifest import explain
from muc_core.errors import MucError
from muc_core.evidence.manifest import MOST_ITEMS, Role, check_size
from muc_core.similarity import COSINE, Similarity

MAX_BYTES = 128 * 2**20
MOST_VIEWS = 32
LONGEST_VECTOR = 2048
"""The turn of an encoder is looked for in a matrix of that many rows and columns."""

LONGEST_NAME = 200
METADATA = "muc-embeddings"
_MOST_BYTES_OF_JSON = 16 * 2**20
_MOST_DISTANCES = 10**11
"""Of hyperbolic vectors, items times items times pairs of views times (numbers + 100), at most: each distance takes a
product and, as costly as a hundred numbers of it, an arccosh."""

Group = Literal["forget", "controls", "retain"]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Parts = Mapping[str, np.ndarray]


class Contents(BaseModel):
    """What the rows of the vectors are.

    Attributes:
        ids: of the items, in the order of the vectors.
        roles: of each item: to be forgotten, a control, or to be kept.
        encoders: what those are called that gave the vectors.
        similarities: by what the vectors of an encoder are compared, where it is not cosine.
        made_with: how the vectors were made, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    ids: tuple[Name, ...] = Field(min_length=1, max_length=MOST_ITEMS)
    roles: tuple[Group, ...]
    encoders: dict[Role, Name] = Field(default_factory=dict)
    similarities: dict[Role, Similarity] = Field(default_factory=dict)
    made_with: str = Field("", max_length=1000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.roles) != len(self.ids):
            raise ValueError(f"there are {len(self.ids):,} ids and {len(self.roles):,} roles; every item needs both")
        texts = (*self.ids, *self.encoders.values(), self.made_with)
        if any(not text.isprintable() for text in texts):
            raise ValueError("an id or name has signs that cannot be shown; letters, digits and signs are accepted")
        name, count = Counter(self.ids).most_common(1)[0]
        if count > 1:
            raise ValueError(f"the id {name!r} is there {count} times; every item needs one of its own")
        return self


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors to audit.

    Attributes:
        vectors: by encoder, of the owner's items and then the controls.
        retained: by encoder, of items that were to be kept; of none: empty.
        encoders: what the file calls them.
        made_with: how they were made, as the file says.
    """

    vectors: Mapping[str, Vectors]
    owner_ids: tuple[str, ...]
    control_ids: tuple[str, ...]
    retained: Mapping[str, Vectors] = field(default_factory=dict)
    retained_ids: tuple[str, ...] = ()
    encoders: Mapping[str, str] = field(default_factory=dict)
    made_with: str = ""

    def inputs(self, settings: AuditSettings) -> AuditInputs:
        """What an audit of them is computed from. Raises `MucError` for more than can be computed, or too few items."""
        check_size(len(self.owner_ids), len(self.control_ids), settings, of="a file of vectors")
        named = ", ".join(f"{role}: {name}" for role, name in self.encoders.items())
        said = [f"The file says of its encoders: {named}."] if named else []
        if self.made_with:
            said.append(f"The file says of its vectors: {self.made_with}")
        return inputs_of_vectors(
            self.vectors,
            self.owner_ids,
            self.control_ids,
            retained=self.retained,
            retained_ids=self.retained_ids,
            settings=settings,
            warnings=said,
        )


def write_embeddings(embeddings: Embeddings) -> bytes:
    """As safetensors. Raises `MucError` for more than `read_embeddings` takes."""
    parts: dict[str, np.ndarray] = {}
    for role, vectors in embeddings.vectors.items():
        whole = vectors.join(embeddings.retained[role]) if embeddings.retained_ids else vectors
        parts[f"{role}/views"] = np.ascontiguousarray(whole.views)
        if isinstance(whole, ImageTextVectors):
            parts[f"{role}/texts"] = np.ascontiguousarray(whole.texts)
    groups: dict[Group, tuple[str, ...]] = {
        "forget": embeddings.owner_ids,
        "controls": embeddings.control_ids,
        "retain": embeddings.retained_ids,
    }
    try:
        contents = Contents.model_validate(
            {
                "ids": tuple(item_id for ids in groups.values() for item_id in ids),
                "roles": tuple(group for group, ids in groups.items() for _ in ids),
                "encoders": embeddings.encoders,
                "similarities": {
                    role: vectors.similarity
                    for role, vectors in embeddings.vectors.items()
                    if vectors.similarity != COSINE
                },
                "made_with": embeddings.made_with,
            }
        )
    except ValidationError as error:
        raise MucError(f"these items cannot be written as vectors: {explain(error)[:500]}") from error
    _check_shapes(parts, len(contents.ids), contents.similarities, "the file of vectors")
    content = save(parts, {METADATA: contents.model_dump_json()})
    if len(content) > MAX_BYTES:
        raise MucError(
            f"the vectors take {len(content) / 2**20:,.0f} MB, and a file of them up to {MAX_BYTES / 2**20:.0f}; take "
            "fewer controls (--match) or fewer views"
        )
    return content


def read_embeddings(content: bytes, name: str) -> Embeddings:
    """The vectors of a file.

    Args:
        content: of a file that may come from anyone.
        name: of the file, for errors.

    Raises:
        MucError: not such a file, larger than `MAX_BYTES`, or with items, shapes or numbers that no audit can be made
            of; says what would be accepted.
    """
    if len(content) > MAX_BYTES:
        raise MucError(f"{name} has more than {MAX_BYTES / 2**20:.0f} MB; up to that is accepted of vectors")
    parts, contents = _npz(content, name) if content.startswith(b"PK") else _safetensors(content, name)
    roles = _check_names(parts, name)
    parts = {key: part[None] if key.endswith("/views") and part.ndim == 2 else part for key, part in parts.items()}
    _check_shapes(parts, len(contents.ids), contents.similarities, name)
    groups = {group: [i for i, role in enumerate(contents.roles) if role == group] for group in get_args(Group)}
    ids = {group: tuple(contents.ids[i] for i in rows) for group, rows in groups.items()}
    check_counts(ids["forget"], ids["controls"])
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
        known = {role: _vectors(parts, role, contents.similarities.get(role, COSINE)) for role in roles}
    for role, vectors in known.items():
        check_vectors(vectors, contents.ids, f"{name}: the encoder {role}")
    _refuse_copies(known, contents.ids, name)
    audited = np.array([*groups["forget"], *groups["controls"]])
    kept = np.array(groups["retain"], dtype=np.intp)
    return Embeddings(
        {role: vectors.take(audited) for role, vectors in known.items()},
        ids["forget"],
        ids["controls"],
        {role: vectors.take(kept) for role, vectors in known.items()} if len(kept) else {},
        ids["retain"],
        {role: name for role, name in contents.encoders.items()},
        contents.made_with,
    )


def _vectors(parts: Parts, role: Role, similarity: Similarity) -> Vectors:
    views = parts[f"{role}/views"].astype(np.float32, copy=False)
    texts = parts.get(f"{role}/texts")
    if texts is None:
        return ViewVectors(views, similarity)
    return ImageTextVectors(views, texts.astype(np.float32, copy=False), similarity)


def _safetensors(content: bytes, name: str) -> tuple[dict[str, np.ndarray], Contents]:
    wrong = f"{name} is no file of vectors, .safetensors as `muc audit --write-embeddings` writes it or .npz"
    length = struct.unpack("<Q", content[:8])[0] if len(content) > 8 else 0
    if not 2 <= length <= min(_MOST_BYTES_OF_JSON, len(content) - 8):
        raise MucError(wrong)
    try:
        told = _Header.model_validate_json(content[8 : 8 + length]).metadata.get(METADATA, "{}")
        contents = Contents.model_validate_json(told)
        return load(content), contents
    except ValidationError as error:
        raise MucError(f"{name} does not say what its vectors are of: {explain(error)[:500]}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise MucError(wrong) from error


class _Header(BaseModel):
    """Of a safetensors file, as far as it is text."""

    metadata: dict[str, str] = Field(default_factory=dict, alias="__metadata__")


def _npz(content: bytes, name: str) -> tuple[dict[str, np.ndarray], Contents]:
    arrays: dict[str, np.ndarray] = {}
    unpacked = 0
    for path, data in read_archive(content, name):
        if isinstance(data, MucError):
            raise data
        unpacked += len(data)
        if unpacked > MAX_BYTES:
            raise MucError(f"{name} unpacks to more than {MAX_BYTES / 2**20:.0f} MB; up to that is accepted of vectors")
        try:
            arrays[path.removesuffix(".npy")] = np.lib.format.read_array(BytesIO(data), allow_pickle=False)
        except (ValueError, TypeError, EOFError, OSError, OverflowError, MemoryError, SyntaxError) as error:
            raise MucError(
                f"{path[:LONGEST_NAME]!r} in {name} is no array of numbers or text; pickled objects are not read"
            ) from error
    lists = {key: _texts(arrays.pop(key, None), key, name) for key in ("ids", "roles")}
    try:
        return arrays, Contents.model_validate(lists)
    except ValidationError as error:
        raise MucError(f"{name} does not say what its vectors are of: {explain(error)[:500]}") from error


def _texts(array: np.ndarray | None, key: str, name: str) -> tuple[str, ...]:
    if array is None:
        raise MucError(f"{name} has no array {key!r}; ids, and a role for each (forget, controls, retain), are needed")
    if array.dtype.kind != "U" or array.ndim != 1 or len(array) > MOST_ITEMS or array.itemsize > 4 * LONGEST_NAME:
        raise MucError(
            f"{key!r} in {name} is {array.dtype} of shape {list(array.shape)}; a list of up to {MOST_ITEMS:,} texts of "
            f"up to {LONGEST_NAME} signs is accepted"
        )
    return tuple(array.tolist())


def _check_names(parts: Parts, name: str) -> tuple[Role, ...]:
    """The encoders that the parts are of."""
    roles = tuple(role for role in get_args(Role) if f"{role}/views" in parts)
    if "after" not in roles:
        raise MucError(f"{name} has no 'after/views', the vectors of the encoder after; they are needed")
    kinds = ("views", "texts") if "after/texts" in parts else ("views",)
    if wrong := sorted(set(parts) ^ {f"{role}/{kind}" for role in roles for kind in kinds}):
        raise MucError(
            f"{name} has or lacks {wrong[0][:LONGEST_NAME]!r}; accepted are ENCODER/views and, for every encoder or "
            f"none, ENCODER/texts, where ENCODER is {', '.join(get_args(Role))}"
        )
    return roles


def _check_shapes(parts: Parts, items: int, similarities: Mapping[Role, Similarity], name: str) -> None:
    for key, part in sorted(parts.items(), reverse=True):  # views before texts
        role, kind = key.split("/")
        wanted = 3 if kind == "views" else 2
        sound = part.dtype in (np.float16, np.float32, np.float64) and part.ndim == wanted and 0 not in part.shape
        if not sound or part.shape[-2] != items:
            raise MucError(
                f"{key!r} in {name} is {part.dtype} of shape {list(part.shape)}; floating-point numbers "
                f"[{'views, ' if kind == 'views' else ''}items, d] of {items:,} items are accepted"
            )
        if part.shape[-1] > LONGEST_VECTOR or (kind == "views" and len(part) > MOST_VIEWS):
            raise MucError(
                f"{key!r} in {name} has the shape {list(part.shape)}; up to {MOST_VIEWS} views and vectors of up to "
                f"{LONGEST_VECTOR:,} numbers are accepted"
            )
        if kind == "views" and f"{role}/texts" not in parts and len(part) < 2:
            raise MucError(
                f"{key!r} in {name} holds a single view of each picture and there are no captions to compare it with; "
                "at least 2 views, or texts, are needed"
            )
        if kind == "texts" and part.shape[-1] != parts[f"{role}/views"].shape[-1]:
            raise MucError(f"{key!r} in {name} has other dimensions than '{role}/views'; both must be compared")
        distances = items**2 * (part.shape[-1] + 100) * (len(part) ** 2 if kind == "views" else 1)
        if any(how != COSINE for how in similarities.values()) and distances > _MOST_DISTANCES:
            raise MucError(
                f"{key!r} in {name} has the shape {list(part.shape)}, which is more than can be compared by hyperbolic "
                "distances; take fewer items or views"
            )


def _refuse_copies(known: Mapping[Role, Vectors], ids: Sequence[str], name: str) -> None:
    """One picture counts once. Raises `MucError` for two items whose vectors are the same in all encoders."""
    seen: dict[bytes, str] = {}
    for row, item_id in enumerate(ids):
        digest = hashlib.sha256()
        for vectors in known.values():
            digest.update(np.ascontiguousarray(vectors.views[:, row]).tobytes())
            if isinstance(vectors, ImageTextVectors):
                digest.update(vectors.texts[row].tobytes())
        if (twin := seen.setdefault(digest.digest(), item_id)) != item_id:
            raise MucError(
                f"{twin!r} and {item_id!r} in {name} have the same vectors: one picture twice, which must count once, "
                "or an answer that is no encoder's; take one of them out"
            )
