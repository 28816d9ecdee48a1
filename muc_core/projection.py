"""One map for two encoders: what they make of the same items, before and after, in the plane.

Two maps fitted one by one cannot be compared, because each has its own axes. Here a single fit sees the L2-normalised
vectors of both, one below the other. With UMAP a point may still move although its vector did not: on clustered vectors
that had not changed at all, by 0.1 % of the plot's diagonal (median) and up to 0.9 % (the largest of 5,000), on a few
dozen points by several percent. Judge a movement by that of controls, which nobody asked to forget, on the same map
(`JointProjection.displacement`), and never by itself. How far a map can be believed at a point is the share of its
neighbours that are its neighbours on the map, too (`neighbour_retention`); how far an item moved in truth is `drift`.

Sources: McInnes, Healy, Melville, "UMAP", arXiv 1802.03426; Kobak and Linderman, Nature Biotechnology 39 (2021), for
starting from the principal axes, which keeps the large-scale picture steady.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from muc_core.errors import MucError

Method: TypeAlias = Literal["umap", "pca"]

FEW_POINTS = 4096
"""Below it UMAP compares all pairs of points by itself, and 500 epochs are quick; from it on 200 are enough."""

EXACT_POINTS = 20_000
"""Up to it neighbours are found by comparing all pairs; beyond, UMAP's approximate search is faster."""


MEASURED = 5_000
"""Points whose neighbours are compared, of more a sample."""


@dataclass(frozen=True, eq=False)
class JointProjection:
    """Places of n items in the plane or in space, before and after, on the same axes.

    Attributes:
        before: `[n, 2]` or `[n, 3]`.
        after: of the same shape, in the same order.
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

    @cached_property
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
    dimensions: int = 2,
) -> JointProjection:
    """Fit one map to the vectors of both encoders.

    Args:
        before: vectors of the encoder before `[n, d]`, n >= 2, d >= 2; need not be normalised.
        after: of the encoder after `[n, d]`, the same items in the same order.
        method: "umap", or "pca", which is there at once.
        seed: of the fit.
        n_neighbors: UMAP: how many neighbours of a point count, >= 2; cut to the number of other points.
        min_dist: UMAP: how close points may lie in the plane, in [0, 1].
        dimensions: of the map, 2 or 3.

    Raises:
        MucError: shapes that do not fit, too few points, a setting out of range, a vector that is zero or not finite.
    """
    if dimensions not in (2, 3):
        raise MucError(f"dimensions is {dimensions}; a map has 2 or 3")
    first, second = _vectors(before, "before"), _vectors(after, "after")
    if first.shape[1] != second.shape[1]:
        raise MucError(
            f"the encoder before has vectors of dimension {first.shape[1]} and the one after of {second.shape[1]}; "
            "a joint map needs the same dimension (compare such encoders by their alignment matrices)"
        )
    if len(first) != len(second):
        raise MucError(f"there are {len(first)} items before and {len(second)} after; a joint map needs the same items")
    if len(first) < 2 or first.shape[1] < dimensions:
        raise MucError(
            f"there are {len(first)} items with vectors of dimension {first.shape[1]}; "
            f"a joint map needs at least 2 items (4 points) and {dimensions} dimensions"
        )
    points = np.concatenate([first, second])
    if method == "pca":
        fit = _pca(points, seed, dimensions)
    elif method == "umap":
        fit = _umap(points, seed, n_neighbors, min_dist, dimensions)
    else:
        raise MucError(f"there is no map method {method!r}; known: umap, pca")
    places, settings, notes = fit
    return JointProjection(places[: len(first)], places[len(first) :], method, seed, settings, notes)


def drift(before: npt.ArrayLike, after: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How far each item moved in the original space `[n]`: 1 - cosine of its vectors before and after, in [0, 2].

    Args:
        before, after: vectors `[n, d]` of the same items; two encoders of which one was made from the other.

    Raises:
        MucError: as `joint_projection`.
    """
    first, second = _vectors(before, "before"), _vectors(after, "after")
    if first.shape != second.shape:
        raise MucError(
            f"the vectors before have the shape {list(first.shape)} and those after {list(second.shape)}; "
            "a drift needs the same items and dimension"
        )
    cosines = np.einsum("nd,nd->n", first, second, dtype=np.float64)
    return np.asarray(1 - np.clip(cosines, -1, 1))


def neighbour_retention(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    projection: JointProjection,
    *,
    k: int = 15,
    most: int = MEASURED,
    seed: int = 0,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How far the map can be believed at each point: the share of its k nearest neighbours in the original space that
    are among its k nearest on the map, in [0, 1]; 1 is ideal, chance is about k / (2 n).

    Neighbours are looked for among all points of the joint map, before and after. It is the precision of Venna et al.,
    "Information retrieval perspective to nonlinear dimensionality reduction", JMLR 11 (2010), with equal k.

    Args:
        before, after: the vectors that the map was fitted to.
        projection: the map.
        k: neighbours of a point; cut to the number of other points.
        most: of more points so many are measured, drawn at random.
        seed: of the draw.

    Returns:
        For the points before and for those after, `[n]` each; NaN where it was not measured.
    """
    from sklearn.neighbors import NearestNeighbors

    points = np.concatenate([_vectors(before, "before"), _vectors(after, "after")])
    places = np.concatenate([projection.before, projection.after])
    count = len(points)
    if len(places) != count:
        raise MucError(f"the map has {len(places)} points and there are {count} vectors; it belongs to other items")
    k = min(k, count - 1)
    measured = np.arange(count)
    if count > most:
        measured = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    found = []
    for space, algorithm in ((points, "brute"), (places, "kd_tree")):
        search = NearestNeighbors(n_neighbors=k + 1, algorithm=algorithm).fit(space)
        nearest = search.kneighbors(space[measured], return_distance=False)
        found.append([_others(row, int(own), k) for row, own in zip(nearest, measured, strict=True)])
    retention = np.full(count, np.nan)
    retention[measured] = [len(true & shown) / k for true, shown in zip(*found, strict=True)]
    half = count // 2
    return retention[:half], retention[half:]


def place_among(
    known: npt.ArrayLike, places: npt.ArrayLike, new: npt.ArrayLike, *, k: int = 5
) -> npt.NDArray[np.float64]:
    """Where further items belong on a finished map: between the places of their nearest neighbours, weighted by cosine.

    It cannot put an item outside of what is known, which is said where such points are shown.

    Args:
        known: vectors `[n, d]` of the items on the map, in one encoder.
        places: of these items in the same encoder `[n, 2]` or `[n, 3]`.
        new: vectors `[m, d]` in that encoder.
        k: neighbours that count; cut to n.

    Returns:
        Places `[m, 2]` or `[m, 3]`.
    """
    references, further = _vectors(known, "on the map"), _vectors(new, "to be placed")
    similar = (further @ references.T).astype(np.float64)
    nearest = np.argsort(-similar, axis=1)[:, : min(k, len(references))]
    weights = np.maximum(np.take_along_axis(similar, nearest, axis=1), 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("mk,mkc->mc", weights, np.asarray(places, dtype=np.float64)[nearest]))


def _others(nearest: npt.NDArray[np.int64], own: int, k: int) -> set[int]:
    """The k nearest without the point itself, which ties may put anywhere among them, or not at all."""
    return set([int(place) for place in nearest if place != own][:k])


_Fit: TypeAlias = tuple[npt.NDArray[np.float64], dict[str, str | int | float], tuple[str, ...]]


def _pca(points: npt.NDArray[np.float32], seed: int, dimensions: int) -> _Fit:
    from sklearn.decomposition import PCA

    if not np.ptp(points, axis=0).any():
        # PCA would divide by a variance of zero to say how much of it each axis holds.
        return np.zeros((len(points), dimensions)), {}, ("All vectors are the same, so all points lie in one place.",)
    fit = PCA(dimensions, random_state=seed)
    places = fit.fit_transform(points)
    share = float(fit.explained_variance_ratio_.sum())
    return (
        places.astype(np.float64),
        {"explained_variance": share},
        (f"The {'two' if dimensions == 2 else 'three'} axes hold {share:.0%} of the variance.",),
    )


def _umap(points: npt.NDArray[np.float32], seed: int, n_neighbors: int, min_dist: float, dimensions: int) -> _Fit:
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
            n_components=dimensions,
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
