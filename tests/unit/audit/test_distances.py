"""Alignment by minus the Lorentz distance against plain loops: cells, summaries, pictures, neighbours, whole audits."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from muc_core.audit.alignment import (
    alignment_matrix,
    diagonal_of,
    image_text_factors,
    matrix_of,
    two_view_alignment_matrix,
    view_factors,
)
from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.collateral import Bystander, collateral
from muc_core.audit.gap import gap_inference
from muc_core.audit.honesty import margins
from muc_core.audit.neighbours import nearest
from muc_core.audit.picture import cells_across, cells_between
from muc_core.audit.summary import summarise, summarise_views
from muc_core.audit.vectors import ImageTextVectors, ViewVectors
from muc_core.errors import MucError
from muc_core.losses.lorentz import pairwise_distance
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import centroid, lorentz_similarity

CURVATURES = [0.1, 1.0, 10.0]


def lorentz(c: float) -> Similarity:
    return Similarity("lorentz", c)


def drawn(*shape: int, seed: int = 0, size: float = 1.0) -> np.ndarray:
    return np.asarray(size * np.random.default_rng(seed).normal(size=shape), dtype=np.float32)


def plain(x: np.ndarray, y: np.ndarray, c: float) -> float:
    a, b = [float(v) for v in x], [float(v) for v in y]
    times = math.sqrt(1 / c + sum(v * v for v in a)) * math.sqrt(1 / c + sum(v * v for v in b))
    return -math.acosh(max(1.0, c * (times - sum(p * q for p, q in zip(a, b, strict=True))))) / math.sqrt(c)


def plain_matrix(left: np.ndarray, right: np.ndarray, c: float) -> np.ndarray:
    return np.array([[plain(x, y, c) for y in right] for x in left])


def plain_views(views: np.ndarray, c: float) -> np.ndarray:
    pairs = itertools.permutations(range(len(views)), 2)
    return np.asarray(np.mean([plain_matrix(views[a], views[b], c) for a, b in pairs], axis=0))


@pytest.mark.parametrize("c", CURVATURES)
def test_matrices_equal_plain_loops_and_what_training_minimises(c: float) -> None:
    images, texts, views = drawn(6, 3, seed=1), drawn(6, 3, seed=2), drawn(3, 5, 4, seed=3)
    found = alignment_matrix(images, texts, similarity=lorentz(c))
    assert found == pytest.approx(plain_matrix(images, texts, c), rel=1e-9)
    trained = pairwise_distance(torch.from_numpy(images), torch.from_numpy(texts), torch.tensor(c))
    assert found == pytest.approx(-trained.numpy(), rel=1e-4)
    assert two_view_alignment_matrix(views, similarity=lorentz(c)) == pytest.approx(plain_views(views, c), rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 33])
@pytest.mark.parametrize("tile", [8, 1024])
def test_a_summary_is_that_of_the_whole_matrix(n: int, tile: int) -> None:
    images, texts, views = drawn(n, 3, seed=4), drawn(n, 3, seed=5), drawn(3, n, 3, seed=6)
    cases = (
        (summarise(images, texts, similarity=lorentz(0.7), tile=tile), plain_matrix(images, texts, 0.7)),
        (summarise_views(views, similarity=lorentz(0.7), tile=tile), plain_views(views, 0.7)),
    )
    for (summary, scores), matrix in cases:
        off = matrix[~np.eye(n, dtype=bool)]
        own = matrix.diagonal()
        assert scores.positive == pytest.approx(own)
        others = (matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * own) / (2 * (n - 1))
        assert scores.negative == pytest.approx(others)
        assert scores.margin == pytest.approx(own - others)
        assert scores.rank == pytest.approx((matrix > own[:, None]).sum(axis=1) + 1)
        assert summary.negative_mean == pytest.approx(off.mean())
        assert summary.negative_sd == pytest.approx(off.std(ddof=1), abs=1e-6)
        assert summary.negative_max == pytest.approx(off.max(), rel=1e-6)
        assert summary.top1_left == pytest.approx((matrix.argmax(axis=1) == np.arange(n)).mean())
        assert summary.top1_right == pytest.approx((matrix.argmax(axis=0) == np.arange(n)).mean())


def test_pictures_show_exact_cells_and_means_over_blocks() -> None:
    images, texts, more = drawn(9, 3, seed=7), drawn(9, 3, seed=8), drawn(4, 3, seed=9)
    factors = image_text_factors(images, texts, similarity=lorentz(2.0))
    matrix = plain_matrix(images, texts, 2.0)
    blocks = [np.array([0, 3, 4]), np.array([1]), np.array([2, 8])]
    single = [np.array([place]) for place in (5, 0, 7)]
    for rows, columns in ((blocks, single), (single, blocks), (single, single), (blocks, blocks)):
        expected = [[matrix[np.ix_(r, k)].mean() for k in columns] for r in rows]
        assert cells_between(factors, rows, columns) == pytest.approx(np.array(expected))
    other = image_text_factors(more, more, similarity=lorentz(2.0))
    groups = [np.array([place]) for place in range(4)]
    assert cells_across(factors, other, single, groups) == pytest.approx(plain_matrix(images[[5, 0, 7]], more, 2.0))
    assert diagonal_of(factors) == pytest.approx(matrix.diagonal())


@given(st.integers(1, 5), st.floats(0.1, 10.0))
def test_the_centroid_lies_in_the_middle(v: int, c: float) -> None:
    points = drawn(v, 3, 4, seed=v)
    middle = centroid(points, c)
    assert middle.shape == (3, 4)
    if v == 1:
        assert middle == pytest.approx(points[0], abs=1e-6)
    if v == 2:
        first, second = (np.diag(lorentz_similarity(middle, end, c)) for end in points)
        assert first == pytest.approx(second, abs=1e-6)
        assert first + second == pytest.approx(np.diag(lorentz_similarity(points[0], points[1], c)), abs=1e-6)


def test_neighbours_and_margins_go_by_distance() -> None:
    """Of two captions in one direction the cosine finds both as near; the distance tells which is at the same norm."""
    query, captions = np.array([2.0, 0.0]), np.array([[0.1, 0.0], [1.9, 0.1], [0.0, 2.0]])
    assert nearest(query, captions).places[0] == 0
    found = nearest(query, captions, similarity=lorentz(1.0), own=1)
    assert found.places.tolist() == [1, 0, 2]
    assert found.own_rank == 1
    assert found.similarities[0] == pytest.approx(plain(query, captions[1], 1.0))
    left, right = drawn(5, 3, seed=1), drawn(5, 3, seed=2)
    matrix = plain_matrix(left, right, 1.0)
    expected = [matrix[i, i] - sum(matrix[i, j] + matrix[j, i] for j in range(5) if j != i) / 8 for i in range(5)]
    assert margins(left, right, similarity=lorentz(1.0)) == pytest.approx(expected)


def vectors(n: int, kept: int, c: float, seed: int) -> ImageTextVectors:
    """Captions somewhere; views near their captions for the first `kept` items and anywhere for the others."""
    texts = drawn(n, 8, seed=seed)
    views = texts + drawn(4, n, 8, seed=seed + 1, size=0.3)
    views[:, kept:] = drawn(n - kept, 8, seed=seed + 2) + drawn(4, n - kept, 8, seed=seed + 3, size=0.3)
    return ImageTextVectors(np.asarray(views, dtype=np.float32), texts, lorentz(c))


def test_an_audit_by_distance_finds_what_is_left_and_what_is_forgotten() -> None:
    n, m = 30, 60
    before = vectors(n + m, n, 0.5, seed=10)
    ids = [[f"{group}{i}" for i in range(count)] for group, count in (("owner", n), ("control", m))]
    kept, gone = vectors(n + m, n, 2.0, seed=20), vectors(n + m, 0, 2.0, seed=30)
    settings = AuditSettings(permutations=199)
    for after, verdict in ((kept, "under-forgotten"), (gone, None)):
        result = audit(after, owner_ids=ids[0], control_ids=ids[1], before=before, settings=settings)
        assert result.findings["memory before"].p < 0.05
        assert (result.findings["trace"].p < 0.05) is (verdict is not None)
        matrix = plain_matrix(centroid(after.views, 2.0), after.texts, 2.0)
        own = matrix.diagonal()
        margin = own - (matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * own) / (2 * (n + m - 1))
        found = {item.id: item.after for item in result.items}
        assert [found[name] for name in ids[0]] == pytest.approx(margin[:n].tolist(), abs=1e-5)


def test_gap_and_collateral_go_by_distance() -> None:
    before, after = vectors(12, 12, 1.0, seed=40), vectors(12, 6, 3.0, seed=50)
    found = gap_inference(before, after, permutations=99)
    expected = [
        np.mean([plain_matrix(view, side.texts, c) for view in side.views], axis=0)
        for side, c in ((before, 1.0), (after, 3.0))
    ]
    assert found.gap == pytest.approx(expected[0] - expected[1])
    looks = [ViewVectors(side.views, side.similarity) for side in (before, after)]
    expected = [plain_views(side.views, c) for side, c in ((before, 1.0), (after, 3.0))]
    assert gap_inference(looks[0], looks[1], permutations=99).gap == pytest.approx(expected[0] - expected[1])
    lost = collateral(before, after, [Bystander(str(i), "controls") for i in range(12)])
    assert {item.name for item in lost.items[:3]} <= {str(i) for i in range(6, 12)}


def test_a_large_matrix_never_exists() -> None:
    n, d = 6000, 16
    images, texts = drawn(n, d, seed=1), drawn(n, d, seed=2)
    tracemalloc.start()
    summary, _ = summarise(images, texts, similarity=lorentz(1.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.negative_mean is not None
    assert peak < n * n * 8 / 3


def test_the_factors_do_not_depend_on_the_size_of_the_tiles_or_views() -> None:
    views = drawn(2, 7, 3)
    assert matrix_of(view_factors(views, similarity=lorentz(1.0))) == pytest.approx(
        plain_matrix(views[0], views[1], 1.0) / 2 + plain_matrix(views[1], views[0], 1.0) / 2
    )


@pytest.mark.parametrize(
    ("name", "curvature", "said"),
    [
        ("lorentz", None, "curvature of the lorentz similarity is None"),
        ("lorentz", 0.0, "give a number above 0"),
        ("lorentz", math.nan, "give a number above 0"),
        ("lorentz", math.inf, "give a number above 0"),
        ("cosine", 1.0, "has no curvature"),
        ("euclid", None, "known: cosine, lorentz"),
    ],
)
def test_a_similarity_that_is_none_is_refused(name: str, curvature: float | None, said: str) -> None:
    with pytest.raises(MucError, match=said):
        Similarity(name, curvature)  # type: ignore[arg-type]


def test_without_a_word_vectors_are_compared_by_cosine() -> None:
    assert ImageTextVectors(drawn(1, 3, 2), drawn(3, 2)).similarity == ViewVectors(drawn(2, 3, 2)).similarity == COSINE
