"""Retrieval between pictures and captions, as CLIP is evaluated (arXiv 2103.00020): recall at 1, 5 and 10."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muc_core.evaluation.metrics import like_retrain
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import lorentz_similarity

AT = (1, 5, 10)
PARTS = {"forget": "forgotten", "retain": "retained", "held_out": "never-trained"}
WAYS = {"i2t": ("picture to caption", "caption", "picture"), "t2i": ("caption to picture", "picture", "caption")}
TIE = 5e-6
"""Similarities nearer than this count as equal: products of the same vectors in float32 differ by up to 2e-6."""

_CHUNK = 1024

for _way, (_title, _found, _asked) in WAYS.items():
    for _k in AT:
        for _part, _word in PARTS.items():
            like_retrain(
                f"{_way}_r{_k}_{_part}",
                f"R@{_k} {_title}, {_word}",
                f"How often a {_word} {_asked} has its own {_found} among the {_k} nearest of all."
                if _k > 1
                else f"How often a {_word} {_asked} has its own {_found} as the nearest of all.",
                in_gap=_k == 1,
                is_utility=_k == 1 and _part != "forget",
            )


@dataclass(frozen=True)
class Recall:
    """Recall at each k of `AT`, in [0, 1], for one way."""

    at: dict[int, float]


def recall(
    queries: npt.ArrayLike,
    gallery: npt.ArrayLike,
    own: npt.ArrayLike,
    *,
    at: Sequence[int] = AT,
    similarity: Similarity = COSINE,
) -> Recall:
    """How often a query's own partner is among the k nearest.

    Where the partner ties with others, a query counts as if the order among equals had been drawn: an encoder that
    answers everything alike finds nothing.

    Args:
        queries: `[n, d]`, n >= 1.
        gallery: all partners, `[m, d]`.
        own: `[n]`, row of each query's partner in the gallery.
        at: the ks.
        similarity: by which the encoder's vectors are compared.
    """
    c, rows = similarity.curvature, np.asarray(own, dtype=np.int64)
    left, right = (_unit(side) if c is None else np.asarray(side) for side in (queries, gallery))
    found = {k: 0.0 for k in at}
    for start in range(0, len(left), _CHUNK):
        part = slice(start, start + _CHUNK)
        alike = left[part] @ right.T if c is None else lorentz_similarity(left[part], right, c)
        mine = alike[np.arange(len(alike)), rows[part]][:, None]
        above = (alike > mine + TIE).sum(axis=1)
        equal = (np.abs(alike - mine) <= TIE).sum(axis=1)
        for k in at:
            found[k] += float(np.clip((k - above) / equal, 0, 1).sum())
    return Recall({k: total / len(left) for k, total in found.items()})


def _unit(vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
    values = np.asarray(vectors, dtype=np.float32)
    unit: npt.NDArray[np.float32] = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return unit
