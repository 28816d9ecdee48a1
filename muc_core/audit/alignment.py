"""Alignment matrices: how alike every picture is to every text, or to every other picture, in an encoder's eyes.

`AM_ij` is a cosine similarity, so it lies in [-1, 1] and **high means more alike**; of hyperbolic encoders it is minus
a distance, at most 0 (`distances`). Its diagonal is the positive alignment (an item with its own partner), everything
off the diagonal the negative alignment. The gap matrix is `AGM = AM(before) - AM(after)`: **positive means that
alignment was lost**, zero that nothing changed.

Both kinds of matrix of cosines are a product `left @ right.T` of one row per item (`Products`). Everything else in this
package works on those factors, or on `Distances`, so that a matrix too large for memory never has to exist.

Source: Wang et al., "Alignment Calibration", arXiv 2406.03603, section 4 (black-box evaluation).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from muc_core.audit.distances import Distances
from muc_core.errors import MucError
from muc_core.similarity import COSINE, Similarity

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Real: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]
"""Vectors as they are kept: in memory, or mapped from a file of half or single precision."""

Rows: TypeAlias = slice | npt.NDArray[np.intp]

CHUNK_ROWS = 4096
"""Rows converted to float64 at a time."""

MOST_COPIED = 2**27
"""Numbers in an array of vectors of which a normalised copy is made, which saves a tenth of the time."""

SMALLEST_NORM = 1e-30
"""Below it float32 has no digits left for a direction."""


class Products(Protocol):
    """An alignment matrix `[n, n]` written as `left @ right.T`, both `[n, width]`, float32."""

    @property
    def n(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def symmetric(self) -> bool:
        """Whether `AM_ij = AM_ji` for every pair."""

    def left(self, rows: Rows) -> Float32: ...

    def right(self, rows: Rows) -> Float32: ...


Factors: TypeAlias = Products | Distances
"""What an alignment matrix is computed from, part by part."""


def image_text_factors(
    image_vectors: npt.ArrayLike,
    text_vectors: npt.ArrayLike,
    *,
    ids: Sequence[str] | None = None,
    similarity: Similarity = COSINE,
) -> Factors:
    """Factors of `AM_ij = similarity(image i, text j)`.

    Args:
        image_vectors: `[n, d]`, need not be normalised.
        text_vectors: `[n, d]`, row i is the text of image i.
        ids: `[n]`, to name an item in an error; without them it is named by its position.
        similarity: by which the encoder's vectors are compared.

    Raises:
        MucError: shapes that do not fit, or a vector that is zero or not finite; the message names its position.
    """
    images = _matrix(image_vectors, "image vectors", dimensions=2)
    texts = _matrix(text_vectors, "text vectors", dimensions=2)
    if images.shape != texts.shape:
        raise MucError(
            f"the image vectors have the shape {list(images.shape)} and the text vectors {list(texts.shape)}; "
            "both must be [items, dimension] with the same items and dimension"
        )
    norms = _norms(images, "image vector", ids), _norms(texts, "text vector", ids)
    if similarity.curvature is not None:
        lefts, rights = (values.astype(np.float32, copy=False)[None] for values in (images, texts))
        return Distances(lefts, rights, ((0, 0),), similarity.curvature, symmetric=False)
    if images.size <= MOST_COPIED:
        return _ImageTextFactors(_unit(images, norms[0]), _unit(texts, norms[1]), None, None)
    return _ImageTextFactors(images, texts, *norms)


def view_factors(views: npt.ArrayLike, *, ids: Sequence[str] | None = None, similarity: Similarity = COSINE) -> Factors:
    """Factors of `AM_ij = mean over ordered pairs of views a != b of similarity(view a of i, view b of j)`.

    Of cosines of unit vectors `z`, with `S_i = sum_a z_ai`, it is `(S_i . S_j - sum_a z_ai . z_aj) / (V (V - 1))`,
    which is one product of width `(V + 1) d`. The matrix is symmetric. Equal views (a = b) are left out: both pictures
    would have gone through the same kind of change, and on the diagonal a vector would be compared with itself.

    Args:
        views: `[V, n, d]` with V >= 2, need not be normalised.
        ids: `[n]`, to name an item in an error; without them it is named by its position.
        similarity: by which the encoder's vectors are compared.

    Raises:
        MucError: fewer than two views, or a vector that is zero or not finite; the message names its position.
    """
    vectors = _matrix(views, "views", dimensions=3)
    if len(vectors) < 2:
        raise MucError(f"there are {len(vectors)} views of each picture; two-view alignment needs at least 2")
    norms = np.stack([_norms(view, f"vector of view {number}", ids) for number, view in enumerate(vectors)])
    if similarity.curvature is not None:
        pairs = tuple(permutations(range(len(vectors)), 2))
        points = vectors.astype(np.float32, copy=False)
        return Distances(points, points, pairs, similarity.curvature, symmetric=True)
    return _ViewFactors(vectors, norms)


def alignment_matrix(
    image_vectors: npt.ArrayLike, text_vectors: npt.ArrayLike, *, similarity: Similarity = COSINE
) -> Float64:
    """`AM_ij = similarity(image i, text j)` as `[n, n]`, high = more alike. See `image_text_factors`."""
    return matrix_of(image_text_factors(image_vectors, text_vectors, similarity=similarity))


def two_view_alignment_matrix(views: npt.ArrayLike, *, similarity: Similarity = COSINE) -> Float64:
    """The mean similarity between different views, `[n, n]`, high = more alike. See `view_factors`."""
    return matrix_of(view_factors(views, similarity=similarity))


def alignment_gap(before: npt.ArrayLike, after: npt.ArrayLike) -> Float64:
    """`AGM = AM(before) - AM(after)`, in [-2, 2]; positive = alignment was lost.

    Raises:
        MucError: two matrices of different shapes.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise MucError(
            f"the matrix before has the shape {list(first.shape)} and the one after {list(second.shape)}; "
            "a gap needs the same items in the same order"
        )
    return first - second


def matrix_of(factors: Factors) -> Float64:
    """The whole matrix `[n, n]`; for sets small enough to hold it."""
    everything = slice(0, factors.n)
    if isinstance(factors, Distances):
        return factors.cells(everything, everything)
    return clip_to_cosine(factors.left(everything).astype(np.float64) @ factors.right(everything).astype(np.float64).T)


def diagonal_of(factors: Factors) -> Float64:
    """The positive alignment `[n]`."""
    if isinstance(factors, Distances):
        return factors.diagonal()
    parts = [
        np.einsum("nk,nk->n", factors.left(rows), factors.right(rows), dtype=np.float64) for rows in chunks(factors.n)
    ]
    return clip_to_cosine(np.concatenate(parts))


def chunks(n: int, size: int = CHUNK_ROWS, *, start: int = 0) -> Iterator[slice]:
    """Consecutive slices that cover `range(start, n)`."""
    return (slice(first, min(first + size, n)) for first in range(start, n, size))


def clip_to_cosine(values: Float64) -> Float64:
    """Takes off the last bit of rounding that would put a cosine above 1 or below -1; in place."""
    return np.clip(values, -1.0, 1.0, out=values)


@dataclass(frozen=True)
class _ImageTextFactors:
    # With norms: as they came, perhaps mapped from a file, and normalised block by block. Without: normalised already.
    images: Real
    texts: Real
    image_norms: Float32 | None
    text_norms: Float32 | None

    @property
    def n(self) -> int:
        return len(self.images)

    @property
    def width(self) -> int:
        return int(self.images.shape[1])

    @property
    def symmetric(self) -> bool:
        return False

    def left(self, rows: Rows) -> Float32:
        return _normalised(self.images, self.image_norms, rows)

    def right(self, rows: Rows) -> Float32:
        return _normalised(self.texts, self.text_norms, rows)


@dataclass(frozen=True)
class _ViewFactors:
    # Kept as they came and normalised block by block: a normalised copy would double the largest array of an audit.
    views: Real
    norms: Float32

    @property
    def n(self) -> int:
        return int(self.views.shape[1])

    @property
    def width(self) -> int:
        return (len(self.views) + 1) * int(self.views.shape[2])

    @property
    def symmetric(self) -> bool:
        return True

    def left(self, rows: Rows) -> Float32:
        count = len(self.views)
        return self._stacked(rows, sign=1) / np.float32(count * (count - 1))

    def right(self, rows: Rows) -> Float32:
        return self._stacked(rows, sign=-1)

    def _stacked(self, rows: Rows, *, sign: int) -> Float32:
        views = [_unit(view[rows], norms[rows]) for view, norms in zip(self.views, self.norms, strict=True)]
        total = np.sum(views, axis=0)
        return np.concatenate([total, *(np.float32(sign) * view for view in views)], axis=1)


def _matrix(values: npt.ArrayLike, name: str, *, dimensions: int) -> Real:
    matrix: Real = np.asarray(values)
    if matrix.dtype not in (np.float16, np.float32):
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which `_norms` refuses
            matrix = matrix.astype(np.float32)
    wanted = "[items, dimension]" if dimensions == 2 else "[views, items, dimension]"
    if matrix.ndim != dimensions or 0 in matrix.shape:
        raise MucError(f"the {name} have the shape {list(matrix.shape)}; expected {wanted}, none of them zero")
    return matrix


def _norms(vectors: Real, name: str, ids: Sequence[str] | None) -> Float32:
    """Euclidean norms `[n]`; refuses what has no direction."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused just below, by name
        parts = (vectors[rows].astype(np.float32, copy=False) for rows in chunks(len(vectors)))
        squares = [np.einsum("nd,nd->n", part, part, dtype=np.float64) for part in parts]
        norms: Float32 = np.sqrt(np.concatenate(squares)).astype(np.float32)

    def item(position: int) -> str:
        return f"item {position} (counting from 0)" if ids is None else f"item {ids[position]!r}"

    broken = np.flatnonzero(~np.isfinite(norms))
    if len(broken):
        raise MucError(
            f"the {name} of {item(int(broken[0]))} has a value that is not a finite number (or is too large); "
            "an encoder must return finite numbers for every item"
        )
    zero = np.flatnonzero(norms < SMALLEST_NORM)
    if len(zero):
        raise MucError(
            f"the {name} of {item(int(zero[0]))} is zero and so has no direction to compare; "
            "leave the item out or use an encoder that embeds it"
        )
    return norms


def _normalised(vectors: Real, norms: Float32 | None, rows: Rows) -> Float32:
    """Some of the vectors, which are normalised already when there are no norms."""
    return np.asarray(vectors[rows], np.float32) if norms is None else _unit(vectors[rows], norms[rows])


def _unit(vectors: Real, norms: Float32) -> Float32:
    unit: Float32 = np.divide(vectors, norms[:, np.newaxis], dtype=np.float32)
    return unit
