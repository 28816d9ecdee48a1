"""Alpha over several looks: the functions of Lan and DeMets, and false alarms counted on simulated nulls."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import norm

from muc_core.stats.spending import Spending, levels, spent
from muc_core.stats.two_samples import permute

ALPHA = 0.05
KINDS: tuple[Spending, ...] = ("pocock", "obrien-fleming")


def slow(kind: Spending, share: float, alpha: float) -> float:
    """As Lan and DeMets (1983) write them."""
    if kind == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    normal = NormalDist()
    return 2 - 2 * normal.cdf(normal.inv_cdf(1 - alpha / 2) / math.sqrt(share))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("looks", [1, 2, 5, 30, 365])
def test_levels_are_positive_and_use_up_alpha(kind: Spending, looks: int) -> None:
    found = levels(kind, looks, ALPHA)
    assert len(found) == looks
    assert all(level >= 0 for level in found)
    assert sum(found) == pytest.approx(ALPHA, rel=1e-12)
    for number in (1, max(looks // 2, 1), looks):
        assert sum(found[:number]) == pytest.approx(slow(kind, number / looks, ALPHA), rel=1e-9, abs=1e-12)


def test_pocock_spends_early_and_obrien_fleming_late() -> None:
    pocock, late = (levels(kind, 10, ALPHA) for kind in KINDS)
    assert pocock[0] > pocock[-1]
    assert late[0] < 1e-6 < late[-1]
    assert spent("obrien-fleming", 0, ALPHA) == 0
    for wrong in ((-0.1, ALPHA), (1.1, ALPHA), (0.5, 0.0)):
        with pytest.raises(ValueError, match="must be in"):
            spent("pocock", *wrong)
    with pytest.raises(ValueError, match="at least one"):
        levels("pocock", 0, ALPHA)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_false_alarms_over_all_looks_stay_below_alpha_whatever_the_dependence(
    kind: Spending, correlation: float
) -> None:
    runs, looks = 40_000, 10
    rng = np.random.default_rng(1)
    common = rng.normal(size=(runs, 1))
    z = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * rng.normal(size=(runs, looks))
    alarms = (norm.sf(z) <= np.array(levels(kind, looks, ALPHA))).any(axis=1).mean()
    error = math.sqrt(ALPHA * (1 - ALPHA) / runs)
    assert alarms <= ALPHA + 3 * error
    if correlation == 0:  # the bound is nearly reached, so that little power is given away
        assert alarms >= 0.9 * ALPHA


def test_false_alarms_of_the_permutation_test_over_looks_with_other_views() -> None:
    """Items are drawn anew for each watch and measured with other noise at each look, as other views do."""
    runs, looks, items, controls = 200, 4, 8, 24
    rng = np.random.default_rng(2)
    allowed = levels("pocock", looks, ALPHA)
    alarms = 0
    for _ in range(runs):
        scores = rng.normal(size=items + controls)
        seen = [scores + 0.5 * rng.normal(size=scores.shape) for _ in range(looks)]
        alarms += any(
            permute(look[:items], look[items:], alternative="greater", permutations=499, seed=number).p <= level
            for number, (look, level) in enumerate(zip(seen, allowed, strict=True))
        )
    assert alarms / runs <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
