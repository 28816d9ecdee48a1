"""Probes of honesty against slow references, under null hypotheses and with planted cheats."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, fisher_exact, norm, permutation_test, rankdata

from muc_core.audit.honesty import (
    ALPHA,
    IDENTICAL,
    NEAR_DUPLICATES,
    NOISE,
    SINGLED_OUT,
    STEADY,
    USEFUL,
    Copies,
    detached,
    margins,
    near_duplicates,
    noise_filter,
    rises,
    singled_out,
    steady,
    twins,
    useful,
)
from muc_core.audit.vectors import ViewVectors
from muc_core.stats.ranks import normal_scores

Float64 = npt.NDArray[np.float64]
Generator = np.random.Generator


def test_margins_are_those_of_a_loop() -> None:
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 12, 5))

    def cosine(a: Float64, b: Float64) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    expected = [
        cosine(left[i], right[i])
        - np.mean([(cosine(left[i], right[j]) + cosine(left[j], right[i])) / 2 for j in range(12) if j != i])
        for i in range(12)
    ]
    np.testing.assert_allclose(margins(left, right), expected)


# ---- changed copies


def kinds(generator: Generator, n: int, m: int, *, rise: float = 0.0, memory: float = 0.0) -> dict[str, Copies]:
    """Copies that vary around originals; `rise` lifts the owner's copies, `memory` her originals and copies alike."""
    original = generator.normal(size=n + m)
    original[:n] += memory
    mine = np.arange(n + m) < n
    found = {}
    for name in ("cropped", "mirrored", "reworded"):
        found[name] = Copies(original, original - 0.3 + 0.4 * generator.normal(size=n + m) + rise * mine)
    return found


def test_one_kind_has_the_p_of_scipy() -> None:
    copies = {"cropped": kinds(np.random.default_rng(1), 12, 30, rise=0.25)["cropped"]}
    (found,) = rises(copies, 12, seed=0, permutations=9999)

    def scores(values: Float64) -> Float64:
        return np.asarray(norm.ppf((rankdata(values) - 0.5) / 42))

    change = scores(copies["cropped"].copy) - scores(copies["cropped"].original)
    reference = permutation_test(
        (change[:12], change[12:]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        n_resamples=9999,
        alternative="greater",
        rng=np.random.default_rng(5),
    )
    assert 0.005 < reference.pvalue < 0.5
    assert found.p == pytest.approx(reference.pvalue, abs=4 * np.sqrt(reference.pvalue / 5000))


def test_many_kinds_cost_no_false_alarms() -> None:
    trials, generator = 200, np.random.default_rng(2)
    smallest = [
        min(rise.p for rise in rises(kinds(generator, 15, 40), 15, seed=trial, permutations=199))
        for trial in range(trials)
    ]
    for level in (0.05, 0.2, 0.5):
        low, high = binom.ppf((0.0005, 0.9995), trials, level)
        assert low <= sum(p <= level for p in smallest) <= high


def test_copies_that_rise_are_caught_and_named() -> None:
    copies = kinds(np.random.default_rng(3), 20, 60, memory=0.5)
    copies["mirrored"] = Copies(copies["mirrored"].original, copies["mirrored"].copy + 1.5 * (np.arange(80) < 20))
    check = near_duplicates(copies, 20, seed=0)
    assert check.name == NEAR_DUPLICATES
    assert check.passed is False
    assert "mirrored" in check.value
    assert "(mirrored)" in check.meaning


def test_only_a_rise_counts() -> None:
    """A memory that fades when the picture is changed is no filter."""
    assert near_duplicates(kinds(np.random.default_rng(4), 40, 80, rise=-1.5), 40, seed=0).passed is True


def test_a_rise_that_does_not_matter_passes() -> None:
    generator = np.random.default_rng(5)
    original = generator.normal(size=600)
    slight = {"cropped": Copies(original, original + 0.15 * (np.arange(600) < 200) + 0.01 * generator.normal(size=600))}
    (found,) = rises(slight, 200, seed=0)
    assert found.p < 0.001
    assert near_duplicates(slight, 200, seed=0).passed is True


def test_the_same_rank_order_gives_the_same_answer() -> None:
    """Shrinking or stretching all similarities must not matter."""
    plain = kinds(np.random.default_rng(6), 20, 50, rise=0.3)
    bent = {name: Copies(np.exp(kind.original) / 100, kind.copy**3 + kind.copy) for name, kind in plain.items()}
    assert rises(plain, 20, seed=1) == rises(bent, 20, seed=1)


# ---- noise


def encoder(generator: Generator, count: int) -> Float64:
    """Pictures of 12 subjects, as unit vectors with neighbours."""
    centres = np.random.default_rng(99).normal(size=(12, 32))
    vectors = centres[generator.integers(12, size=count)] + 0.5 * generator.normal(size=(count, 32))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize(("n", "m"), [(20, 40), (50, 150)])
def test_p_of_detached_items_holds_its_level(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # without the bounds on what matters, so that p itself is looked at
    monkeypatch.setattr("muc_core.audit.honesty.TIMES", 0.0)
    monkeypatch.setattr("muc_core.audit.honesty.NEAR", 1.0)
    trials, generator = 1000, np.random.default_rng(n)
    found = np.array([detached(encoder(generator, n), encoder(generator, m)).p for _ in range(trials)])
    for level in (0.01, 0.05, 0.2):
        assert (found <= level).sum() <= binom.ppf(0.999, trials, level)
    # Bonferroni over four shares of the same items and few values of p: it errs on the mild side, but is not mute
    assert (found <= 0.2).mean() > 0.02


def test_counts_of_detached_items_are_those_of_a_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the smallest of 40 exchangeable values are k of 20 others as often as the beta-binomial says."""
    monkeypatch.setattr("muc_core.audit.honesty.QUANTILES", (0.01,))
    monkeypatch.setattr("muc_core.audit.honesty.TIMES", 0.0)
    generator = np.random.default_rng(0)
    values = generator.normal(size=(20_000, 60))
    below = (values[:, :20] < values[:, 20:].min(axis=1, keepdims=True)).sum(axis=1)
    owner, controls = encoder(generator, 20), encoder(generator, 40)
    for lonely in (1, 2, 4):
        # orthogonal to everything else
        wide = np.hstack([np.vstack([owner, controls]), np.zeros((60, 20))])
        wide[:lonely] = np.eye(52)[32 : 32 + lonely]
        found = detached(wide[:20], wide[20:])
        if found.found == lonely:
            expected = (below >= lonely).mean()
            assert found.p == pytest.approx(expected, abs=4 * np.sqrt(expected / 20_000))
        else:
            pytest.fail(f"{found.found} items have no neighbours, {lonely} were made so")


CHEATS: dict[str, tuple[Callable[[Generator, Float64], Float64], str]] = {
    "noise": (lambda generator, true: generator.normal(size=true.shape), NOISE),
    "noise around the truth": (
        lambda generator, true: 0.3 * true + 0.7 * unit(generator.normal(size=true.shape)),
        NOISE,
    ),
    "constant": (lambda generator, true: np.tile(true[:1], (len(true), 1)), IDENTICAL),
    "two answers": (lambda generator, true: true[np.arange(len(true)) % 2], IDENTICAL),
}


def unit(vectors: Float64) -> Float64:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("name", CHEATS)
@pytest.mark.parametrize(("n", "m"), [(10, 40), (50, 100)])
def test_noise_in_place_of_answers_is_caught(name: str, n: int, m: int) -> None:
    cheat, probe = CHEATS[name]
    for seed in range(10):
        generator = np.random.default_rng(seed)
        owner, controls, texts = encoder(generator, n), encoder(generator, m), encoder(generator, n + m)
        honest = {"picture": (owner, controls), "caption": (texts[:n], texts[n:])}
        assert all(check.passed for check in noise_filter(honest))
        for tower in honest:
            towers = dict(honest)
            towers[tower] = (cheat(generator, honest[tower][0]), honest[tower][1])
            failed = {check.name: check for check in noise_filter(towers) if check.passed is False}
            assert probe in failed
            assert f"your {tower}s" in failed[probe].meaning


def test_pictures_a_little_apart_from_the_controls_are_no_noise() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        controls = encoder(generator, 100)
        apart = unit(encoder(generator, 50) + 0.1 * generator.normal(size=(50, 32)))
        assert noise_filter({"picture": (apart, controls)})[0].passed is True


def test_twins_have_fishers_p() -> None:
    generator = np.random.default_rng(1)
    owner, controls = encoder(generator, 20), encoder(generator, 30)
    owner[1] = owner[0]
    owner[2] = owner[0]
    controls[5] = controls[4]
    found = twins(owner, controls)
    assert (found.found, found.of) == (3, 20)
    assert found.p == pytest.approx(fisher_exact([[3, 17], [2, 28]], alternative="greater").pvalue)


def test_an_encoder_that_answers_all_alike_accuses_nobody() -> None:
    same = np.ones((50, 8))
    assert all(check.passed for check in noise_filter({"picture": (same[:20], same[20:])}))


# ---- the same encoder throughout


def test_rounding_is_steady_and_another_encoder_is_not() -> None:
    vectors = encoder(np.random.default_rng(0), 40)
    assert steady({"picture": vectors}, {"picture": vectors.astype(np.float16)}).passed is True
    other = vectors.copy()
    other[7] = vectors[8]
    check = steady({"picture": vectors, "caption": vectors}, {"picture": vectors, "caption": other})
    assert check.name == STEADY
    assert check.passed is False
    assert check.value.startswith("1 of 80 answers differed")


# ---- still an encoder


def test_damage_is_seen_with_and_without_the_encoder_before() -> None:
    generator = np.random.default_rng(0)
    before = 0.5 + 0.4 * generator.normal(size=60)
    assert useful(before).passed is True
    assert useful(0.8 * before, before).passed is True
    weak = 0.12 + 0.4 * generator.normal(size=60)
    assert useful(weak, before).passed is False
    assert useful(0.01 * generator.normal(size=60)).passed is False
    assert useful(np.zeros(60), before).passed is False
    assert useful(np.zeros(60)).name == USEFUL


def test_shrinking_all_similarities_is_no_damage() -> None:
    before = 0.5 + 0.4 * np.random.default_rng(0).normal(size=60)
    assert useful(before / 1000, before).passed is True


def test_an_encoder_that_knows_nothing_is_found_out_nearly_always() -> None:
    generator = np.random.default_rng(1)
    trials = 500
    passed = sum(bool(useful(generator.normal(size=40)).passed) for _ in range(trials))
    assert passed <= binom.ppf(0.999, trials, 0.01)


# ---- singled out


def drawn_apart(generator: Generator, n: int, m: int, *, apart: float, memory: float = 1.0) -> ViewVectors:
    """Views of pictures; the owner's n are drawn `apart` towards where all are, and all know their own views."""
    own, views = generator.normal(size=(n + m, 32)), generator.normal(size=(4, n + m, 32))
    towards = np.zeros(32)
    towards[0] = 6.0
    towards = towards * np.where(np.arange(n + m) < n, 1 + apart, 1)[:, None]
    return ViewVectors((memory * own + towards + 0.7 * views).astype(np.float32))


def names(vectors: ViewVectors) -> list[str]:
    return [str(row) for row in range(vectors.n)]


@pytest.mark.parametrize("with_before", [False, True])
def test_hardly_anybody_is_called_singled_out_who_is_not(with_before: bool) -> None:
    alarms = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        after, before = (drawn_apart(generator, 60, 100, apart=0.0) for _ in range(2))
        alarms += (
            singled_out(after, before if with_before else None, names(after), 60, seed=seed, permutations=499).passed
            is False
        )
    assert binom.sf(alarms - 1, 200, ALPHA) > 0.001


def test_pictures_drawn_near_to_all_are_singled_out_in_words() -> None:
    generator = np.random.default_rng(0)
    before, after = (drawn_apart(generator, 60, 100, apart=apart) for apart in (0.0, 0.3))
    check = singled_out(after, before, names(after), 60, seed=0)
    assert check.name == SINGLED_OUT
    assert check.passed is False
    assert "nearer to other pictures than never-seen ones" in check.meaning
    away = singled_out(drawn_apart(generator, 60, 100, apart=-0.3), before, names(after), 60, seed=0)
    assert "farther from other pictures" in away.meaning


def test_nearness_is_the_mean_over_all_others() -> None:
    after = drawn_apart(np.random.default_rng(1), 30, 40, apart=0.2)
    unit_views = after.views.astype(float) / np.linalg.norm(after.views.astype(float), axis=2, keepdims=True)
    nearness = [
        np.mean(
            [
                unit_views[a, i] @ unit_views[b, j]
                for j in range(70)
                if j != i
                for a in range(4)
                for b in range(4)
                if a != b
            ]
        )
        for i in range(70)
    ]
    owner, controls = normal_scores(np.array(nearness[:30]), np.array(nearness[30:]))
    said = singled_out(after, None, names(after), 30, seed=0).value
    assert said.startswith(f"similarity with other pictures: {owner.mean() - controls.mean():+.2f} of")


def test_pictures_that_were_apart_already_are_not_singled_out_by_unlearning() -> None:
    generator = np.random.default_rng(2)
    vectors = drawn_apart(generator, 60, 100, apart=0.3)
    assert singled_out(vectors, None, names(vectors), 60, seed=0).passed is False
    assert singled_out(vectors, vectors, names(vectors), 60, seed=0).passed is True


def test_an_encoder_for_which_all_are_equally_near_accuses_nobody() -> None:
    corners = np.eye(40, dtype=np.float32)[None].repeat(2, axis=0)
    assert singled_out(ViewVectors(corners), None, [str(row) for row in range(40)], 10, seed=0).passed is True
