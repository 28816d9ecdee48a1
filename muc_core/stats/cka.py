"""Linear CKA (Kornblith et al., arXiv 1905.00414): whether two sets of vectors have the same geometry."""

import numpy as np
import numpy.typing as npt


def linear_cka(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """||Y'X||^2 / (||X'X|| ||Y'Y||) of column-centred vectors `[m, d]`; 0 when all vectors of one are equal."""
    x, y = (np.asarray(values, dtype=np.float64) for values in (first, second))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return float(np.linalg.norm(y.T @ x) ** 2) / scale if scale > 0 else 0.0
