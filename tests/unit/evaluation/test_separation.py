"""Classifiers on features: chance where there is nothing, near 1 where there is, fitted without what they judge."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from muc_core.evaluation.separation import (
    Features,
    linear_separation,
    neighbour_separation,
)
from muc_core.stats.rates import Rate

BOTH = pytest.mark.parametrize("separation", [linear_separation, neighbour_separation])
Separation = Callable[..., Rate]


def features(n: int, shift: float, seed: int, dimension: int = 30) -> Features:
    values = np.random.default_rng(seed).normal(size=(n, dimension))
    values[:, 0] += shift
    return values.astype(np.float32)


@BOTH
def test_what_lies_apart_is_told_apart(separation: Separation) -> None:
    found = separation(features(40, 6.0, 1), features(60, -6.0, 2))
    assert found.value > 0.95
    assert found.low > 0.8


@BOTH
def test_more_features_than_items_do_not_make_a_difference_where_there_is_none(separation: Separation) -> None:
    """In sample any classifier would tell these apart; each item is judged by one that has not seen it."""
    found = [separation(features(25, 0, seed, 200), features(25, 0, seed + 100, 200)).value for seed in range(10)]
    assert 0.4 < np.mean(found) < 0.6


@BOTH
def test_the_order_of_items_and_the_seed_decide_nothing_but_the_folds(separation: Separation) -> None:
    owner, controls = features(30, 1.0, 1), features(30, 0.0, 2)
    assert separation(owner, controls, seed=5) == separation(owner, controls, seed=5)
    assert separation(owner, controls, seed=6).value == pytest.approx(separation(owner, controls).value, abs=0.1)


def test_neighbours_look_at_directions_alone() -> None:
    owner, controls = features(20, 1.0, 1), features(30, -1.0, 2)
    scaled = owner * np.linspace(0.1, 10, 20, dtype=np.float32)[:, None]
    assert neighbour_separation(scaled, controls) == neighbour_separation(owner, controls)


def test_the_figure_is_the_area_under_the_curve() -> None:
    owner, controls = features(30, 1.5, 1), features(40, 0.0, 2)
    found = linear_separation(owner, controls)
    by_hand = roc_auc_score(np.arange(70) < 30, np.concatenate([owner, controls])[:, 0])
    assert found.value == pytest.approx(by_hand, abs=0.15)
    assert found.low < found.value < found.high
