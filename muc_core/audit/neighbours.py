"""What an encoder takes something for: which of many candidates are most alike to it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muc_core.audit.alignment import SMALLEST_NORM, Float64, clip_to_cosine
from muc_core.errors import MucError
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import lorentz_similarity


@dataclass(frozen=True, eq=False)
class Nearest:
    """The candidates most alike to one query, the most similar first.

    Attributes:
        places: `[k]` positions among the candidates.
        similarities: `[k]`, high = more alike.
        own_rank: place of the query's own candidate by similarity, 1 = the most similar; candidates exactly as similar
            share the better place. None when it has none.
        own_similarity: that candidate's similarity.
    """

    places: npt.NDArray[np.intp]
    similarities: Float64
    own_rank: int | None = None
    own_similarity: float | None = None


def nearest(
    query: npt.ArrayLike,
    candidates: npt.ArrayLike,
    *,
    count: int = 5,
    own: int | None = None,
    similarity: Similarity = COSINE,
) -> Nearest:
    """The `count` candidates with the highest similarity to the query; equals keep the order they came in.

    Args:
        query: `[d]`, such as the vector of a picture; need not be normalised.
        candidates: `[n, d]`, such as the vectors of captions.
        count: how many, >= 1; all of them when there are fewer.
        own: position of the candidate that belongs to the query, such as its own caption.
        similarity: by which the encoder's vectors are compared.

    Raises:
        MucError: no candidates, shapes that do not fit, a vector that is zero or not finite, `count` or `own` out of
            range.
    """
    one, many = np.asarray(query, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    if one.ndim != 1 or many.ndim != 2 or not len(many) or many.shape[1] != len(one):
        raise MucError(
            f"the query has the shape {list(one.shape)} and the candidates {list(many.shape)}; they must be [d] and "
            "[n, d] with the same d and at least one candidate"
        )
    if count < 1:
        raise MucError(f"count is {count}; ask for at least 1 neighbour")
    if own is not None and not 0 <= own < len(many):
        raise MucError(f"own is {own}; it must be the position of one of the {len(many):,} candidates")
    norms = np.linalg.norm(many, axis=1)
    length = float(np.linalg.norm(one))
    for name, norm in (("the query", np.array([length])), ("a candidate", norms)):
        if not np.isfinite(norm).all() or (norm < SMALLEST_NORM).any():
            raise MucError(f"{name} has a vector that is zero or not finite; the encoder may be damaged")
    if similarity.curvature is None:
        similarities = clip_to_cosine(many @ one / (norms * length))
    else:
        similarities = lorentz_similarity(one[None], many, similarity.curvature)[0]
    places = np.argsort(-similarities, kind="stable")[:count]
    if own is None:
        return Nearest(places, similarities[places])
    rank = 1 + int((similarities > similarities[own]).sum())
    return Nearest(places, similarities[places], rank, float(similarities[own]))
