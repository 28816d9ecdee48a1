"""One map for two encoders: what they make of the same items, before and after, in the plane.

Two maps fitted one by one cannot be compared, because each has its own axes. Here a single fit sees the L2-normalised
vectors of both, one below the other. With UMAP a point may still move although its vector did not: on clustered vectors
that had not changed at all, by 0.1 % of the plot's diagonal (median) and up to 0.9 % (the largest of 5,000), on a few
dozen points by several percent. Judge a movement by that of controls, which nobody asked to forget, on the same map
(`JointProjection.displacement`), and never by itself.

Sources: McInnes, Healy, Melville, "UMAP", arXiv 1802.03426; Kobak and Linderman, Nature Biotechnology 39 (2021), for
starting from the principal axes, which keeps the large-scale picture steady.
"""

import warnings
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from muc_core.errors import MucError

Method: TypeAlias = Literal["umap", "pca"]

FEW_POINTS = 4096
"""Below it UMAP compares all pairs of points by itself, and 500 epochs are quick; from it on 200 are enough."""

EXACT_POINTS = 20_000
"""Up to it neighbours are found by comparing all pairs; beyond, UMAP's approximate search is faster."""


@dataclass(frozen=True, eq=False)
class JointProjection:
    """Places of n items in the plane, before and after, on the same axes.

    Attributes:
        before: `[n, 2]`.
        after: `[n, 2]`, in the same order.
        method: "umap" or "pca".
        seed: of the fit; the same vectors and seed give the same places on the same machine.
        settings: what the fit used, by name.
        notes: what was adapted to the data, in words.
    """

    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    method: Method
    seed: int
    settings: dict[str, str | int | float]
    notes: tuple[str, ...] = ()

    @property
    def displacement(self) -> npt.NDArray[np.float64]:
        """How far each item moved `[n]`, as a share of the plot's diagonal, in [0, 1]."""
        points = np.concatenate([self.before, self.after])
        diagonal = np.linalg.norm(np.ptp(points, axis=0))
        moved: npt.NDArray[np.float64] = np.linalg.norm(self.after - self.before, axis=1)
        return moved / diagonal if diagonal > 0 else moved


def joint_projection(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    method: Method = "umap",
    seed: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
) -> JointProjection:
    """Fit one map to the vectors of both encoders.

    Args:
        before: vectors of the encoder before `[n, d]`, n >= 2, d >= 2; need not be normalised.
        after: of the encoder after `[n, d]`, the same items in the same order.
        method: "umap", or "pca", which is there at once.
        seed: of the fit.
        n_neighbors: UMAP: how many neighbours of a point count, >= 2; cut to the number of other points.
        min_dist: UMAP: how close points may lie in the plane, in [0, 1].

    Raises:
        MucError: shapes that do not fit, too few points, a setting out of range, a vector that is zero or not finite.
    """
    first, second = _vectors(before, "before"), _vectors(after, "after")
    if first.shape[1] != second.shape[1]:
        raise MucError(
            f"the encoder before has vectors of dimension {first.shape[1]} and the one after of {second.shape[1]}; "
            "a joint map needs the same dimension (compare such encoders by their alignment matrices)"
        )
    if len(first) != len(second):
        raise MucError(f"there are {len(first)} items before and {len(second)} after; a joint map needs the same items")
    if len(first) < 2 or first.shape[1] < 2:
        raise MucError(
            f"there are {len(first)} items with vectors of dimension {first.shape[1]}; "
            "a joint map needs at least 2 items (4 points) and 2 dimensions"
        )
    points = np.concatenate([first, second])
    if method == "pca":
        fit = _pca(points, seed)
    elif method == "umap":
        fit = _umap(points, seed, n_neighbors, min_dist)
    else:
        raise MucError(f"there is no map method {method!r}; known: umap, pca")
    places, settings, notes = fit
    return JointProjection(places[: len(first)], places[len(first) :], method, seed, settings, notes)


_Fit: TypeAlias = tuple[npt.NDArray[np.float64], dict[str, str | int | float], tuple[str, ...]]


def _pca(points: npt.NDArray[np.float32], seed: int) -> _Fit:
    from sklearn.decomposition import PCA

    if not np.ptp(points, axis=0).any():
        # PCA would divide by a variance of zero to say how much of it each axis holds.
        return np.zeros((len(points), 2)), {}, ("All vectors are the same, so all points lie in one place.",)
    fit = PCA(2, random_state=seed)
    places = fit.fit_transform(points)
    share = float(fit.explained_variance_ratio_.sum())
    return (
        places.astype(np.float64),
        {"explained_variance": share},
        (f"The two axes hold {share:.0%} of the variance.",),
    )


def _umap(points: npt.NDArray[np.float32], seed: int, n_neighbors: int, min_dist: float) -> _Fit:
    if n_neighbors < 2:
        raise MucError(f"n_neighbors is {n_neighbors}; UMAP needs at least 2")
    if not 0 <= min_dist <= 1:
        raise MucError(f"min_dist is {min_dist}; UMAP accepts 0 to 1")
    if not np.ptp(points, axis=0).any():
        raise MucError("all vectors are the same, so there are no neighbourhoods to map; use the map method pca")
    # Importing UMAP compiles functions for seconds, which nobody who only wants PCA should wait for.
    from umap import UMAP

    count = len(points)
    neighbors = min(n_neighbors, count - 1)
    epochs = 500 if count < FEW_POINTS else 200
    # UMAP's approximate search compiles for most of a minute at its first use.
    known = _nearest(points, neighbors) if FEW_POINTS <= count <= EXACT_POINTS else (None, None, None)
    with warnings.catch_warnings():
        # Known neighbours without a search index cannot place further points later; nobody does that here.
        warnings.filterwarnings("ignore", message="precomputed_knn.*", category=UserWarning)
        places = UMAP(
            n_components=2,
            n_neighbors=neighbors,
            min_dist=min_dist,
            metric="euclidean",  # on unit vectors it orders neighbours as the cosine does, and is twice as fast
            init="pca",
            n_epochs=epochs,
            precomputed_knn=known,
            random_state=seed,
            n_jobs=1,  # with more the result would depend on how threads interleave
        ).fit_transform(points)
    settings: dict[str, str | int | float] = {
        "n_neighbors": neighbors,
        "min_dist": min_dist,
        "metric": "euclidean on unit vectors",
        "init": "pca",
        "n_epochs": epochs,
    }
    note = f"n_neighbors was cut from {n_neighbors} to {neighbors}, the number of other points."
    return places.astype(np.float64), settings, (note,) if neighbors < n_neighbors else ()


def _nearest(points: npt.NDArray[np.float32], neighbors: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(points).kneighbors(points)
    return indices, distances


def _vectors(values: npt.ArrayLike, which: str) -> npt.NDArray[np.float32]:
    """Unit vectors `[n, d]`."""
    vectors = np.asarray(values, dtype=np.float64)
    if vectors.ndim != 2:
        raise MucError(f"the vectors {which} have the shape {list(vectors.shape)}; expected [items, dimension]")
    norms = np.linalg.norm(vectors, axis=1)
    unusable = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(unusable):
        raise MucError(
            f"the vector {which} of item {unusable[0]} (counting from 0) is zero or not finite; "
            "leave the item out or use an encoder that embeds it"
        )
    unit: npt.NDArray[np.float32] = (vectors / norms[:, np.newaxis]).astype(np.float32)
    return unit
