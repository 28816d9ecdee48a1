"""The audit on simulated encoders: what it refuses, what it says, how often it errs."""

import json
import re
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from muc_core.audit.adjustment import adjust
from muc_core.audit.audit import FEWEST_CONTROLS, AuditSettings, audit
from muc_core.audit.honesty import SINGLED_OUT
from muc_core.audit.result import GUARD, STAND_INS, AuditResult, Check
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.errors import MucError
from muc_core.stats.ranks import normal_scores
from muc_core.stats.two_samples import equivalence_p

Kind = Literal["image-text", "two-view"]
QUICK = AuditSettings(permutations=199)


def allowed(rate: float, trials: int) -> int:
    """More than this happens by chance in one of 10,000 runs of the tests."""
    return next(k for k in range(trials + 1) if binomtest(k, trials, rate, alternative="greater").pvalue < 1e-4) - 1


def encoder(
    kind: Kind,
    n: int,
    m: int,
    *,
    memory: float = 0.0,
    rng: np.random.Generator,
    scale: float = 1.0,
    shift: float = 0.0,
    views: int = 2,
) -> Vectors:
    """Vectors in which the owner's n items are aligned with their partner by `memory` more than the m controls.

    Args:
        scale: shrinks what distinguishes vectors from a common direction, `shift` times which is added.
    """
    d = 24
    generalisation = np.maximum(rng.normal(0.8, 0.4, n + m), 0)
    strength = generalisation + np.r_[np.full(n, memory), np.zeros(m)]
    centres = rng.normal(size=(n + m, d)) / np.sqrt(d)
    common = np.full(d, shift)

    def noisy() -> npt.NDArray[np.float32]:
        noise = rng.normal(size=(n + m, d)) / np.sqrt(d)
        return np.asarray(scale * (strength[:, None] * centres + noise) + common, dtype=np.float32)

    pictures = np.stack([noisy() for _ in range(views)])
    return ImageTextVectors(pictures, noisy()) if kind == "image-text" else ViewVectors(pictures)


def run(
    after: Vectors,
    n: int,
    *,
    before: Vectors | None = None,
    checks: tuple[Check, ...] = (),
    settings: AuditSettings = QUICK,
) -> AuditResult:
    ids = [f"item {i}" for i in range(after.n)]
    return audit(after, owner_ids=ids[:n], control_ids=ids[n:], before=before, checks=checks, settings=settings)


@pytest.mark.parametrize("kind", ["image-text", "two-view"])
class TestVerdicts:
    def test_a_memory_that_is_still_there_is_under_forgotten(self, kind: Kind) -> None:
        rng = np.random.default_rng(1)
        before, after = (encoder(kind, 60, 120, memory=2, rng=rng) for _ in range(2))
        found = run(after, 60, before=before)
        assert found.verdict == "under-forgotten"
        assert found.findings["memory before"].p < 0.05
        assert found.findings["change"].p > 0.05
        assert found.membership["after"].auc.low > 0.7
        assert found.mode == kind

    def test_a_memory_that_is_gone_is_forgotten(self, kind: Kind) -> None:
        rng = np.random.default_rng(2)
        found = run(encoder(kind, 200, 300, rng=rng), 200, before=encoder(kind, 200, 300, memory=3, rng=rng))
        assert found.verdict == "forgotten"
        assert found.findings["change"].p < 0.05
        assert found.delta <= 0.5
        assert found.detectability.power > 0.99

    def test_a_memory_turned_into_aversion_is_over_forgotten(self, kind: Kind) -> None:
        rng = np.random.default_rng(3)
        found = run(encoder(kind, 80, 160, memory=-0.7, rng=rng), 80, before=encoder(kind, 80, 160, memory=2, rng=rng))
        assert found.verdict == "over-forgotten"

    def test_where_there_was_no_memory_nothing_can_be_told(self, kind: Kind) -> None:
        rng = np.random.default_rng(4)
        found = run(encoder(kind, 80, 160, rng=rng), 80, before=encoder(kind, 80, 160, rng=rng))
        assert found.verdict == "cannot tell"
        assert "nothing to forget" in found.rule

    def test_few_items_cannot_be_told_forgotten(self, kind: Kind) -> None:
        rng = np.random.default_rng(5)
        found = run(encoder(kind, 8, 60, rng=rng), 8, before=encoder(kind, 8, 60, memory=3, rng=rng))
        assert found.verdict == "cannot tell"
        assert "would settle it" in found.rule

    def test_shrinking_everything_towards_one_direction_does_not_look_like_forgetting(self, kind: Kind) -> None:
        rng = np.random.default_rng(6)
        before = encoder(kind, 80, 160, memory=2, rng=rng)
        collapsed = encoder(kind, 80, 160, memory=2, rng=rng, scale=0.05, shift=1.0)
        found = run(collapsed, 80, before=before)
        assert found.verdict == "under-forgotten"
        assert abs(found.findings["trace"].difference) < 0.1  # although the similarities hardly differ any more


def test_without_the_encoder_before_fewer_questions_are_answered_and_that_is_said() -> None:
    found = run(encoder("image-text", 60, 120, memory=2, rng=np.random.default_rng(1)), 60)
    assert set(found.findings) == {"trace", "below never-seen", "like never-seen"}
    assert found.delta == 0.5
    assert found.detectability.source == "planted"
    assert found.collateral is None
    assert (
        "not known without the encoder before"
        in run(encoder("image-text", 200, 300, rng=np.random.default_rng(3)), 200).rule
    )
    assert any("not known whether there was anything to forget" in sentence for sentence in found.explain())


def test_retrain_is_put_beside() -> None:
    rng = np.random.default_rng(1)
    after, before, retrained = (encoder("two-view", 60, 120, memory=m, rng=rng) for m in (2, 2, 0))
    ids = [str(i) for i in range(180)]
    found = audit(after, owner_ids=ids[:60], control_ids=ids[60:], before=before, retrained=retrained, settings=QUICK)
    assert abs(found.findings["retrained"].effect.value) < 0.5
    assert set(found.membership) == {"before", "after", "retrained"}


@pytest.mark.parametrize(
    ("name", "memory", "expected"),
    [
        (GUARD, 2.0, "cannot tell"),
        (GUARD, 0.0, "cannot tell"),
        ("hash filter", 0.0, "cannot tell"),
        ("hash filter", 2.0, "under-forgotten"),
        ("hash filter", -0.7, "cannot tell"),
        (SINGLED_OUT, 0.0, "cannot tell"),
        (SINGLED_OUT, 2.0, "under-forgotten"),
        (SINGLED_OUT, -0.7, "over-forgotten"),
    ],
)
def test_a_failed_check_caps_the_verdict_and_says_why(name: str, memory: float, expected: str) -> None:
    rng = np.random.default_rng(2)
    failed = Check(name=name, passed=False, value="AUC .90", meaning="They differ without any encoder.")
    before = encoder("two-view", 200, 300, memory=3, rng=rng)
    found = run(encoder("two-view", 200, 300, memory=memory, rng=rng), 200, before=before, checks=(failed,))
    assert found.verdict == expected
    assert any("They differ without any encoder." in sentence for sentence in found.explain())
    passed = failed.model_copy(update={"passed": True})
    assert run(encoder("two-view", 200, 300, rng=rng), 200, before=before, checks=(passed,)).verdict == "forgotten"


def test_items_are_judged_one_by_one_and_those_of_concern_come_first() -> None:
    rng = np.random.default_rng(7)
    vectors = encoder("image-text", 40, 400, rng=rng)
    assert isinstance(vectors, ImageTextVectors)
    vectors.texts[:6] = vectors.views[0, :6]  # six items that the encoder knows by heart
    vectors.views[1, :6] = vectors.views[0, :6]
    found = run(vectors, 40)
    assert {item.id for item in found.items[:6]} == {f"item {i}" for i in range(6)}
    assert [item.verdict for item in found.items[:6]] == ["trace found"] * 6
    assert sum(item.verdict == "trace found" for item in found.items) <= 8
    assert all(item.q >= item.p for item in found.items)


def test_a_set_like_never_seen_ones_is_not_forgotten_while_single_pictures_stand_out() -> None:
    rng = np.random.default_rng(8)
    before, after = encoder("image-text", 100, 800, memory=3, rng=rng), encoder("image-text", 100, 800, rng=rng)
    assert isinstance(after, ImageTextVectors)
    assert run(after, 100, before=before).verdict == "forgotten"
    after.views[:, :5] = 3 * after.texts[:5]
    found = run(after, 100, before=before)
    assert found.findings["like never-seen"].p < 0.05
    assert found.verdict == "under-forgotten"
    assert "5 of them, taken one by one, still stand out" in found.rule


def test_on_controls_of_the_last_resort_nothing_is_told() -> None:
    rng = np.random.default_rng(2)
    check = Check(name=STAND_INS, passed=False, value="changed", meaning="They are strongly changed.")
    before = encoder("two-view", 200, 300, memory=3, rng=rng)
    for memory in (-1.5, 0.0, 3.0):
        found = run(encoder("two-view", 200, 300, memory=memory, rng=rng), 200, before=before, checks=(check,))
        assert (found.verdict, found.rule) == ("cannot tell", "They are strongly changed.")


def test_so_many_pictures_as_are_said_to_settle_it_do() -> None:
    rng = np.random.default_rng(13)
    few = run(encoder("image-text", 10, 40, rng=rng), 10, before=encoder("image-text", 10, 40, memory=2, rng=rng))
    told = re.search(r"About ([\d,]+) pictures", few.rule)
    assert told is not None
    n = int(told[1].replace(",", ""))
    standings = rng.normal(size=(400, 2, n))
    settled = np.mean([equivalence_p(*(normal_scores(*pair)), bound=few.delta) < 0.05 for pair in standings])
    assert settled == pytest.approx(0.8, abs=0.08)


def test_the_result_survives_json_and_repeats_with_the_seed() -> None:
    rng = np.random.default_rng(9)
    after, before = encoder("two-view", 30, 60, rng=rng), encoder("two-view", 30, 60, memory=2, rng=rng)
    first, second = (run(after, 30, before=before) for _ in range(2))
    assert first == second
    text = first.model_dump_json()
    json.loads(text)
    assert AuditResult.model_validate_json(text) == first


def test_every_finding_has_a_sentence_with_its_numbers() -> None:
    rng = np.random.default_rng(9)
    found = run(encoder("two-view", 30, 60, rng=rng), 30, before=encoder("two-view", 30, 60, memory=2, rng=rng))
    for finding in found.findings.values():
        assert finding.meaning.endswith(".")
        assert "p" in finding.meaning
    assert "does not prove deletion" in found.explain()[-1]


class TestRefusals:
    def test_too_few(self) -> None:
        rng = np.random.default_rng(0)
        with pytest.raises(MucError, match="4 pictures to audit; at least 5"):
            run(encoder("two-view", 4, 60, rng=rng), 4)
        with pytest.raises(MucError, match=f"19 controls; at least {FEWEST_CONTROLS}"):
            run(encoder("two-view", 20, 19, rng=rng), 20)

    def test_an_item_among_the_controls(self) -> None:
        vectors = encoder("two-view", 10, 30, rng=np.random.default_rng(0))
        ids = [str(i) for i in range(10)]
        with pytest.raises(MucError, match="'3' is both"):
            audit(vectors, owner_ids=ids, control_ids=[*(f"c{i}" for i in range(29)), "3"])
        vectors.views[:, 17] = vectors.views[:, 4]
        with pytest.raises(MucError, match="'item 17' is the same picture as 'item 4'"):
            run(vectors, 10)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
    def test_vectors_without_a_direction(self, value: float) -> None:
        vectors = encoder("image-text", 10, 30, rng=np.random.default_rng(0))
        assert isinstance(vectors, ImageTextVectors)
        vectors.texts[12] = value
        with pytest.raises(MucError, match=r"caption vector .* 'item 12'"):
            run(vectors, 10)

    def test_encoders_of_different_length_or_kind(self) -> None:
        rng = np.random.default_rng(0)
        before, after = encoder("two-view", 10, 30, rng=rng), encoder("two-view", 10, 30, rng=rng)
        assert isinstance(after, ViewVectors)
        with pytest.raises(MucError, match="24 and 20 numbers a picture"):
            run(ViewVectors(after.views[:, :, :20]), 10, before=before)
        with pytest.raises(MucError, match="captions' vectors"):
            run(encoder("image-text", 10, 30, rng=rng), 10, before=before)

    def test_scores_that_are_all_equal(self) -> None:
        same = np.ones((2, 40, 8), dtype=np.float32)
        with pytest.raises(MucError, match="equally alike"):
            run(ViewVectors(same), 10)

    def test_controls_that_are_all_equal(self) -> None:
        vectors = encoder("two-view", 10, 30, rng=np.random.default_rng(0))
        vectors.views[:, 10:] = vectors.views[0, 10]
        with pytest.raises(MucError, match="all controls equally alike"):
            run(vectors, 10)

    def test_a_control_nearly_the_same_as_the_owners_is_told(self) -> None:
        vectors = encoder("two-view", 10, 30, rng=np.random.default_rng(0))
        vectors.views[:, 17] = vectors.views[:, 4] + 0.003
        assert any("1 of the controls is nearly the same" in warning for warning in run(vectors, 10).warnings)

    def test_another_number_of_vectors(self) -> None:
        vectors = encoder("two-view", 10, 30, rng=np.random.default_rng(0))
        with pytest.raises(MucError, match="for 41 items"):
            audit(vectors, owner_ids=[str(i) for i in range(11)], control_ids=[f"c{i}" for i in range(30)])


def test_the_error_rates_of_a_null_audit_are_nominal() -> None:
    rng = np.random.default_rng(10)
    audits = 150
    traces = below = items = forgotten = 0
    for _ in range(audits):
        found = run(encoder("image-text", 25, 80, rng=rng), 25)
        traces += found.findings["trace"].p < 0.05
        below += found.findings["below never-seen"].p < 0.05
        items += any(item.verdict != "no trace found" for item in found.items)
        forgotten += found.verdict == "forgotten"
    assert traces <= allowed(0.05, audits)
    assert below <= allowed(0.05, audits)
    assert items <= allowed(0.1, audits)  # a false discovery on either side, at 5 % each


def test_adjustment_takes_what_traits_explain_and_nothing_else() -> None:
    rng = np.random.default_rng(11)
    traits = rng.normal(size=(300, 2))
    scores = traits @ np.array([1.0, -0.5]) + rng.normal(0, 0.5, 300)
    scores[:100] += 0.8
    found = adjust(scores[:100], scores[100:], traits[:100], traits[100:])
    assert found.explained == pytest.approx(1.25 / 1.5, abs=0.06)
    assert found.owner.mean() - found.controls.mean() == pytest.approx(0.8, abs=0.12)
    useless = adjust(scores[:100], scores[100:], rng.normal(size=(100, 2)), np.zeros((200, 2)))
    assert useless.explained == 0
    assert useless.controls.mean() == pytest.approx(0)


def test_leaving_one_out_is_what_a_fit_without_it_gives() -> None:
    rng = np.random.default_rng(12)
    traits = rng.normal(size=(50, 2))
    scores = traits @ np.array([1.0, -0.5]) + rng.normal(0, 0.5, 50)
    found = adjust(scores[:5], scores, traits[:5], traits)
    best = None
    for penalty in np.logspace(-1, 4, 11):
        standard = (traits - traits.mean(0)) / traits.std(0)
        left = []
        for i in range(50):
            rest = [j for j in range(50) if j != i]
            design = np.column_stack([np.ones(49), standard[rest]])
            weights = np.linalg.solve(design.T @ design + np.diag([0, penalty, penalty]), design.T @ scores[rest])
            left.append(scores[i] - np.r_[1, standard[i]] @ weights)
        if best is None or np.square(left).sum() < np.square(best).sum():
            best = left
    assert found.controls.tolist() == pytest.approx(best)
