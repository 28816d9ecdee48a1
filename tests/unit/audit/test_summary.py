"""Summaries against the full matrix, SciPy's ranks and slow loops, whatever the tile."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import rankdata
from threadpoolctl import threadpool_info, threadpool_limits

from muc_core.audit import (
    AlignmentSummary,
    ItemScores,
    alignment_matrix,
    summarise,
    summarise_views,
    two_view_alignment_matrix,
)
from muc_core.audit.summary import _count
from muc_core.errors import Cancelled


def related_vectors(n: int, d: int, *, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Pictures and texts that go together to some degree, all leaning one way as real encoders do."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((n, d)) + 1
    return images.astype(np.float32), (images + rng.standard_normal((n, d))).astype(np.float32)


def slow_summary(matrix: npt.NDArray[np.float64]) -> tuple[dict[str, float], dict[str, npt.NDArray[np.float64]]]:
    n = len(matrix)
    off = np.array([matrix[i, j] for i in range(n) for j in range(n) if i != j])
    negative = np.array(
        [sum(matrix[i, j] + matrix[j, i] for j in range(n) if j != i) / (2 * (n - 1)) for i in range(n)]
    )
    rank = np.array([rankdata(-matrix[i], method="average")[i] for i in range(n)])
    figures = {
        "positive_mean": np.diag(matrix).mean(),
        "positive_sd": np.diag(matrix).std(ddof=1),
        "negative_mean": off.mean(),
        "negative_sd": off.std(ddof=1),
        "negative_max": off.max(),
        "top1_left": np.mean(matrix.argmax(axis=1) == np.arange(n)),
        "top1_right": np.mean(matrix.argmax(axis=0) == np.arange(n)),
    }
    items = {"positive": np.diag(matrix), "negative": negative, "margin": np.diag(matrix) - negative, "rank": rank}
    return figures, items


def assert_same(
    summary: AlignmentSummary, items: ItemScores, matrix: npt.NDArray[np.float64], *, ties: int = 0
) -> None:
    """`ties`: how many places a rank may be off because chance brought similarities nearer than `TIE`."""
    figures, arrays = slow_summary(matrix)
    assert summary.n == len(matrix)
    assert summary.notes == ()
    for name, value in figures.items():
        assert getattr(summary, name) == pytest.approx(value, abs=2e-6), name
    for name, array in arrays.items():
        near = 2e-6 + (ties if name == "rank" else 0)
        np.testing.assert_allclose(getattr(items, name), array, atol=near, rtol=0, err_msg=name)


# Tiles of one cell, of odd sizes, of multiples of eight, and larger than the matrix.
@pytest.mark.parametrize("tile", [1, 5, 8, 16, 1024])
@pytest.mark.parametrize(("n", "d"), [(2, 3), (17, 4), (48, 100)])
def test_image_text_summary_equals_that_of_the_full_matrix(n: int, d: int, tile: int) -> None:
    images, texts = related_vectors(n, d)
    summary, items = summarise(images, texts, tile=tile)
    assert_same(summary, items, alignment_matrix(images, texts))


@pytest.mark.parametrize("tile", [1, 5, 8, 16, 1024])
@pytest.mark.parametrize(("views", "n", "d"), [(2, 2, 3), (3, 17, 2), (8, 24, 16)])
def test_two_view_summary_equals_that_of_the_full_matrix(views: int, n: int, d: int, tile: int) -> None:
    images, _ = related_vectors(n, d)
    noise = np.random.default_rng(1).standard_normal((views, n, d)).astype(np.float32)
    summary, items = summarise_views(images + noise, tile=tile)
    assert_same(summary, items, two_view_alignment_matrix(images + noise))
    assert summary.top1_left == summary.top1_right


def test_many_items_over_several_tiles() -> None:
    images, texts = related_vectors(1100, 24)
    summary, items = summarise(images, texts, tile=512)
    assert_same(summary, items, alignment_matrix(images, texts), ties=1)


def test_both_forms_of_the_spread_agree() -> None:
    """With n just below and just above the width one of two formulas is used; the data hardly differ."""
    images, texts = related_vectors(65, 64)
    few, _ = summarise(images[:64], texts[:64])
    many, _ = summarise(images, texts)
    assert few.negative_sd == pytest.approx(slow_summary(alignment_matrix(images[:64], texts[:64]))[0]["negative_sd"])
    assert many.negative_sd == pytest.approx(slow_summary(alignment_matrix(images, texts))[0]["negative_sd"])


def test_rows_and_columns_are_not_mixed_up() -> None:
    images = np.array([[1.0, 0.0], [0.9, 0.1]])
    texts = np.array([[1.0, 0.0], [0.0, 1.0]])
    # Both images are nearest to the first text; each text is nearest to its own image.
    summary, items = summarise(images, texts)
    assert (summary.top1_left, summary.top1_right) == (0.5, 1.0)
    np.testing.assert_array_equal(items.rank, [1, 2])


@pytest.mark.parametrize(("n", "d"), [(6, 4), (40, 8)])
def test_a_collapsed_encoder_does_not_look_as_if_it_found_anything(n: int, d: int) -> None:
    vectors = np.tile(np.random.default_rng(0).standard_normal(d), (n, 1))
    summary, items = summarise(vectors, vectors, tile=16)
    assert summary.top1_left == pytest.approx(1 / n)
    assert summary.top1_right == pytest.approx(1 / n)
    np.testing.assert_array_equal(items.rank, np.full(n, (n + 1) / 2))
    np.testing.assert_allclose(items.margin, 0, atol=1e-6)
    assert summary.negative_sd == pytest.approx(0, abs=1e-6)


def test_equal_captions_share_their_place() -> None:
    images, texts = related_vectors(8, 16, seed=2)
    texts[5] = texts[0]
    images[5] = images[0]
    _, items = summarise(images, texts, tile=3)
    matrix = alignment_matrix(images, texts)
    np.testing.assert_array_equal(items.rank, [rankdata(-row.round(5))[i] for i, row in enumerate(matrix)])
    assert items.rank[0] == items.rank[5] == 1.5


def test_a_single_item_has_no_negatives_and_that_is_said() -> None:
    for summary, items in (summarise([[1.0, 2.0]], [[2.0, 1.0]]), summarise_views([[[1.0, 2.0]], [[2.0, 1.0]]])):
        assert summary.positive_mean == pytest.approx(0.8)
        missing = {name for name, value in asdict(summary).items() if value is None}
        assert missing == {"positive_sd", "negative_mean", "negative_sd", "negative_max", "top1_left", "top1_right"}
        assert "only one item" in summary.notes[0]
        np.testing.assert_allclose(items.positive, [0.8], atol=1e-6)
        assert np.isnan([items.negative, items.margin, items.rank]).all()


def test_a_uniform_shift_leaves_the_margin_as_it_was() -> None:
    """Adding one common direction to every vector raises all similarities alike."""
    rng = np.random.default_rng(3)
    images, texts = (rng.standard_normal((30, 64)) / 8 for _ in range(2))
    images, texts = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (images, texts))
    shifted = [np.concatenate([v, np.ones((30, 1))], axis=1) for v in (images, texts)]
    _, plain = summarise(images, texts)
    _, moved = summarise(*shifted)
    np.testing.assert_allclose(moved.positive, (plain.positive + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(moved.margin, plain.margin / 2, atol=1e-6)


def test_items_can_be_cut() -> None:
    images, texts = related_vectors(9, 4)
    _, items = summarise(images, texts)
    part = items[2:5]
    assert len(items) == 9
    assert len(part) == 3
    np.testing.assert_array_equal(part.rank, items.rank[2:5])


def test_reports_progress_and_stops_when_asked() -> None:
    class Listener:
        def __init__(self) -> None:
            self.steps: list[tuple[int, int]] = []

        def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
            self.steps.append((step, total))
            if len(self.steps) == 3:
                raise Cancelled

    images, texts = related_vectors(40, 4)
    listener = Listener()
    with pytest.raises(Cancelled):
        summarise(images, texts, tile=8, progress=listener)
    assert listener.steps == [(0, 5), (1, 5), (2, 5)]


def test_leaves_the_matrix_library_with_the_threads_it_had() -> None:
    class Witness:
        def __init__(self) -> None:
            self.seen: set[int] = set()

        def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
            self.seen.update(threads_of_blas())
            if step == 2:
                raise Cancelled

    def threads_of_blas() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    images, texts = related_vectors(40, 4)
    witness = Witness()
    with threadpool_limits(2, user_api="blas"):
        allowed = threads_of_blas()
        with pytest.raises(Cancelled):
            summarise(images, texts, tile=8, progress=witness)
        assert threads_of_blas() == allowed
    assert 1 in witness.seen


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (3, 8), (256, 16), (600, 2048), (255, 2040)])
@pytest.mark.parametrize("axis", [0, 1])
def test_fast_count_equals_numpy(shape: tuple[int, int], axis: int) -> None:
    for share in (0.0, 0.4, 1.0):
        flags = np.random.default_rng(0).random(shape) < share
        np.testing.assert_array_equal(_count(flags, axis=axis), np.count_nonzero(flags, axis=axis))
