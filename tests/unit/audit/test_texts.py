"""The audit of captions alone: scores computed slowly, false alarms, what it sees, and that it has no verdict."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from muc_core.audit.audit import AuditSettings
from muc_core.audit.result import Check
from muc_core.audit.texts import LIMIT, TextAudit, TextVectors, _moved, _nearness, audit_texts
from muc_core.audit.wording import wording_guard
from muc_core.errors import MucError
from muc_core.similarity import Similarity
from muc_core.stats.lorentz import lorentz_similarity

OWNER, CONTROLS, POOL, DIMENSION = 12, 30, 25, 8
QUICK = AuditSettings(permutations=199)


def vectors(seed: int, *, nearer: float = 0.0, moved: float = 0.0) -> tuple[TextVectors, TextVectors]:
    """Captions of two encoders that differ by noise.

    Args:
        nearer: how far the owner's captions after are drawn to one of the pictures each.
        moved: how far they went elsewhere on their own.
    """
    rng = np.random.default_rng(seed)
    captions, pool = rng.normal(size=(OWNER + CONTROLS, DIMENSION)), rng.normal(size=(POOL, DIMENSION))
    later = captions + 0.3 * rng.normal(size=captions.shape)
    later[:OWNER] += moved * rng.normal(size=(OWNER, DIMENSION)) + nearer * pool[:OWNER]
    return TextVectors(single(captions), single(pool)), TextVectors(single(later), single(pool))


def single(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)


def audited(before: TextVectors, after: TextVectors, seed: int = 0) -> TextAudit:
    return audit_texts(after, OWNER, before=before, settings=AuditSettings(permutations=199, seed=seed))


@pytest.mark.parametrize("similarity", [Similarity(), Similarity("lorentz", 0.7)])
def test_scores_are_those_of_plain_loops(similarity: Similarity) -> None:
    before, after = (replace(known, similarity=similarity) for known in vectors(0))

    def alike(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
        if similarity.curvature is not None:
            return float(lorentz_similarity(a[None], b[None], similarity.curvature)[0, 0])
        a, b = a.astype(float), b.astype(float)
        return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))

    for place, caption in enumerate(after.captions):
        to_pool = [alike(caption, picture) for picture in after.pool]
        assert _nearness(after)[place] == pytest.approx(max(to_pool) - sum(to_pool) / POOL, abs=1e-6)
        profiles = [
            [alike(known.captions[place], known.captions[j]) for j in range(OWNER + CONTROLS) if j != place]
            for known in (before, after)
        ]
        assert _moved(before, after)[place] == pytest.approx(1 - np.asarray(np.corrcoef(profiles))[0, 1], abs=1e-6)


def test_a_turned_encoder_moved_nothing() -> None:
    before, _ = vectors(0)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(DIMENSION, DIMENSION)))[0]
    turned = TextVectors(single(3 * before.captions @ turn), single(before.pool @ turn))
    assert _moved(before, turned) == pytest.approx(0, abs=1e-6)
    assert _nearness(turned) == pytest.approx(_nearness(before), abs=1e-6)
    found = audited(before, turned)
    assert found.findings["moved"].p == 1
    assert "No caption moved" in found.findings["moved"].meaning


def test_captions_like_the_controls_give_false_alarms_at_the_nominal_rate() -> None:
    found = [audited(*vectors(seed), seed=seed) for seed in range(100)]
    for name in found[0].findings:
        hits = sum(one.findings[name].p <= 0.05 for one in found)
        assert binomtest(hits, len(found), 0.05).pvalue > 0.01, name
    assert binomtest(sum(bool(one.seen) for one in found), len(found), 0.05, "greater").pvalue > 0.01


def test_what_is_planted_is_seen() -> None:
    assert audited(*vectors(0, moved=2.0)).seen == ("moved",)
    assert "set apart" in audited(*vectors(0, nearer=3.0)).seen
    assert "changed about your captions more" in audited(*vectors(0, moved=2.0)).explain()[0]


def test_nothing_that_is_found_is_a_verdict_on_pictures() -> None:
    for plant in ({}, {"moved": 2.0}, {"nearer": 3.0}):
        found = audited(*vectors(0, **plant))
        assert "verdict" not in TextAudit.model_fields
        assert found.about == "the text tower only"
        assert found.explain()[-1] == LIMIT
        assert not any("forgotten" in sentence for sentence in found.explain()[:-1])
    assert "means little" in audited(*vectors(0)).explain()[0]


def test_without_the_encoder_before_nothing_is_said_of_moving() -> None:
    _, after = vectors(0, moved=2.0)
    assert set(audit_texts(after, OWNER, settings=QUICK).findings) == {"set apart after"}


def test_captions_that_are_worded_otherwise_leave_nothing_to_see() -> None:
    before, after = vectors(0, moved=2.0)
    unlike = wording_guard([f"IMG_{n}" for n in range(OWNER)], [f"a small bird {n}" for n in range(CONTROLS)], seed=0)
    assert unlike.passed is False
    found = audit_texts(after, OWNER, before=before, checks=(unlike,), settings=QUICK)
    assert found.seen == ()
    assert "worded otherwise" in found.explain()[0]


WORDS = ("red", "small", "bird", "moon", "green", "car", "tree", "cup", "blue", "old", "house", "cat")


def test_the_wording_guard_lets_captions_of_one_kind_pass_at_its_rate() -> None:
    failed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        texts = [" ".join(rng.choice(WORDS, size=rng.integers(1, 5))) for _ in range(50)]
        found: Check = wording_guard(texts[:20], texts[20:], seed=seed, permutations=99)
        failed += found.passed is False
    assert failed <= 5  # at 5 % more would be a chance of one in a hundred
    assert wording_guard(["same"] * 5, ["same"] * 20, seed=0, permutations=99).passed
    assert wording_guard(["!"] * 5, ["?"] * 20, seed=0, permutations=99).passed is False


def test_each_fault_ends_in_a_sentence() -> None:
    before, after = vectors(0)
    with pytest.raises(MucError, match="there are 3 pictures"):
        audit_texts(after, 3)
    with pytest.raises(MucError, match="there are 2 controls"):
        audit_texts(after, OWNER + CONTROLS - 2)
    with pytest.raises(MucError, match="5 public pictures; at least 20"):
        audit_texts(replace(after, pool=after.pool[:5]), OWNER)
    with pytest.raises(MucError, match="a vector of zeros or of numbers"):
        audit_texts(replace(after, captions=after.captions * np.float32(np.nan)), OWNER)
    with pytest.raises(MucError, match="they do not fit"):
        audit_texts(after, OWNER, before=replace(before, captions=before.captions[1:]))
    with pytest.raises(MucError, match="treats all captions alike"):
        audit_texts(replace(after, captions=np.ones_like(after.captions)), OWNER)
