"""The joint map of two encoders, warm, and the PCA that is shown until it is there."""

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Row, seconds
from muc_core.projection import FEW_POINTS, joint_projection

DIMENSION = 512
BUDGET_S = 15.0


def vectors(n: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Forty groups, one of which moves."""
    draws = np.random.default_rng(0)
    centres = draws.standard_normal((40, DIMENSION), dtype=np.float32)
    groups = draws.integers(40, size=n)
    before = centres[groups] + 0.8 * draws.standard_normal((n, DIMENSION), dtype=np.float32)
    after = before + 0.2 * draws.standard_normal((n, DIMENSION), dtype=np.float32)
    after[groups == 0] -= centres[0]
    return before, after


def rows(*, quick: bool) -> list[Row]:
    n = 2_500 if quick else 5_000
    # Compiled functions are warm once a set just large enough to take the same path was mapped.
    joint_projection(*vectors(FEW_POINTS // 2 + 1))
    before, after = vectors(n)
    umap = seconds(lambda: joint_projection(before, after))
    pca = seconds(lambda: joint_projection(before, after, method="pca"))
    size = f"2 x {n:,} x {DIMENSION}"
    return [
        Row(f"joint UMAP, {size}, warm", f"{umap:.1f} s", "", "", f"<= {BUDGET_S:.0f} s", umap / BUDGET_S),
        Row(f"joint PCA, {size}", f"{pca:.2f} s", f"UMAP: {umap:.1f} s", f"{pca / umap:.1%}", "at once", None),
    ]
