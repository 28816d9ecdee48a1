"""Whether two encoders arrange the same pictures alike: linear CKA, and the neighbours they have in common."""

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from muc_core.errors import MucError
from muc_core.evaluation.metrics import Metric, declare

NEIGHBOURS = 10

declare(
    Metric(
        "cka",
        "CKA with Retrain",
        "higher",
        0.0,
        1.0,
        1.0,
        "ratio",
        "How alike the features' geometry is to Retrain's, on forgotten and never-trained pictures; 1 is the same.",
    )
)
declare(
    Metric(
        "neighbours",
        "neighbours shared with Retrain",
        "higher",
        0.0,
        1.0,
        1.0,
        "share",
        f"Share of a picture's {NEIGHBOURS} nearest pictures that are the same in Retrain.",
    )
)


def neighbour_overlap(first: npt.ArrayLike, second: npt.ArrayLike, *, count: int = NEIGHBOURS) -> float:
    """Mean share of each item's nearest others by cosine that two encoders have in common, in [0, 1].

    Args:
        first, second: vectors of the same items in the same order, `[n, d]` and `[n, e]`, n >= 2.
        count: neighbours of each item; with fewer other items, all of those, which makes the overlap 1.

    Raises:
        MucError: different numbers of items.
    """
    a, b = np.asarray(first), np.asarray(second)
    if len(a) != len(b):
        raise MucError(f"{len(a)} and {len(b)} pictures cannot be compared; give both encoders the same ones")
    k = min(count, len(a) - 1)
    near = [NearestNeighbors(n_neighbors=k, metric="cosine").fit(x).kneighbors(return_distance=False) for x in (a, b)]
    shared = [len(np.intersect1d(left, right)) for left, right in zip(*near, strict=True)]
    return float(np.mean(shared) / k)
