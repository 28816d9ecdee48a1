"""Nearest neighbours against plain loops and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from muc_core.audit.neighbours import nearest
from muc_core.errors import MucError


def slow_cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


@pytest.mark.parametrize("seed", range(5))
def test_against_plain_loops_and_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    query, candidates = random.normal(size=7) * 3, random.normal(size=(40, 7)) * random.uniform(0.1, 9, size=(40, 1))
    found = nearest(query, candidates, count=5, own=11)
    values = [slow_cosine(query.tolist(), row.tolist()) for row in candidates]
    order = sorted(range(40), key=lambda place: -values[place])
    assert found.places.tolist() == order[:5]
    assert found.similarities == pytest.approx([values[place] for place in order[:5]], abs=1e-12)
    assert found.own_rank == order.index(11) + 1
    assert found.own_similarity == pytest.approx(cosine_similarity([query], candidates[11:12])[0, 0], abs=1e-12)


def test_equals_keep_their_order_and_share_the_better_place() -> None:
    candidates = [[0, 1], [1, 0], [2, 0], [3, 0], [-1, 0]]
    found = nearest([1, 0], candidates, count=3, own=3)
    assert found.places.tolist() == [1, 2, 3]
    assert found.own_rank == 1
    assert nearest([1, 0], candidates, own=4).own_rank == 5


def test_few_candidates_are_all_returned_and_without_an_own_there_is_no_rank() -> None:
    found = nearest([1.0, 0.0], [[1.0, 1.0], [1.0, 0.0]], count=5)
    assert found.places.tolist() == [1, 0]
    assert (found.own_rank, found.own_similarity) == (None, None)


def test_a_longer_vector_is_no_nearer() -> None:
    assert nearest([1, 1], [[100.0, 0.0], [0.1, 0.1]]).places.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("query", "candidates", "options", "sentence"),
    [
        ([1, 0], [[1, 0, 0]], {}, "must be \\[d\\] and \\[n, d\\]"),
        ([[1, 0]], [[1, 0]], {}, "must be \\[d\\] and \\[n, d\\]"),
        ([1, 0], np.zeros((0, 2)), {}, "at least one candidate"),
        ([1, 0], [[1, 0]], {"count": 0}, "at least 1 neighbour"),
        ([1, 0], [[1, 0]], {"own": 1}, "one of the 1 candidates"),
        ([1, 0], [[1, 0]], {"own": -1}, "one of the 1 candidates"),
        ([0, 0], [[1, 0]], {}, "the query has a vector that is zero"),
        ([1, 0], [[1, 0], [0, 0]], {}, "a candidate has a vector that is zero"),
        ([1, 0], [[1, float("nan")]], {}, "a candidate has a vector that is zero or not finite"),
    ],
)
def test_bad_input_is_a_sentence(query: object, candidates: object, options: dict[str, int], sentence: str) -> None:
    with pytest.raises(MucError, match=sentence):
        nearest(query, candidates, **options)  # type: ignore[arg-type]
