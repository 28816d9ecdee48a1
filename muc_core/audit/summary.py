"""Exact figures of an alignment matrix that never has to exist as a whole.

Means and variances of cosines follow in closed form from sums over items and from small Gram matrices. Only ranks and
the largest negative need every cell; for them the matrix is computed tile by tile and thrown away, with as few passes
over a tile as possible, so that 100,000 pairs take little longer than the bare matrix product. Of distances
(`audit.distances`) everything is summed up in the same passes.
"""

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from muc_core.audit.alignment import (
    Factors,
    Float32,
    Float64,
    Products,
    chunks,
    diagonal_of,
    image_text_factors,
    view_factors,
)
from muc_core.audit.distances import Distances
from muc_core.progress import SILENT, Progress
from muc_core.similarity import COSINE, Similarity

_Cell = TypeVar("_Cell", bound=np.generic)

TILE = 1024
"""Cells along one side of a tile: 4 MB of float32, which stays in a processor's cache."""

TIE = 5e-6
"""Similarities nearer than this count as equal; products of the same vectors in float32 differ by up to 2e-6."""

_LANES = 255
"""Most ones that can be added up in a byte."""


@dataclass(frozen=True)
class AlignmentSummary:
    """An alignment matrix `[n, n]` in a few numbers. Similarities are high = more alike: cosines in [-1, 1], or minus
    distances, at most 0.

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
        positive: similarity of the item with its own partner.
        negative: mean similarity with the partners of all others and of its partner with all others.
        margin: positive - negative; a uniform shift of all similarities leaves it as it was.
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
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    similarity: Similarity = COSINE,
    tile: int = TILE,
    progress: Progress = SILENT,
) -> tuple[AlignmentSummary, ItemScores]:
    """Summary of `alignment_matrix(left, right)` and its figures per item; exact, at any size.

    Args:
        left: image vectors `[n, d]`.
        right: text vectors `[n, d]`.
        similarity: by which the encoder's vectors are compared.
        tile: cells along one side of a tile; changes memory and speed, not the result.

    Raises:
        MucError: as `image_text_factors`.
        Cancelled: from `progress`.
    """
    return summarise_factors(image_text_factors(left, right, similarity=similarity), tile=tile, progress=progress)


def summarise_views(
    views: npt.ArrayLike, *, similarity: Similarity = COSINE, tile: int = TILE, progress: Progress = SILENT
) -> tuple[AlignmentSummary, ItemScores]:
    """Summary of `two_view_alignment_matrix(views)` and its figures per item. See `summarise` and `view_factors`."""
    return summarise_factors(view_factors(views, similarity=similarity), tile=tile, progress=progress)


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

    places = _Places.count(factors, positive, tile=tile, progress=progress)
    if isinstance(factors, Distances):
        negative, squares = (places.sums - 2 * positive) / (2 * (n - 1)), places.squares
    else:
        negative, squares = _negative_means(factors, positive), _sum_of_squares(factors)
    summary = AlignmentSummary(
        n=n,
        positive_mean=float(positive.mean()),
        positive_sd=float(positive.std(ddof=1)),
        negative_mean=float(negative.mean()),
        negative_sd=_negative_sd(squares, positive, float(negative.mean())),
        negative_max=min(places.largest_negative, 1.0),
        top1_left=places.left.top1,
        top1_right=places.right.top1,
    )
    return summary, ItemScores(positive, negative, positive - negative, places.left.rank)


def margins(factors: Factors, *, progress: Progress = SILENT) -> tuple[Float64, Float64]:
    """`positive` and `margin` of `ItemScores` alone, `[n]` each; of products without a look at every cell."""
    if factors.n == 1 or isinstance(factors, Distances):
        _, found = summarise_factors(factors, progress=progress)
        return found.positive, found.margin
    positive = diagonal_of(factors)
    return positive, positive - _negative_means(factors, positive)


def _negative_means(factors: Products, positive: Float64) -> Float64:
    """Mean of each item's row and column without the diagonal, from `sum_j l_i . r_j = l_i . sum_j r_j`."""
    rows = list(chunks(factors.n))
    left_total = np.sum([factors.left(r).sum(axis=0, dtype=np.float64) for r in rows], axis=0)
    right_total = np.sum([factors.right(r).sum(axis=0, dtype=np.float64) for r in rows], axis=0)
    both = np.concatenate([factors.left(r) @ right_total + factors.right(r) @ left_total for r in rows])
    means: Float64 = (both - 2 * positive) / (2 * (factors.n - 1))
    return means


def _negative_sd(squares: float, positive: Float64, mean: float) -> float:
    """From the sum of squares over all cells."""
    cells = len(positive) * (len(positive) - 1)
    negative = squares - float(positive @ positive)
    # Rounding can bring a spread of nothing just below zero.
    return math.sqrt(max(negative - cells * mean**2, 0.0) / (cells - 1))


def _sum_of_squares(factors: Products) -> float:
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
    """What is counted tile by tile.

    Attributes:
        sums: `[n]` sum over each item's row and column; of distances alone, 0 otherwise.
        squares: sum of the squares of all cells; of distances alone.
    """

    left: _Place
    right: _Place
    largest_negative: float
    sums: Float64
    squares: float

    @staticmethod
    def count(factors: Factors, positive: Float64, *, tile: int, progress: Progress) -> "_Places":
        limits = np.stack([positive + TIE, positive - TIE]).astype(np.float32)
        # Counted per item: [more similar than the own partner, at least as similar] for rows and for columns.
        by_row, by_column = np.zeros((2, factors.n), dtype=np.int64), np.zeros((2, factors.n), dtype=np.int64)
        largest, squares, sums = -math.inf, 0.0, np.zeros(factors.n)
        bands = list(chunks(factors.n, tile))
        progress.report(0, len(bands), "Comparing every item with every other")
        with closing(_each(partial(_tally_band, factors, limits, tile), bands)) as tallies:
            for number, (rows, found) in enumerate(zip(bands, tallies, strict=True), start=1):
                by_row[:, rows] += found.by_row
                by_column += found.by_column
                largest = max(largest, found.largest)
                sums += found.sums
                squares += found.squares
                progress.report(number, len(bands), "Comparing every item with every other")
        if factors.symmetric:
            by_row += by_column
            by_column = by_row
        return _Places(
            _Place(by_row[0], by_row[1] - by_row[0]),
            _Place(by_column[0], by_column[1] - by_column[0]),
            largest,
            sums,
            squares,
        )


def _each(work: Callable[[slice], "_Tally"], bands: Sequence[slice]) -> Generator["_Tally", None, None]:
    """The work on every band, in order, on as many threads as the matrix library may take.

    Each thread multiplies and counts by itself, so that a tile is counted on the core in whose cache it is. Left to use
    all cores for one product at a time, the library would let them wait during the counting.
    """
    if len(bands) == 1:
        yield work(bands[0])
        return
    blas = ThreadpoolController().select(user_api="blas")
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(work, bands)
        finally:
            # Who stops listening (the user cancelled) need not wait for the bands that have not begun.
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Tally:
    """Of a band of rows: counts above each of the two limits, per row of the band and per column of the matrix.

    `sums` and `squares` as in `_Places`, as far as this band adds to them.
    """

    by_row: npt.NDArray[np.int64]
    by_column: npt.NDArray[np.int64]
    largest: float
    sums: Float64
    squares: float


def _tally_band(factors: Factors, limits: Float32, tile: int, rows: slice) -> _Tally:
    """Count in a band of rows, tile by tile.

    Args:
        limits: `[2, n]`, just above and just below each item's similarity with its own partner.
    """
    height = rows.stop - rows.start
    by_row = np.zeros((2, height), dtype=np.int64)
    by_column = np.zeros((2, factors.n), dtype=np.int64)
    largest, squares, sums = -math.inf, 0.0, np.zeros(factors.n)
    left = None if isinstance(factors, Distances) else factors.left(rows)
    cells = np.empty((height, min(tile, factors.n)), dtype=np.float32)
    flags = np.empty(cells.shape, dtype=np.bool_)
    # A symmetric matrix is computed above the diagonal only: columns stand for the rows below it.
    for columns in chunks(factors.n, tile, start=rows.start if factors.symmetric else 0):
        size = (height, columns.stop - columns.start)
        product = _corner(cells, size)
        twice = factors.symmetric and rows != columns  # stands for its mirror image below the diagonal, too
        if isinstance(factors, Distances):
            exact = factors.cells(rows, columns)
            product[:] = exact
            sums[rows] += exact.sum(axis=1) * (2 if factors.symmetric else 1)
            if twice or not factors.symmetric:
                sums[columns] += exact.sum(axis=0) * (2 if factors.symmetric else 1)
            squares += float(np.vdot(exact, exact)) * (2 if twice else 1)
        else:
            assert left is not None
            np.matmul(left, factors.right(columns).T, out=product)
        scratch = _corner(flags, size)
        for level in (0, 1):
            above = np.greater(product, limits[level, rows, np.newaxis], out=scratch)
            by_row[level] += _count(above, axis=1)
            if not (factors.symmetric and rows == columns):
                above = np.greater(product, limits[level, columns], out=scratch)
                by_column[level, columns] += _count(above, axis=0)
        if rows == columns:
            np.fill_diagonal(product, -np.inf)
        largest = max(largest, float(product.max()))
    return _Tally(by_row, by_column, largest, sums, squares)


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
