"""In which order the items of an alignment matrix are shown."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from muc_core.audit.alignment import Float64
from muc_core.errors import MucError

Order = npt.NDArray[np.intp]
"""Positions `[n]`: entry k says which item is shown at place k."""


def order_given(n: int, positions: Sequence[int] | None = None) -> Order:
    """The order the items came in, or the one given.

    Raises:
        MucError: `positions` does not name every one of the n items exactly once.
    """
    order = np.arange(n) if positions is None else np.asarray(positions, dtype=np.intp)
    if sorted(order.tolist()) != list(range(n)):
        raise MucError(f"an order of {n} items must name each position from 0 to {n - 1} exactly once")
    return order


def order_by_diagonal(diagonal: npt.ArrayLike) -> Order:
    """Largest first; equals keep the order they came in.

    Args:
        diagonal: `[n]`, for instance the positive alignment before, or what was lost of it.
    """
    return np.argsort(-np.asarray(diagonal, dtype=np.float64), kind="stable")


def order_by_cluster(matrix: npt.ArrayLike) -> Order:
    """Items alike stand side by side: average-linkage clustering with SciPy's optimal leaf ordering.

    The distance of two items is how far their similarity, the mean of `AM_ij` and `AM_ji`, lies below the largest one.

    Args:
        matrix: an alignment matrix `[n, n]`.

    Raises:
        MucError: the matrix is not square.
    """
    square = _square(matrix)
    if len(square) < 3:
        return np.arange(len(square))
    similarity = (square + square.T) / 2
    pairs = squareform(similarity, checks=False)
    tree = linkage(pairs.max() - pairs, method="average", optimal_ordering=True)
    leaves: Order = leaves_list(tree).astype(np.intp)
    return leaves


def _square(matrix: npt.ArrayLike) -> Float64:
    square = np.asarray(matrix, dtype=np.float64)
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        raise MucError(f"the matrix has the shape {list(square.shape)}; clustering needs a square one [n, n]")
    return square
