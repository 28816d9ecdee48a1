"""Standings among controls and movements between two readings."""

import numpy as np
import pytest
from scipy.stats import t, ttest_ind

from muc_core.evaluation.standing import Reading, over_halves, shift, summarise


def reading(effect: float, *, n: int = 40, m: int = 60, seed: int = 0, scale: float = 1.0) -> Reading:
    draw = np.random.default_rng(seed)
    owner, controls = scale * (draw.normal(size=n) + effect), scale * draw.normal(size=m)
    return Reading(owner, controls, owner / 10, controls / 10, owner > 1)


def test_what_stands_above_is_seen_and_what_does_not_is_not() -> None:
    above, alike = summarise(reading(1.5)), summarise(reading(0.0))
    assert above.p < 0.01 < alike.p
    assert above.effect.low > 0
    assert above.effect.value == pytest.approx(1.5, abs=0.5)
    assert alike.effect.low < 0 < alike.effect.high


def test_an_encoder_that_shrinks_everything_changes_nothing() -> None:
    first, shrunk = summarise(reading(0.7)), summarise(reading(0.7, scale=0.01))
    assert shrunk.effect == first.effect
    assert shrunk.p == first.p


def test_the_other_figures_are_means() -> None:
    given = reading(1.0)
    found = summarise(given)
    assert found.positive == given.positive.mean()
    assert found.control_positive == given.control_positive.mean()
    assert given.first is not None
    assert found.first == given.first.mean()
    silent = Reading(given.owner, given.controls, given.positive, given.control_positive, None)
    assert summarise(silent).first is None


def test_a_movement_is_that_of_the_owners_items_less_that_of_the_controls() -> None:
    draw = np.random.default_rng(1)
    owner, controls = draw.normal(1.2, 0.5, size=30), draw.normal(0.2, 1.0, size=50)
    found = shift(owner, controls)
    test = ttest_ind(owner, controls, equal_var=False)
    assert found.effect.value == pytest.approx(owner.mean() - controls.mean())
    assert (found.effect.low, found.effect.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.most == pytest.approx(test.confidence_interval(0.9).high)
    assert found.p < 0.01
    assert shift(-owner, controls).p > 0.9


def test_nothing_moved_is_no_movement() -> None:
    found = shift(np.zeros(10), np.zeros(20))
    assert (found.effect.value, found.effect.low, found.effect.high, found.p, found.most) == (0, 0, 0, 1, 0)


def test_over_halves_is_students_interval() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.5])
    found = over_halves(values)
    half = t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert (found.value, found.low, found.high) == pytest.approx((0.275, 0.275 - half, 0.275 + half))


def test_movements_of_like_items_are_rarely_called_a_rise() -> None:
    """200 draws of items and controls from one distribution: false alarms at 5 % stay below the 99.9 % quantile."""
    draw = np.random.default_rng(7)
    alarms = sum(shift(draw.normal(size=15), draw.normal(size=20)).p < 0.05 for _ in range(200))
    assert alarms <= 21
