"""Orders in which a matrix is shown."""

import numpy as np
import pytest

from muc_core.audit import order_by_cluster, order_by_diagonal, order_given
from muc_core.errors import MucError


def test_given_order_is_kept() -> None:
    assert order_given(4).tolist() == [0, 1, 2, 3]
    assert order_given(3, [2, 0, 1]).tolist() == [2, 0, 1]


@pytest.mark.parametrize("positions", [[0, 1], [0, 1, 1], [0, 1, 3], [-1, 0, 1], []])
def test_given_order_must_name_every_item_once(positions: list[int]) -> None:
    with pytest.raises(MucError, match="exactly once"):
        order_given(3, positions)


def test_diagonal_goes_from_high_to_low_and_keeps_equals() -> None:
    assert order_by_diagonal([0.2, 0.9, 0.2, -0.5, 0.9]).tolist() == [1, 4, 0, 2, 3]


def test_clusters_stand_together() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(4), 6))
    centres = np.eye(4)[groups] * 3 + rng.standard_normal((24, 4)) * 0.2
    unit = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    order = order_by_cluster(unit @ unit.T)
    assert sorted(order.tolist()) == list(range(24))
    assert np.count_nonzero(np.diff(groups[order])) == 3  # four groups meet at three borders


def test_clusters_use_both_directions() -> None:
    matrix = np.zeros((4, 4))
    matrix[0, 2] = matrix[3, 1] = 1.0  # alike in one direction only: picture 0 with text 2, picture 3 with text 1
    order = order_by_cluster(matrix).tolist()
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(3) - order.index(1)) == 1


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_items_need_no_clusters(n: int) -> None:
    assert order_by_cluster(np.eye(n)).tolist() == list(range(n))


def test_clusters_refuse_a_matrix_that_is_not_square() -> None:
    with pytest.raises(MucError, match=r"shape \[2, 3\]; clustering needs a square one"):
        order_by_cluster(np.ones((2, 3)))
