"""Ranks, permutations, equivalence, power and rates against scipy, plain loops and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, kstest, mannwhitneyu, ttest_ind
from sklearn.metrics import roc_auc_score

from muc_core.stats.power import power, smallest_share
from muc_core.stats.ranks import auc, conformal_p, normal_scores
from muc_core.stats.rates import auc_with_interval, rate, true_positive_rate
from muc_core.stats.two_samples import equivalence_p, permute, welch, welch_p

RNG = np.random.default_rng(0)


def allowed(rate_: float, trials: int) -> int:
    """More successes than this happen by chance in one of 10,000 runs of the tests."""
    return next(k for k in range(trials + 1) if binomtest(k, trials, rate_, alternative="greater").pvalue < 1e-4) - 1


class TestRanks:
    def test_normal_scores_keep_under_rising_transformations(self) -> None:
        owner, controls = RNG.normal(size=9), RNG.normal(size=30)
        plain, bent = normal_scores(owner, controls), normal_scores(np.exp(owner) * 3, np.exp(controls) * 3)
        assert all(np.allclose(a, b) for a, b in zip(plain, bent, strict=True))

    def test_controls_have_the_middle_and_an_item_in_the_middle_gets_it(self) -> None:
        controls = np.arange(11.0)
        owner, own = normal_scores(np.array([5.0, -100.0, 100.0]), controls)
        assert own.mean() == pytest.approx(0)
        assert owner[0] == pytest.approx(0)
        assert owner[1] == pytest.approx(-owner[2])
        assert np.isfinite(owner).all()

    def test_exchangeable_items_get_standard_normal_scores(self) -> None:
        scores = np.concatenate(
            [normal_scores(RNG.exponential(size=5), RNG.exponential(size=200))[0] for _ in range(400)]
        )
        assert abs(scores.mean()) < 0.1
        assert scores.std() == pytest.approx(1, abs=0.06)

    def test_conformal_p_counts_controls_at_or_above(self) -> None:
        owner, controls = np.array([3.0, 2.0, -1.0]), np.array([0.0, 1.0, 2.0, 2.0])
        expected = [(1 + sum(c >= o for c in controls)) / 5 for o in owner]
        assert conformal_p(owner, controls).tolist() == expected

    def test_conformal_p_is_uniform_or_larger_under_exchangeability(self) -> None:
        p = np.concatenate([conformal_p(RNG.normal(size=1), RNG.normal(size=99)) for _ in range(2000)])
        assert kstest(p, "uniform").pvalue > 1e-4
        assert (p <= 0.05).sum() <= allowed(0.05, 2000)

    def test_auc_is_scikit_learns_and_mann_whitneys(self) -> None:
        owner, controls = RNG.integers(0, 6, 20).astype(float), RNG.integers(0, 6, 31).astype(float)
        expected = roc_auc_score([1] * 20 + [0] * 31, np.concatenate([owner, controls]))
        assert auc(owner, controls) == pytest.approx(expected)
        assert auc(owner, controls) == pytest.approx(mannwhitneyu(owner, controls).statistic / 20 / 31)


class TestTwoSamples:
    @pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
    def test_small_samples_are_permuted_in_all_ways(self, alternative: str) -> None:
        first, second = np.array([3.0, 1.0, 4.0]), np.array([1.0, 0.0, 2.0, 2.5])
        found = permute(first, second, alternative=alternative, permutations=1000)  # type: ignore[arg-type]
        both = np.concatenate([first, second])
        differences = []
        for chosen in itertools.combinations(range(7), 3):
            rest = [i for i in range(7) if i not in chosen]
            differences.append(both[list(chosen)].mean() - both[rest].mean())
        observed = first.mean() - second.mean()
        above, below = (
            sum(d >= observed - 1e-12 for d in differences) / 35,
            sum(d <= observed + 1e-12 for d in differences) / 35,
        )
        expected = {"greater": above, "less": below, "two-sided": min(1, 2 * min(above, below))}[alternative]
        assert found.p == pytest.approx(expected)
        assert (found.exact, found.permutations) == (True, 35)

    def test_random_permutations_count_the_observation_and_repeat_with_the_seed(self) -> None:
        first, second = RNG.normal(5, 1, 30), RNG.normal(0, 1, 30)
        found = permute(first, second, alternative="greater", permutations=999, seed=3)
        assert (found.p, found.exact) == (1 / 1000, False)
        near = RNG.normal(0.3, 1, 30)
        again = [permute(near, second, alternative="greater", permutations=999, seed=3).p for _ in range(2)]
        assert again[0] == again[1]

    def test_false_alarms_come_at_the_nominal_rate_and_effects_are_found(self) -> None:
        alarms = sum(
            permute(RNG.gamma(1, size=12), RNG.gamma(1, size=40), alternative="greater", permutations=199).p <= 0.05
            for _ in range(400)
        )
        assert allowed(0.05, 400) >= alarms >= 5
        found = sum(
            permute(RNG.normal(1, 1, 30), RNG.normal(0, 1, 60), alternative="greater", permutations=199).p <= 0.05
            for _ in range(50)
        )
        assert found >= 48

    def test_welch_covers_the_true_difference(self) -> None:
        covered = 0
        for _ in range(1000):
            gap = welch(RNG.normal(1, 2, 15), RNG.normal(0, 1, 40))
            covered += gap.low <= 1 <= gap.high
        assert 1000 - covered <= allowed(0.05, 1000)
        gap = welch(np.array([1.0, 3.0]), np.array([0.0, 2.0, 4.0]))
        assert gap.mean == pytest.approx(0)
        assert gap.standard_error == pytest.approx(math.sqrt(2 / 2 + 4 / 3))

    def test_p_values_are_scipys(self) -> None:
        first, second = RNG.normal(0.4, 2, 12), RNG.normal(0, 1, 30)
        assert welch_p(first, second) == pytest.approx(ttest_ind(first, second, equal_var=False).pvalue)
        interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
        gap = welch(first, second)
        assert (gap.low, gap.high) == pytest.approx((interval.low, interval.high))
        above = ttest_ind(first + 0.7, second, equal_var=False, alternative="greater").pvalue
        below = ttest_ind(first - 0.7, second, equal_var=False, alternative="less").pvalue
        assert equivalence_p(first, second, bound=0.7) == pytest.approx(max(above, below))

    def test_constant_samples_differ_or_do_not(self) -> None:
        assert welch_p(np.zeros(4), np.zeros(5)) == 1.0
        assert welch_p(np.ones(4), np.zeros(5)) == 0.0

    def test_equivalence_errs_at_the_nominal_rate_on_the_bound_and_holds_within(self) -> None:
        wrong = sum(
            equivalence_p(RNG.normal(0.5, 1, 100), RNG.normal(0, 1, 100), bound=0.5) < 0.05 for _ in range(1000)
        )
        assert wrong <= allowed(0.05, 1000)
        right = sum(equivalence_p(RNG.normal(0, 1, 200), RNG.normal(0, 1, 200), bound=0.5) < 0.05 for _ in range(100))
        assert right >= 95
        assert equivalence_p(RNG.normal(0, 1, 6), RNG.normal(0, 1, 6), bound=0.5) > 0.05


class TestPowerAndRates:
    @pytest.mark.parametrize(("effect", "n", "m"), [(0.5, 20, 100), (0.3, 100, 160), (1.0, 10, 40)])
    def test_power_is_what_simulation_finds(self, effect: float, n: int, m: int) -> None:
        found = np.mean(
            [
                (gap := welch(RNG.normal(effect, 1, n), RNG.normal(0, 1, m))).mean / gap.standard_error > 1.645
                for _ in range(1500)
            ]
        )
        assert power(effect, n, m) == pytest.approx(found, abs=0.05)

    @pytest.mark.parametrize(("share", "n", "m"), [(0.1, 50, 100), (0.3, 20, 100), (0.5, 20, 40)])
    def test_power_against_a_share_of_known_items_is_what_permutation_finds(self, share: float, n: int, m: int) -> None:
        known = round(share * n)
        seen = 0
        for seed in range(400):
            first = np.r_[RNG.normal(1.6, 1, known), RNG.normal(0, 1, n - known)]
            found = permute(first, RNG.normal(0, 1, m), alternative="greater", permutations=199, seed=seed)
            seen += found.p < 0.05
        assert power(1.6, n, m, share=known / n) == pytest.approx(seen / 400, abs=0.08)

    def test_the_smallest_share_is_seen_with_the_wanted_power(self) -> None:
        share = smallest_share(1.6, 37, 90, wanted=0.8)
        assert power(1.6, 37, 90, share=share) == pytest.approx(0.8, abs=1e-4)
        assert smallest_share(1.6, 20, 100) > smallest_share(1.6, 200, 100)

    def test_a_memory_that_is_too_faint_would_have_to_be_so_many_times_as_large(self) -> None:
        times = smallest_share(0.3, 20, 50)
        assert times > 1
        assert power(0.3 * times, 20, 50) == pytest.approx(0.8)
        assert smallest_share(0.0, 20, 50) == np.inf

    def test_rates_have_exact_intervals(self) -> None:
        found = rate(3, 20)
        interval = binomtest(3, 20).proportion_ci(0.95, method="exact")
        assert (found.value, found.low, found.high) == pytest.approx((0.15, interval.low, interval.high))

    def test_the_interval_of_auc_covers_the_truth(self) -> None:
        truth = 0.7602  # of a shift by one standard deviation: the normal cdf at 1 / sqrt 2
        covered = sum(
            (found := auc_with_interval(RNG.normal(1, 1, 40), RNG.normal(0, 1, 60))).low <= truth <= found.high
            for _ in range(400)
        )
        assert 400 - covered <= allowed(0.07, 400)

    def test_the_interval_of_auc_is_delongs_over_all_pairs(self) -> None:
        owner, controls = RNG.integers(2, 8, 30).astype(float), RNG.integers(0, 6, 40).astype(float)
        wins = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in controls] for a in owner]
        value = sum(map(sum, wins)) / 1200
        rows = [sum(row) / 40 for row in wins]
        columns = [sum(row[j] for row in wins) / 30 for j in range(40)]
        spread = [sum((share - value) ** 2 for share in shares) / (len(shares) - 1) for shares in (rows, columns)]
        half = 1.959964 * (spread[0] / 30 + spread[1] / 40) ** 0.5 / (value * (1 - value))
        low, high = (1 / (1 + np.exp(-(np.log(value / (1 - value)) + sign * half))) for sign in (-1, 1))
        found = auc_with_interval(owner, controls)
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-6)

    def test_auc_at_the_end_of_its_scale_still_has_an_interval(self) -> None:
        found = auc_with_interval(np.arange(10.0) + 100, np.arange(10.0))
        assert (found.value, found.high) == (1.0, 1.0)
        assert 0.5 < found.low < 1.0

    def test_true_positives_at_few_false_alarms(self) -> None:
        controls, owner = np.arange(100.0), np.array([98.5, 99.5, 50.0, 120.0])
        found = true_positive_rate(owner, controls, false_alarms=0.01)
        assert found is not None
        assert found.value == 0.75  # the threshold is the second highest control: one of a hundred exceeds it
        assert true_positive_rate(owner, controls[:99], false_alarms=0.01) is None
