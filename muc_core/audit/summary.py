"""Exact figures of an alignment matrix that never has to exist as a whole.

Means and variances follow in closed form from sums over items and from small Gram matrices. Only ranks and the largest
negative need every cell; for them the matrix is computed tile by tile and thrown away, with as few passes over a tile
as possible, so that 100,000 pairs take little longer than the bare matrix product.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from muc_core.audit.alignment import (
    Factors,
    Float32,
    Float64,
    chunks,
    diagonal_of,
    image_text_factors,
    view_factors,
)
from muc_core.progress import SILENT, Progress

_Cell = TypeVar("_Cell", bound=np.generic)

TILE = 1024
"""Cells along one side of a tile: 4 MB of float32, which stays in a processor's cache."""

TIE = 5e-6
"""Similarities nearer than this count as equal; products of the same vectors in float32 differ by up to 2e-6."""

_MOST_THREADS = 8
_LANES = 255
"""Most ones that can be added up in a byte."""


@dataclass(frozen=True)
class AlignmentSummary:
    """An alignment matrix `[n, n]` in a few numbers. Similarities are cosines in [-1, 1], high = more alike.

    Figures that do not exist are None: those of the negatives when there is only one item, `positive_sd` likewise.

    Attributes:
        n: items.
        positive_mean, positive_sd: of the n cells on the diagonal (SD with divisor n - 1).
        negative_mean, negative_sd: of the n (n - 1) cells off the diagonal (SD with that number less one as divisor).
        negative_max: the largest cell off the diagonal.
        top1_left: share of rows (images) whose own partner is the most similar, in [0, 1]; where m partners are
            equally the most similar, a row counts 1 / m, as if one of them had been drawn. Chance is 1 / n.
        top1_right: the same for columns (texts).
        notes: what could not be computed, in words.
    """

    n: int
    positive_mean: float
    positive_sd: float | None
    negative_mean: float | None
    negative_sd: float | None
    negative_max: float | None
    top1_left: float | None
    top1_right: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ItemScores:
    """One number per item, `[n]` each; NaN where there is nothing to compare with (a single item).

    Attributes:
        positive: similarity of the item with its own partner, in [-1, 1].
        negative: mean similarity with the partners of all others and of its partner with all others, in [-1, 1].
        margin: positive - negative, in [-2, 2]; a uniform shift of all similarities leaves it as it was.
        rank: place of the own partner among all partners by similarity to the item, from 1 (the most similar) to n;
            equals share the mean of their places, as in `scipy.stats.rankdata`.
    """

    positive: Float64
    negative: Float64
    margin: Float64
    rank: Float64

    def __len__(self) -> int:
        return len(self.positive)

    def __getitem__(self, rows: slice) -> "ItemScores":
        return ItemScores(self.positive[rows], self.negative[rows], self.margin[rows], self.rank[rows])


def summarise(
    left: npt.ArrayLike, right: npt.ArrayLike, *, tile: int = TILE, progress: Progress = SILENT
) -> tuple[AlignmentSummary, ItemScores]:
    """Summary of `alignment_matrix(left, right)` and its figures per item; exact, at any size.

    Args:
        left: image vectors `[n, d]`.
        right: text vectors `[n, d]`.
        tile: cells along one side of a tile; changes memory and speed, not the result.

    Raises:
        MucError: as `image_text_factors`.
        Cancelled: from `progress`.
    """
    return summarise_factors(image_text_factors(left, right), tile=tile, progress=progress)


def summarise_views(
    views: npt.ArrayLike, *, tile: int = TILE, progress: Progress = SILENT
) -> tuple[AlignmentSummary, ItemScores]:
    """Summary of `two_view_alignment_matrix(views)` and its figures per item. See `summarise` and `view_factors`."""
    return summarise_factors(view_factors(views), tile=tile, progress=progress)


def summarise_factors(
    factors: Factors, *, tile: int = TILE, progress: Progress = SILENT
) -> tuple[AlignmentSummary, ItemScores]:
    """Summary of the matrix with these factors. See `summarise`."""
    n = factors.n
    positive = diagonal_of(factors)
    if n == 1:
        note = "There is only one item, so there is nothing else to compare it with: no negatives, no ranks, no spread."
        alone = AlignmentSummary(1, float(positive[0]), None, None, None, None, None, None, (note,))
        missing = np.full(1, np.nan)
        return alone, ItemScores(positive, missing, missing.copy(), missing.copy())

    negative = _negative_means(factors, positive)
    places = _Places.count(factors, positive, tile=tile, progress=progress)
    summary = AlignmentSummary(
        n=n,
        positive_mean=float(positive.mean()),
        positive_sd=float(positive.std(ddof=1)),
        negative_mean=float(negative.mean()),
        negative_sd=_negative_sd(factors, positive, float(negative.mean())),
        negative_max=min(places.largest_negative, 1.0),
        top1_left=places.left.top1,
        top1_right=places.right.top1,
    )
    return summary, ItemScores(positive, negative, positive - negative, places.left.rank)


def _negative_means(factors: Factors, positive: Float64) -> Float64:
    """Mean of each item's row and column without the diagonal, from `sum_j l_i . r_j = l_i . sum_j r_j`."""
    rows = list(chunks(factors.n))
    left_total = np.sum([factors.left(r).sum(axis=0, dtype=np.float64) for r in rows], axis=0)
    right_total = np.sum([factors.right(r).sum(axis=0, dtype=np.float64) for r in rows], axis=0)
    both = np.concatenate([factors.left(r) @ right_total + factors.right(r) @ left_total for r in rows])
    means: Float64 = (both - 2 * positive) / (2 * (factors.n - 1))
    return means


def _negative_sd(factors: Factors, positive: Float64, mean: float) -> float:
    cells = factors.n * (factors.n - 1)
    squares = _sum_of_squares(factors) - float(positive @ positive)
    # Rounding can bring a spread of nothing just below zero.
    return math.sqrt(max(squares - cells * mean**2, 0.0) / (cells - 1))


def _sum_of_squares(factors: Factors) -> float:
    """Over all cells of `L R^T`: the trace of `L^T L R^T R`, or cell by cell, whichever is the smaller product."""
    if factors.n <= factors.width:
        right = factors.right(slice(0, factors.n)).astype(np.float64)
        products = (factors.left(rows).astype(np.float64) @ right.T for rows in chunks(factors.n))
        return float(sum(np.vdot(cells, cells) for cells in products))
    grams = np.zeros((2, factors.width, factors.width))
    for rows in chunks(factors.n):
        for gram, side in zip(grams, (factors.left(rows), factors.right(rows)), strict=True):
            exact = side.astype(np.float64)
            gram += exact.T @ exact
    return float(np.vdot(grams[0], grams[1]))


@dataclass(frozen=True)
class _Place:
    """Among the n candidates of each item: how many are more similar than its own partner, how many as similar."""

    greater: npt.NDArray[np.int64]
    equal: npt.NDArray[np.int64]

    @property
    def rank(self) -> Float64:
        ranks: Float64 = self.greater + (self.equal + 1) / 2
        return ranks

    @property
    def top1(self) -> float:
        return float(np.mean((self.greater == 0) / self.equal))


@dataclass(frozen=True)
class _Places:
    left: _Place
    right: _Place
    largest_negative: float

    @staticmethod
    def count(factors: Factors, positive: Float64, *, tile: int, progress: Progress) -> "_Places":
        n = factors.n
        above = (positive + TIE).astype(np.float32)
        below = (positive - TIE).astype(np.float32)
        # Counted per item: [more similar than the own partner, at least as similar] for rows and for columns.
        by_row, by_column = np.zeros((2, n), dtype=np.int64), np.zeros((2, n), dtype=np.int64)
        largest = -math.inf
        cells = np.empty((min(tile, n), min(tile, n)), dtype=np.float32)
        flags = np.empty(cells.shape, dtype=np.bool_)
        blocks = list(chunks(n, tile))
        # The product uses every core by itself; so should the passes over it, each thread in rows of its own.
        threads = min(os.cpu_count() or 1, _MOST_THREADS) if n > tile else 1
        with ThreadPoolExecutor(threads) as pool:
            for number, rows in enumerate(blocks):
                progress.report(number, len(blocks), "Comparing every item with every other")
                left = factors.left(rows)
                # A symmetric matrix is computed above the diagonal only: columns stand for the rows below it.
                for columns in blocks[number:] if factors.symmetric else blocks:
                    right = factors.right(columns)
                    size = (len(left), len(right))
                    product = np.matmul(left, right.T, out=_corner(cells, size))
                    tally = partial(
                        _tally,
                        product,
                        _corner(flags, size),
                        row_limits=(above[rows], below[rows]),
                        column_limits=(above[columns], below[columns]),
                        on_diagonal=rows == columns,
                    )
                    parts = chunks(len(left), math.ceil(len(left) / threads))
                    found = list(pool.map(tally, parts))
                    by_row[:, rows] += np.concatenate([part.by_row for part in found], axis=1)
                    if not (factors.symmetric and rows == columns):
                        by_column[:, columns] += np.sum([part.by_column for part in found], axis=0)
                    largest = max(largest, *(part.largest for part in found))
        progress.report(len(blocks), len(blocks), "Compared every item with every other")
        if factors.symmetric:
            by_row += by_column
            by_column = by_row
        return _Places(
            _Place(by_row[0], by_row[1] - by_row[0]), _Place(by_column[0], by_column[1] - by_column[0]), largest
        )


@dataclass(frozen=True)
class _Tally:
    """Of some rows of a tile: counts above each of the two limits, per row and per column, and the largest negative."""

    by_row: npt.NDArray[np.int64]
    by_column: npt.NDArray[np.int64]
    largest: float


def _tally(
    product: Float32,
    flags: npt.NDArray[np.bool_],
    rows: slice,
    *,
    row_limits: tuple[Float32, Float32],
    column_limits: tuple[Float32, Float32],
    on_diagonal: bool,
) -> _Tally:
    """Count in some rows of a tile. `flags` is scratch space of the tile's size; the diagonal is overwritten."""
    cells, scratch = product[rows], flags[rows]
    by_row = [_count(np.greater(cells, limit[rows, np.newaxis], out=scratch), axis=1) for limit in row_limits]
    by_column = [_count(np.greater(cells, limit, out=scratch), axis=0) for limit in column_limits]
    if on_diagonal:
        np.fill_diagonal(cells[:, rows], -np.inf)
    return _Tally(np.stack(by_row), np.stack(by_column), float(cells.max()))


def _corner(buffer: npt.NDArray[_Cell], size: tuple[int, int]) -> npt.NDArray[_Cell]:
    """A contiguous view of that size on the memory of a larger buffer."""
    return buffer.reshape(-1)[: size[0] * size[1]].reshape(size)


def _count(flags: npt.NDArray[np.bool_], *, axis: int) -> npt.NDArray[np.int64]:
    """`np.count_nonzero(flags, axis)`, several times as fast.

    Flags are bytes of 0 or 1. Eight of them, read as one 64-bit integer, are added in one step, and no byte overflows
    into the next while at most 255 are added.
    """
    columns = flags.shape[1]
    if columns % 8:
        plain: npt.NDArray[np.int64] = np.count_nonzero(flags, axis=axis)
        return plain
    words = flags.view(np.uint64) if axis == 0 else flags.view(np.uint64).T
    total = np.zeros((words.shape[1], 8), dtype=np.int64)
    for some in chunks(len(words), _LANES):
        total += np.add.reduce(words[some], axis=0).view(np.uint8).reshape(-1, 8)
    return total.reshape(columns) if axis == 0 else total.sum(axis=1)
