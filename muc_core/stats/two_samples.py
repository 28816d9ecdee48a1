"""Two samples: permutation of items, Welch's interval, equivalence."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import comb
from scipy.stats import permutation_test, t

from muc_core.stats.ranks import Float64

Alternative = Literal["greater", "less", "two-sided"]


@dataclass(frozen=True)
class Permutation:
    """A permutation test of a difference of means.

    Attributes:
        difference: mean of the first sample less that of the second.
        p: (b + 1) / (permutations + 1) for random ones, b / permutations when all were tried.
        permutations: how many were looked at.
        exact: whether these were all there are.
    """

    difference: float
    p: float
    permutations: int
    exact: bool


_ITEMS_AT_ONCE = 2**22
"""Permuted items that are held at a time; does not change what is drawn."""


def permute(
    first: Float64, second: Float64, *, alternative: Alternative, permutations: int = 10_000, seed: int = 0
) -> Permutation:
    """Permute items between two samples; all ways when there are no more than `permutations` of them.

    Args:
        first, second: `[n]` and `[m]`.
        alternative: "greater" asks whether the first is above the second.
    """
    found = permutation_test(
        (first, second),
        _difference,
        permutation_type="independent",
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, min(1000, _ITEMS_AT_ONCE // (len(first) + len(second)))),
        alternative=alternative,
        rng=np.random.default_rng(seed),
    )
    looked_at = len(found.null_distribution)
    # scipy leaves the 1 out of numerator and denominator exactly when it has tried all permutations
    exact = looked_at < permutations or _all_ways(len(first), len(second)) <= permutations
    return Permutation(float(found.statistic), float(found.pvalue), looked_at, exact)


@dataclass(frozen=True)
class Difference:
    """Difference of means with Welch's standard error and 95 % interval."""

    mean: float
    standard_error: float
    low: float
    high: float


def welch(first: Float64, second: Float64, *, confidence: float = 0.95) -> Difference:
    """The difference of means of two samples of at least two items each, not both constant, with Welch's interval."""
    error, freedom = _welch_error(first, second)
    mean = float(first.mean() - second.mean())
    half = float(t.ppf((1 + confidence) / 2, freedom)) * error
    return Difference(mean, error, mean - half, mean + half)


def welch_p(first: Float64, second: Float64) -> float:
    """Two-sided p of Welch's test that two samples have one mean."""
    error, freedom = _welch_error(first, second)
    return float(2 * t.sf(abs(first.mean() - second.mean()) / error, freedom))


def equivalence_p(first: Float64, second: Float64, *, bound: float) -> float:
    """p of "the means differ by `bound` or more": two one-sided Welch tests (TOST, Schuirmann 1987), the larger p."""
    error, freedom = _welch_error(first, second)
    return float(t.sf((bound - abs(first.mean() - second.mean())) / error, freedom))


def _welch_error(first: Float64, second: Float64) -> tuple[float, float]:
    """Standard error of the difference of means, and its degrees of freedom.

    Written out because scipy warns where one sample is constant, as the owner's scores are when all stand above all
    controls.
    """
    shares = [sample.var(ddof=1) / len(sample) for sample in (first, second)]
    if sum(shares) == 0:
        return float(np.finfo(float).tiny), float(len(first) + len(second) - 2)
    degrees = sum(shares) ** 2 / sum(
        share**2 / (len(sample) - 1) for share, sample in zip(shares, (first, second), strict=True)
    )
    return float(np.sqrt(sum(shares))), float(degrees)


def _difference(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], axis: int) -> Float64:
    difference: Float64 = first.mean(axis=axis) - second.mean(axis=axis)
    return difference


def _all_ways(n: int, m: int) -> float:
    return float(comb(n + m, n))
