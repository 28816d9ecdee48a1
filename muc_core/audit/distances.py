"""Alignment matrices of hyperbolic encoders: minus the Lorentz distance, which is no product of two factors.

`AM_ij = -arccosh(-c <x_i, y_j>_L) / sqrt(c)` is one matrix product and one function of each cell, so that a part of the
matrix is made when it is asked for and a matrix too large for memory never has to exist. It is done in double
precision: near 1, arccosh keeps half of the digits that it is given.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from muc_core.stats.lorentz import lorentz_similarity, paired_similarity

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = slice | npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Distances:
    """An alignment matrix `[n, n]` of similarities that are minus distances.

    Attributes:
        lefts, rights: points `[v, n, d]` and `[w, n, d]`.
        pairs: which of the lefts is compared with which of the rights; the matrix is the mean over them.
        curvature: c.
        symmetric: whether `AM_ij = AM_ji` for every pair.
    """

    lefts: Float32
    rights: Float32
    pairs: tuple[tuple[int, int], ...]
    curvature: float
    symmetric: bool

    @property
    def n(self) -> int:
        return int(self.lefts.shape[1])

    def cells(self, rows: Rows, columns: Rows, others: "Distances | None" = None) -> Float64:
        """Some cells `[rows, columns]`; the columns are those of `others`, of the same encoder, if it is given."""
        rights = (others or self).rights
        total: Float64 | None = None
        for a, b in self.pairs:
            found = lorentz_similarity(self.lefts[a][rows], rights[b][columns], self.curvature)
            total = found if total is None else np.add(total, found, out=total)
        assert total is not None
        return np.asarray(total / len(self.pairs))

    def diagonal(self) -> Float64:
        """The cells of each item with itself, `[n]`."""
        parts = (paired_similarity(self.lefts[a], self.rights[b], self.curvature) for a, b in self.pairs)
        return np.asarray(sum(parts) / len(self.pairs))
