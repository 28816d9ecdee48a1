"""What an audit is given of an encoder: the vectors of the pooled items, owner's first, controls after them."""

import mmap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from muc_core.audit.alignment import Factors, Float64, chunks, image_text_factors, view_factors
from muc_core.audit.summary import margins
from muc_core.errors import MucError
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import centroid

Float32: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = npt.NDArray[np.intp]

NEIGHBOURS = 5
REFERENCES = 2000
"""Neighbours of an item are looked for among at most so many others, drawn at random."""


@dataclass(frozen=True, eq=False)
class Scores:
    """One row per pooled item.

    Attributes:
        positive: `[n]` similarity with the own partner: caption, or other views of itself.
        margin: `[n]` positive less the mean similarity with the partners of all others (DESIGN section 5).
    """

    positive: Float64
    margin: Float64


class _OfPictures(ABC):
    """What both kinds of vectors say of the pictures alone, from their `views`."""

    views: Float32

    @property
    def n(self) -> int:
        return int(self.views.shape[1])

    @property
    def dimension(self) -> int:
        return int(self.views.shape[2])

    @property
    def images(self) -> Float64:
        """Directions of all pictures, `[n, d]`."""
        return np.concatenate([self.directions(rows) for rows in chunks(self.n)])

    def directions(self, rows: slice) -> Float64:
        """Of some pictures: normalised mean of the normalised views, `[k, d]`."""
        return _mean_direction(self.views[:, rows])

    def release(self) -> None:
        """Let go of what was read of files that are mapped into memory; it is read again when it is asked for."""
        release_pages(self.views)

    @abstractmethod
    def factors(self, ids: Sequence[str] | None = None) -> Factors:
        """Of the alignment matrix."""

    def scores(self, ids: Sequence[str]) -> Scores:
        return Scores(*margins(self.factors(ids)))


@dataclass(frozen=True, eq=False)
class ImageTextVectors(_OfPictures):
    """Vectors of views of each picture `[v, n, d]` (one view is enough) and of its caption `[n, d]`.

    `similarity` says by what the encoder's vectors are to be compared.
    """

    views: Float32
    texts: Float32
    similarity: Similarity = COSINE

    @property
    def n(self) -> int:
        return len(self.texts)

    @property
    def dimension(self) -> int:
        return int(self.texts.shape[1])

    def factors(self, ids: Sequence[str] | None = None) -> Factors:
        """Of the matrix of pictures, each the middle of its views, against captions."""
        c = self.similarity.curvature
        if len(self.views) == 1:
            pictures = self.views[0]
        elif c is None:
            pictures = np.concatenate([self.directions(rows).astype(np.float32) for rows in chunks(self.n)])
        else:
            pictures = centroid(self.views, c).astype(np.float32)
        return image_text_factors(pictures, self.texts, ids=ids, similarity=self.similarity)

    def release(self) -> None:
        super().release()
        release_pages(self.texts)

    def traits(self, seed: int = 0) -> Float64:
        """`[n, 4]` how alike an item is to its nearest neighbours, which says how hard it is to place for an encoder
        that has never seen it; the pairing of a picture with its own partner has no part in it."""
        return np.hstack([_nearness(self.images, seed), _nearness(_mean_direction(self.texts[None]), seed)])

    def take(self, rows: Rows) -> "ImageTextVectors":
        """Some of the items."""
        return replace(self, views=self.views[:, rows], texts=self.texts[rows])

    def join(self, others: "Vectors") -> "ImageTextVectors":
        """These items and then others."""
        assert isinstance(others, ImageTextVectors)
        return replace(
            self,
            views=np.concatenate([self.views, others.views], axis=1),
            texts=np.concatenate([self.texts, others.texts]),
        )


@dataclass(frozen=True, eq=False)
class ViewVectors(_OfPictures):
    """Vectors of v >= 2 views of each picture, `[v, n, d]`; `similarity` as in `ImageTextVectors`."""

    views: Float32
    similarity: Similarity = COSINE

    def factors(self, ids: Sequence[str] | None = None) -> Factors:
        """Of the matrix of views against other views."""
        return view_factors(self.views, ids=ids, similarity=self.similarity)

    def traits(self, seed: int = 0) -> Float64:
        """`[n, 2]`, as those of `ImageTextVectors`."""
        return _nearness(self.images, seed)

    def take(self, rows: Rows) -> "ViewVectors":
        """Some of the items."""
        return replace(self, views=self.views[:, rows])

    def join(self, others: "Vectors") -> "ViewVectors":
        """These items and then others."""
        assert isinstance(others, ViewVectors)
        return replace(self, views=np.concatenate([self.views, others.views], axis=1))


Vectors: TypeAlias = ImageTextVectors | ViewVectors


def check_vectors(vectors: Vectors, ids: Sequence[str], name: str) -> None:
    """Refuse what no audit can be made of.

    Args:
        name: of the encoder, for the error.

    Raises:
        MucError: another number of items than ids, numbers that are not finite, or a vector of zeros, naming the item.
    """
    parts = [("picture", vectors.views)]
    if isinstance(vectors, ImageTextVectors):
        parts.append(("caption", vectors.texts[None]))
    for what, values in parts:
        if values.ndim != 3 or values.shape[1] != len(ids):
            raise MucError(
                f"{name} gave {what} vectors of shape {values.shape} for {len(ids)} items; expected [views, n, d]"
            )
        for rows in chunks(len(ids)):
            some = values[:, rows]
            broken = ~np.isfinite(some).all(axis=(0, 2)) | ~some.any(axis=2).all(axis=0)
            if broken.any():
                item = ids[rows.start + int(np.flatnonzero(broken)[0])]
                raise MucError(
                    f"{name} gave a {what} vector of zeros or of numbers that are not finite for {item!r}; an audit "
                    "needs a direction for every item"
                )


def release_pages(array: object) -> None:
    """Take the pages of a file that was mapped for reading out of this process's memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
            array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
            return
        array = array.base


def _mean_direction(views: Float32) -> Float64:
    wide = views.astype(np.float64)
    mean = (wide / np.linalg.norm(wide, axis=2, keepdims=True)).mean(axis=0)
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12))


def _nearness(vectors: Float64, seed: int) -> Float64:
    """Similarity of each item to its nearest neighbour and to its five nearest, `[n, 2]`."""
    n = len(vectors)
    references = np.arange(n)
    if n > REFERENCES:
        references = np.sort(np.random.default_rng(seed).choice(n, REFERENCES, replace=False))
    traits = np.empty((n, 2))
    for start in range(0, n, 1024):
        rows = np.arange(start, min(start + 1024, n))
        similar = vectors[rows] @ vectors[references].T
        similar[rows[:, None] == references[None, :]] = -np.inf
        nearest = np.sort(similar, axis=1)[:, -min(NEIGHBOURS, len(references) - 1) :]
        traits[rows] = np.stack([nearest[:, -1], nearest.mean(axis=1)], axis=1)
    return traits
