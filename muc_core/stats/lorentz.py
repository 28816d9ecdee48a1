"""Points of hyperbolic space as the Lorentz model writes them, in double precision (arXiv 2304.09172, section 3).

A point is given by its space part `x`; its time part is `sqrt(1/c + |x|^2)`. `muc_core.losses.lorentz` is the same on
tensors, with gradients.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float64: TypeAlias = npt.NDArray[np.float64]


def lorentz_similarity(left: npt.ArrayLike, right: npt.ArrayLike, curvature: float) -> Float64:
    """Minus the distance of all points `[n, d]` from all points `[m, d]`, `[n, m]`, at most 0.

    Args:
        left, right: space parts in the Lorentz model.
        curvature: c > 0, where the curvature is -c.
    """
    x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    inner = np.outer(_time(x, curvature), _time(y, curvature)) - x @ y.T
    inner *= curvature
    np.maximum(inner, 1.0, out=inner)  # rounding can leave the product of a point with itself just below
    np.arccosh(inner, out=inner)
    inner /= -np.sqrt(curvature)
    return inner


def centroid(points: npt.ArrayLike, curvature: float) -> Float64:
    """The point in the middle of v points each, `[v, n, d]` to `[n, d]` (Law et al., ICML 2019).

    The sum of the points in the ambient space, scaled back onto the hyperboloid; it minimises the sum of their squared
    Lorentzian distances.
    """
    x = np.asarray(points, dtype=np.float64)
    space, time = x.sum(axis=0), _time(x, curvature).sum(axis=0)
    length = np.sqrt(curvature * (np.square(time) - np.square(space).sum(axis=-1)))
    return np.asarray(space / length[:, None])


def paired_similarity(left: npt.ArrayLike, right: npt.ArrayLike, curvature: float) -> Float64:
    """Minus the distance of each point from the one in the same row, both `[n, d]`, to `[n]`."""
    x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    inner = _time(x, curvature) * _time(y, curvature) - np.einsum("nd,nd->n", x, y)
    return np.asarray(-np.arccosh(np.maximum(curvature * inner, 1.0)) / np.sqrt(curvature))


def _time(x: Float64, curvature: float) -> Float64:
    """Time parts of points `[..., d]`."""
    return np.asarray(np.sqrt(1 / curvature + np.einsum("...d,...d->...", x, x)))
