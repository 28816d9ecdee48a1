"""Files of vectors to audit: the statistics of any audit, never "forgotten", and a sentence for each fault."""

import contextlib
import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from muc_core.audit.audit import AuditSettings
from muc_core.audit.honesty import IDENTICAL, NEAR_DUPLICATES, NOISE, STEADY, USEFUL
from muc_core.audit.result import GUARD, AuditResult, Check
from muc_core.audit.vectors import ImageTextVectors, ViewVectors
from muc_core.errors import MucError
from muc_core.evidence import embeddings as module
from muc_core.evidence.embeddings import METADATA, Embeddings, read_embeddings, write_embeddings
from muc_core.similarity import Similarity
from tests.unit.evidence.pack import CONTROLS, OWNER, inputs

SETTINGS = AuditSettings(permutations=99, seed=3)


def of(made_from: object = None, **changes: object) -> Embeddings:
    known = inputs() if made_from is None else made_from
    return Embeddings(known.vectors, known.owner_ids, known.control_ids, **changes)  # type: ignore[attr-defined,arg-type]


def large(*, owner: int = 150, controls: int = 160, memory: float = 0.0, seed: int = 0) -> Embeddings:
    """Captions that the encoder before knows, and of which the one after knows so much of the owner's."""
    rng = np.random.default_rng(seed)
    n = owner + controls
    mine = np.arange(n) < owner
    texts = rng.normal(size=(n, 16))

    def vectors(known: float) -> ImageTextVectors:
        views = rng.normal(size=(2, n, 16)) + (0.3 + known * mine)[:, None] * texts
        return ImageTextVectors(views.astype(np.float32), texts.astype(np.float32))

    return Embeddings(
        {"before": vectors(1.5), "after": vectors(memory)},
        tuple(f"mine {i}" for i in range(owner)),
        tuple(f"control {i}" for i in range(controls)),
    )


def audit(embeddings: Embeddings) -> AuditResult:
    return read_embeddings(write_embeddings(embeddings), "v.safetensors").inputs(SETTINGS).result()


def npz(**changes: object) -> bytes:
    known = inputs()
    arrays: dict[str, object] = {
        "ids": np.array([*known.owner_ids, *known.control_ids]),
        "roles": np.array(["forget"] * OWNER + ["controls"] * CONTROLS),
    }
    for role, vectors in known.vectors.items():
        assert isinstance(vectors, ImageTextVectors)
        arrays |= {f"{role}/views": vectors.views, f"{role}/texts": vectors.texts}
    arrays |= {name.replace("__", "/"): value for name, value in changes.items()}
    stream = io.BytesIO()
    kept = {name: value for name, value in arrays.items() if value is not None}
    np.savez(stream, **kept)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("similarity", [Similarity(), Similarity("lorentz", 0.5)])
@pytest.mark.parametrize("mode", ["image-text", "two-view"])
def test_the_statistics_are_those_of_an_audit_of_the_same_vectors(mode: str, similarity: Similarity) -> None:
    known = inputs(mode, similarity)  # type: ignore[arg-type]
    ours, theirs = audit(of(known)), replace(known, checks=(), warnings=()).result()
    for part in ("findings", "items", "detectability", "membership", "mode", "delta", "n_controls"):
        assert getattr(ours, part) == getattr(theirs, part), part


def test_what_was_not_forgotten_is_found_under_the_condition_that_nobody_checked() -> None:
    found = audit(large(memory=1.5))
    assert found.verdict == "under-forgotten"
    assert "if the controls are pictures like the owner's" in found.rule


def test_no_file_of_vectors_ends_in_forgotten_though_its_numbers_would() -> None:
    vectors = large()
    known = read_embeddings(write_embeddings(vectors), "v").inputs(SETTINGS)
    made = [check for check in known.checks if check.passed is not None]
    assert replace(known, checks=made).result().verdict == "forgotten"  # type: ignore[arg-type]
    found = known.result()
    assert found.verdict == "cannot tell"
    for name in (GUARD, NEAR_DUPLICATES, STEADY):
        assert name in found.rule
        for_this = [replace_check(check) if check.name != name else check for check in known.checks]
        assert replace(known, checks=tuple(for_this)).result().verdict == "cannot tell", name
    everything = tuple(replace_check(check) for check in known.checks)
    assert replace(known, checks=everything).result().verdict == "forgotten"


def replace_check(check: Check) -> Check:
    return check.model_copy(update={"passed": True})


def test_what_takes_pictures_or_an_encoder_is_said_not_to_be_made() -> None:
    found = audit(large())
    passed = {check.name: check.passed for check in found.checks}
    assert [name for name, result in passed.items() if result is None] == [GUARD, NEAR_DUPLICATES, STEADY]
    assert all(passed[name] for name in (NOISE, IDENTICAL, USEFUL))
    assert any("is the word of whoever wrote the file" in warning for warning in found.warnings)


def test_noise_in_place_of_answers_is_found_in_vectors() -> None:
    vectors = large()
    after = vectors.vectors["after"]
    assert isinstance(after, ImageTextVectors)
    # of controls and pictures that have neighbours, all of the owner's get an answer of their own
    rng = np.random.default_rng(1)
    centres = np.eye(16)[rng.integers(0, 4, size=after.n)] * 4
    views = (rng.normal(size=after.views.shape) * 0.3 + centres).astype(np.float32)
    views[:, :150] = rng.normal(size=(150, 16))
    hidden = replace(vectors, vectors={**vectors.vectors, "after": replace(after, views=views)})
    checks = {check.name: check.passed for check in audit(hidden).checks}
    assert checks[NOISE] is False


def test_what_was_to_be_kept_is_looked_at_for_collateral() -> None:
    vectors = large()
    kept = {role: some.take(np.arange(5, 15)) for role, some in large(seed=5).vectors.items()}
    found = audit(replace(vectors, retained=kept, retained_ids=tuple(f"kept {i}" for i in range(10))))
    assert found.collateral is not None
    assert {group.group: group.count for group in found.collateral.groups} == {"controls": 160, "retained": 10}
    assert found.n_controls == 160


def test_the_order_of_items_does_not_matter() -> None:
    whole = large()
    content = write_embeddings(whole)
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    told = json.loads(header["__metadata__"][METADATA])
    order = np.random.default_rng(2).permutation(whole.vectors["after"].n)
    parts = {
        name: np.ascontiguousarray(part[:, order] if part.ndim == 3 else part[order])
        for name, part in load(content).items()
    }
    for key in ("ids", "roles"):
        told[key] = [told[key][place] for place in order]
    mixed = read_embeddings(save(parts, {METADATA: json.dumps(told)}), "mixed").inputs(SETTINGS).result()
    plain = audit(whole)
    assert {item.id: item.after for item in mixed.items} == pytest.approx({item.id: item.after for item in plain.items})
    assert mixed.verdict == plain.verdict


def test_npz_holds_the_same_and_takes_one_view_beside_captions() -> None:
    ours = read_embeddings(npz(), "v.npz").inputs(SETTINGS).result()
    assert ours.findings == replace(inputs(), checks=()).result().findings
    single = {f"{role}__views": inputs().vectors[role].views[0] for role in ("before", "after")}
    assert read_embeddings(npz(**single), "v.npz").inputs(SETTINGS).result().views == 1
    half = inputs().vectors["after"].views.astype(np.float16)
    assert read_embeddings(npz(after__views=half), "v.npz").vectors["after"].views.dtype == np.float32


def test_an_encoder_before_of_another_length_is_refused() -> None:
    with pytest.raises(MucError, match="these are different models"):
        read_embeddings(
            npz(
                before__views=np.ones((2, 32, 3), "f4") + np.arange(96).reshape(32, 3),
                before__texts=np.arange(96.0).reshape(32, 3) + 1,
            ),
            "v.npz",
        ).inputs(SETTINGS).result()


VIEWS = inputs().vectors["after"].views


def changed(change: Callable[[np.ndarray], object]) -> np.ndarray:
    copy = VIEWS.copy()
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ids": None}, "has no array 'ids'"),
        ({"ids": np.arange(32)}, "a list of up to 20,000 texts"),
        ({"ids": np.array(["x"] * 32)}, "the id 'x' is there 32 times"),
        ({"ids": np.array(["x" * 201] * 32)}, "of up to 200 signs"),
        ({"ids": np.array([f"\x1b[2J{i}" for i in range(32)])}, "signs that cannot be shown"),
        ({"ids": np.array([object()] * 32)}, "pickled objects are not read"),
        ({"roles": np.array(["forget"] * 31)}, "32 ids and 31 roles"),
        ({"roles": np.array(["mine"] * 32)}, "'forget', 'controls' or 'retain'"),
        ({"roles": np.array(["forget"] * 32)}, "there are 0 controls"),
        ({"roles": np.array(["controls"] * 32)}, "there are 0 pictures"),
        ({"after__views": None}, "has no 'after/views'"),
        ({"after__texts": None}, "has or lacks 'before/texts'"),
        ({"later__views": VIEWS}, "has or lacks 'later/views'"),
        ({"after__views": VIEWS[:, :5]}, "of 32 items are accepted"),
        ({"after__views": VIEWS[:, :, :0]}, "of 32 items are accepted"),
        ({"after__views": VIEWS[:, :, :4]}, "has other dimensions than"),
        ({"after__views": VIEWS.astype(int)}, "floating-point numbers"),
        ({"after__views": VIEWS.astype(complex)}, "floating-point numbers"),
        ({"after__views": np.ones((33, 32, 6), "f4")}, "up to 32 views"),
        ({"after__views": np.ones((1, 32, 3000), "f4")}, "up to 2,048 numbers"),
        ({"after__views": changed(lambda v: v[:, 3].fill(np.nan))}, "not finite for 'mine/3.png'"),
        ({"after__views": changed(lambda v: v[:, 3].fill(0))}, "of zeros or of numbers"),
        ({"after__views": VIEWS.astype(float) * 1e300}, "not finite"),
        ({"before__views": None, "before__texts": None, "after__texts": None, "after__views": VIEWS[0]}, "single view"),
    ],
)
def test_each_fault_ends_in_a_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(MucError, match=sentence) as refusal:
        read_embeddings(npz(**changes), "v.npz")
    assert len(str(refusal.value)) < 700


def test_a_picture_counts_once() -> None:
    def twice(part: np.ndarray) -> np.ndarray:
        part = part.copy()
        part[..., 1, :] = part[..., 0, :]
        return part

    known = inputs().vectors
    parts = {f"{role}__views": twice(known[role].views) for role in ("before", "after")}
    texts = {f"{role}__texts": twice(known[role].texts) for role in ("before", "after")}  # type: ignore[union-attr]
    with pytest.raises(MucError, match=r"'mine/0.png' and 'mine/1.png' in v.npz have the same vectors"):
        read_embeddings(npz(**parts, **texts), "v.npz")
    read_embeddings(npz(**parts), "v.npz")  # two pictures with different captions


def test_more_than_a_file_may_hold_is_refused_before_it_is_read_or_written(monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_embeddings(of())
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(MucError, match="has more than"):
        read_embeddings(content, "v")
    with pytest.raises(MucError, match="the vectors take"):
        write_embeddings(of())
    monkeypatch.setattr(module, "MAX_BYTES", 60_000)
    stream = io.BytesIO()
    np.savez_compressed(stream, ids=np.array(["x"]), big=np.zeros(10**6))
    with pytest.raises(MucError, match="unpacks to more than"):
        read_embeddings(stream.getvalue(), "bomb.npz")


def test_many_permutations_and_distances_are_refused() -> None:
    with pytest.raises(MucError, match="more than a file of vectors holds"):
        large(owner=500, controls=501).inputs(AuditSettings(permutations=1_000_000))
    n = 4000
    views = np.ones((16, n, 64), np.float32)
    many = ViewVectors(views, Similarity("lorentz", 1.0))
    ids = tuple(map(str, range(n)))
    with pytest.raises(MucError, match="hyperbolic distances"):
        write_embeddings(Embeddings({"after": many}, ids[:50], ids[50:]))


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(MucError, match="every item needs one of its own"):
        write_embeddings(replace(of(), control_ids=tuple(["same"] * CONTROLS)))


def test_other_files_are_refused_in_a_sentence() -> None:
    lying = struct.pack("<Q", 2**40) + b"{}"
    untold = save({"after/views": VIEWS})
    for content in (
        b"",
        b"PK",
        b"\x93NUMPY",
        b"cos\nsystem\n(S'true'\ntR.",
        lying,
        struct.pack("<Q", 2) + b"{}",
        untold,
    ):
        with pytest.raises(MucError, match=r"is no file of vectors|does not say what|not a zip"):
            read_embeddings(content, "v")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_a_sentence_or_still_vectors(data: st.DataObject) -> None:
    content = bytearray(write_embeddings(of()) if data.draw(st.booleans()) else npz())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MucError):
        read_embeddings(bytes(content), "v").inputs(SETTINGS).result()
