"""The alignment gap matrix with inference: what of AGM = AM(before) - AM(after) is more than the noise of views.

The interval of a cell says how far it would move with other views of the same pictures; it says nothing of other
pictures. Whether the diagonal as a whole lost more than the rest is asked by permuting items: a picture owns a whole
row and column, so that its cells are never permuted one by one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, t

from muc_core.audit.alignment import Float64, alignment_matrix, two_view_alignment_matrix
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.audit.verdict import p_in_words
from muc_core.errors import MucError

FEWEST_VIEWS = 3
MOST_ITEMS = 1_000
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class GapInference:
    """A gap matrix `[n, n]`, positive = alignment was lost, and what is known of it.

    Attributes:
        gap: mean over views.
        low, high: 95 % interval of each cell over views.
        significant: cells whose gap is more than the noise of views, at a false discovery rate of `alpha`.
        difference: mean of the diagonal less mean of the other cells.
        p: of the omnibus question whether the diagonal lost more (or less) than the pairing of pictures with other
            pictures' partners; two-sided, by permutation of items.
    """

    gap: Float64
    low: Float64
    high: Float64
    significant: npt.NDArray[np.bool_]
    difference: float
    p: float
    permutations: int

    @property
    def meaning(self) -> str:
        """What was found, in two sentences."""
        diagonal = self.significant.diagonal()
        way = "lost more than" if self.difference > 0 else "lost less than"
        sure = self.p < ALPHA
        return (
            f"{int(diagonal.sum()):,} of {len(diagonal):,} cells of the diagonal and {self.share_off_diagonal:.0%} of "
            "the others changed by more than the noise of views. "
            f"{'The' if sure else 'Nothing shows that the'} pictures' own pairs {way} pairs of different pictures, by "
            f"{abs(self.difference):.2f} ({p_in_words(self.p)})."
        )

    @property
    def share_off_diagonal(self) -> float:
        """Share of the cells off the diagonal that are significant."""
        n = len(self.gap)
        return float((self.significant.sum() - self.significant.diagonal().sum()) / (n * (n - 1)))

    def as_dict(self) -> dict[str, object]:
        """All of it as lists and numbers, for JSON."""
        matrices = {"gap": self.gap, "low": self.low, "high": self.high, "significant": self.significant}
        return {name: matrix.tolist() for name, matrix in matrices.items()} | {
            "difference": self.difference,
            "p": self.p,
            "permutations": self.permutations,
            "meaning": self.meaning,
        }


def gap_inference(
    before: Vectors, after: Vectors, *, alpha: float = ALPHA, permutations: int = 10_000, seed: int = 0
) -> GapInference:
    """Intervals, a mask and an omnibus test for the gap matrix of two encoders that saw the same views.

    Cells are jackknifed over views (Efron & Stein 1981), which is the usual standard error where a cell is a mean over
    views and holds for two-view cells, means over pairs of views, too.

    Args:
        before, after: of the same items and views, at least three views and two items.

    Raises:
        MucError: fewer views or items, more than `MOST_ITEMS`, or not the same numbers of them.
    """
    shapes = [(type(vectors), len(vectors.views), vectors.n) for vectors in (before, after)]
    if shapes[0] != shapes[1]:
        raise MucError("the gap needs the same items, the same number of views and the same kind of vectors twice")
    _, views, n = shapes[0]
    if views < FEWEST_VIEWS:
        raise MucError(f"there are {views} views; intervals over views need at least {FEWEST_VIEWS}")
    if n < 2:
        raise MucError("there is one item; a gap matrix needs at least two")
    if n > MOST_ITEMS:
        raise MucError(f"there are {n:,} items; the gap matrix with intervals is made of at most {MOST_ITEMS:,}")
    gap = _matrix(before, None) - _matrix(after, None)
    left_out = np.stack([_matrix(before, view) - _matrix(after, view) for view in range(views)])
    error = np.sqrt((views - 1) / views * np.square(left_out - left_out.mean(axis=0)).sum(axis=0))
    half = t.ppf(0.975, views - 1) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(error > 0, np.abs(gap) / error, np.where(gap == 0, 0.0, np.inf))
    p_cells = 2 * t.sf(statistic, views - 1)
    significant = false_discovery_control(p_cells.ravel()).reshape(n, n) <= alpha
    difference, p = _omnibus(gap, permutations, seed)
    return GapInference(gap, gap - half, gap + half, significant, difference, p, permutations)


def _matrix(vectors: Vectors, without: int | None) -> Float64:
    """Alignment matrix over all views, or all but one."""
    views = vectors.views if without is None else np.delete(vectors.views, without, axis=0)
    how = vectors.similarity
    if isinstance(vectors, ImageTextVectors):
        return np.asarray(np.mean([alignment_matrix(view, vectors.texts, similarity=how) for view in views], axis=0))
    assert isinstance(vectors, ViewVectors)
    return two_view_alignment_matrix(views, similarity=how)


def _omnibus(gap: Float64, permutations: int, seed: int) -> tuple[float, float]:
    n = len(gap)
    rows = np.arange(n)
    expected = gap.mean()
    observed = gap[rows, rows].mean()
    rng = np.random.default_rng(seed)
    matched = np.array([gap[rows, rng.permutation(n)].mean() for _ in range(permutations)])
    beyond = int((np.abs(matched - expected) >= abs(observed - expected) - 1e-15).sum())
    others = (gap.sum() - gap.trace()) / (n * (n - 1))
    return float(observed - others), (beyond + 1) / (permutations + 1)
