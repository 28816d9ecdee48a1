"""What of an alignment matrix goes on a screen: all of it when it is small, otherwise a sample or block means.

Every picture says which of them it is. Summaries are always exact; only the picture is thinned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from muc_core.audit.alignment import Factors, Float32, Float64, Rows, clip_to_cosine
from muc_core.audit.distances import Distances
from muc_core.audit.ordering import Order
from muc_core.errors import MucError

MAX_CELLS = 256
"""Default number of cells along one side of a picture."""

Reduction: TypeAlias = Literal["sampled", "pooled"]
PictureKind: TypeAlias = Literal["full", "sampled", "pooled"]


@dataclass(frozen=True, eq=False)
class AlignmentPicture:
    """A matrix to look at.

    Attributes:
        matrix: `[k, k]`; cell (a, b) is about `ids[a]` (row, picture) and `ids[b]` (column, partner).
        kind: "full" (every item), "sampled" (some items, cells exact) or "pooled" (means over blocks of cells).
        note: the same in a sentence for people.
        ids: `[k]`, the items shown; for a pooled picture the first and last item of each block.
    """

    matrix: Float64
    kind: PictureKind
    note: str
    ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Which items each row and column of a picture stands for; the same layout makes pictures comparable."""

    groups: tuple[npt.NDArray[np.intp], ...]
    kind: PictureKind
    note: str

    def reordered(self, order: Order) -> "Layout":
        return Layout(tuple(self.groups[place] for place in order), self.kind, self.note)


def lay_out(order: Order, *, max_cells: int = MAX_CELLS, reduction: Reduction = "sampled", seed: int = 0) -> Layout:
    """Choose what to show of n items.

    Args:
        order: positions `[n]` in the order to show them.
        max_cells: cells along one side, at least 2; up to so many items the picture is full.
        reduction: for more items: "sampled" draws `max_cells` of them at random and keeps their order, so that the
            diagonal stays visible; "pooled" takes means over blocks of neighbours, which shows the groups but
            thins the diagonal.
        seed: of the draw.

    Raises:
        MucError: `max_cells` below 2.
    """
    n = len(order)
    if max_cells < 2:
        raise MucError(f"max_cells is {max_cells}; a picture needs at least 2 cells along each side")
    if n <= max_cells:
        note = f"Shows all {n:,} items." if n > 1 else "Shows the only item."
        return Layout(tuple(order.reshape(n, 1)), "full", note)
    if reduction == "sampled":
        places = np.sort(np.random.default_rng(seed).choice(n, size=max_cells, replace=False))
        note = f"Shows {max_cells:,} of the {n:,} items, drawn at random (seed {seed}); the summary covers all of them."
        return Layout(tuple(order[places].reshape(max_cells, 1)), "sampled", note)
    groups = tuple(np.array_split(order, max_cells))
    note = (
        f"Each cell is the mean over a block of about {n / max_cells:,.0f} x {n / max_cells:,.0f} pairs of the "
        f"{n:,} items; the diagonal is thinned by it, the summary is exact."
    )
    return Layout(groups, "pooled", note)


def draw(factors: Factors, layout: Layout, ids: Sequence[str] | None = None) -> AlignmentPicture:
    """The picture of the matrix with these factors.

    Args:
        factors: of the alignment matrix.
        layout: from `lay_out`.
        ids: `[n]`, names of the items; their positions when None.
    """
    names = [str(position) for position in range(factors.n)] if ids is None else list(ids)
    if layout.kind == "pooled":
        shown = tuple(f"{names[group[0]]} … {names[group[-1]]}" for group in layout.groups)
    else:
        shown = tuple(names[row] for row in np.concatenate(layout.groups))
    return AlignmentPicture(cells_between(factors, layout.groups, layout.groups), layout.kind, layout.note, shown)


def cells_between(
    factors: Factors, rows: Sequence[npt.NDArray[np.intp]], columns: Sequence[npt.NDArray[np.intp]]
) -> Float64:
    """Mean alignment between groups of items, `[len(rows), len(columns)]`; groups of one item give its exact cells.

    Args:
        rows, columns: positions of the items of each group, none of them empty.
    """
    return cells_across(factors, factors, rows, columns)


def cells_across(
    left: Factors,
    right: Factors,
    rows: Sequence[npt.NDArray[np.intp]],
    columns: Sequence[npt.NDArray[np.intp]],
) -> Float64:
    """The same between two lists of different items: rows of the left factors of one, columns of the right of another.

    Both must come from the same encoder and be of the same kind and width.
    """
    if isinstance(left, Distances):
        assert isinstance(right, Distances)
        return _block_means(left, right, rows, columns)
    assert not isinstance(right, Distances)
    return clip_to_cosine(_group_means(left.left, rows) @ _group_means(right.right, columns).T)


def _block_means(
    left: Distances,
    right: Distances,
    rows: Sequence[npt.NDArray[np.intp]],
    columns: Sequence[npt.NDArray[np.intp]],
) -> Float64:
    # A mean of distances is no product of means: every cell of a block is made, the rows of one group at a time.
    sizes = np.array([len(group) for group in columns])
    starts, everyone = np.concatenate([[0], sizes.cumsum()[:-1]]), np.concatenate(columns)
    if all(len(group) == 1 for group in rows):
        cells = left.cells(np.concatenate(rows), everyone, right)
    else:
        cells = np.stack([left.cells(group, everyone, right).mean(axis=0) for group in rows])
    return np.asarray(np.add.reduceat(cells, starts, axis=1) / sizes)


def _group_means(side: Callable[[Rows], Float32], groups: Sequence[npt.NDArray[np.intp]]) -> Float64:
    # The mean over a block of cells is the product of the means over its rows and its columns.
    if all(len(group) == 1 for group in groups):
        return side(np.concatenate(groups)).astype(np.float64)
    return np.stack([side(group).mean(axis=0, dtype=np.float64) for group in groups])
