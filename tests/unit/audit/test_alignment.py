"""Alignment matrices against slow loops, SciPy and scikit-learn, and their sign conventions."""

import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity

from muc_core.audit import (
    alignment_gap,
    alignment_matrix,
    image_text_factors,
    two_view_alignment_matrix,
    view_factors,
)
from muc_core.audit.alignment import diagonal_of, matrix_of
from muc_core.audit.summary import margins, summarise_factors
from muc_core.errors import MucError


def random_vectors(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def slow_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / (math.hypot(*a) * math.hypot(*b))


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 7), (2, 3), (13, 5), (40, 512)])
def test_image_text_matrix_is_the_cosine_of_every_pair(n: int, d: int) -> None:
    images, texts = random_vectors(n, d, seed=1) * 9, random_vectors(n, d, seed=2) / 7
    matrix = alignment_matrix(images, texts)
    assert matrix.shape == (n, n)
    np.testing.assert_allclose(matrix, cosine_similarity(images, texts), atol=2e-6)
    np.testing.assert_allclose(matrix, 1 - cdist(images, texts, "cosine"), atol=2e-6)
    for i, j in itertools.product(range(min(n, 4)), repeat=2):
        assert matrix[i, j] == pytest.approx(slow_cosine(images[i], texts[j]), abs=2e-6)


@pytest.mark.parametrize(("views", "n", "d"), [(2, 1, 3), (2, 6, 4), (3, 5, 8), (8, 4, 32)])
def test_two_view_matrix_is_the_mean_over_ordered_pairs_of_different_views(views: int, n: int, d: int) -> None:
    vectors = random_vectors(views, n, d, seed=3) * 5 + 1
    expected = np.zeros((n, n))
    for i, j in itertools.product(range(n), repeat=2):
        pairs = [(a, b) for a in range(views) for b in range(views) if a != b]
        expected[i, j] = sum(slow_cosine(vectors[a, i], vectors[b, j]) for a, b in pairs) / len(pairs)
    matrix = two_view_alignment_matrix(vectors)
    np.testing.assert_allclose(matrix, expected, atol=2e-6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-7)


def test_the_same_view_twice_gives_plain_cosines_and_a_diagonal_of_one() -> None:
    images = random_vectors(6, 9)
    matrix = two_view_alignment_matrix(np.stack([images, images]))
    np.testing.assert_allclose(matrix, cosine_similarity(images), atol=2e-6)
    assert matrix.max() <= 1.0


def test_similarity_is_high_for_what_is_alike() -> None:
    image = np.array([[1.0, 0.0]])
    assert alignment_matrix(image, [[5.0, 0.0]])[0, 0] == 1.0
    assert alignment_matrix(image, [[0.0, 2.0]])[0, 0] == 0.0
    assert alignment_matrix(image, [[-3.0, 0.0]])[0, 0] == -1.0


def test_length_of_a_vector_does_not_matter() -> None:
    images, texts = random_vectors(5, 6, seed=4), random_vectors(5, 6, seed=5)
    lengths = np.logspace(-20, 15, 5).astype(np.float32)[:, np.newaxis]
    np.testing.assert_allclose(alignment_matrix(images * lengths, texts), alignment_matrix(images, texts), atol=1e-6)


def test_gap_is_positive_where_alignment_was_lost() -> None:
    before = alignment_matrix([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    after = alignment_matrix([[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    gap = alignment_gap(before, after)
    assert gap[0, 0] == 1.0  # the first item let go of its own text
    assert gap[0, 1] == -1.0  # and came to the second one's
    assert gap[1, 1] == 0.0  # the second item did not change
    np.testing.assert_array_equal(alignment_gap(after, before), -gap)


def test_torch_tensors_are_taken_as_they_are() -> None:
    images, texts = random_vectors(3, 4, seed=6), random_vectors(3, 4, seed=7)
    as_tensors = alignment_matrix(torch.from_numpy(images), torch.from_numpy(texts))
    np.testing.assert_array_equal(as_tensors, alignment_matrix(images, texts))


def test_diagonal_is_that_of_the_matrix() -> None:
    images, texts, views = random_vectors(9, 4, seed=8), random_vectors(9, 4, seed=9), random_vectors(3, 9, 4)
    np.testing.assert_allclose(
        diagonal_of(image_text_factors(images, texts)), np.diag(alignment_matrix(images, texts)), atol=1e-7
    )
    np.testing.assert_allclose(diagonal_of(view_factors(views)), np.diag(two_view_alignment_matrix(views)), atol=1e-6)


def test_inputs_are_left_as_they_were() -> None:
    images, texts = random_vectors(4, 3), random_vectors(4, 3, seed=1)
    copies = images.copy(), texts.copy()
    alignment_matrix(images, texts)
    np.testing.assert_array_equal(images, copies[0])
    np.testing.assert_array_equal(texts, copies[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_refuses_what_is_not_finite_and_names_the_item(bad: float) -> None:
    images, texts = random_vectors(5, 3).astype(np.float64), random_vectors(5, 3)
    images[2, 1] = bad
    with pytest.raises(MucError, match=r"image vector of item 2 \(counting from 0\) has a value that is not a finite"):
        alignment_matrix(images, texts)
    with pytest.raises(MucError, match="vector of view 1 of item 2 "):
        two_view_alignment_matrix(np.stack([texts, images]))


@pytest.mark.parametrize("tiny", [0.0, 1e-40])
def test_refuses_a_vector_without_direction_and_names_the_item(tiny: float) -> None:
    images, texts = random_vectors(5, 3), random_vectors(5, 3)
    texts[4] = tiny
    with pytest.raises(MucError, match=r"text vector of item 4 \(counting from 0\) is zero"):
        alignment_matrix(images, texts)
    with pytest.raises(MucError, match=r"text vector of item 'owl\.png' is zero"):
        image_text_factors(images, texts, ids=["a", "b", "c", "d", "owl.png"])
    with pytest.raises(MucError, match=r"vector of view 0 of item 'owl\.png' is zero"):
        view_factors(np.stack([texts, images]), ids=["a", "b", "c", "d", "owl.png"])


@pytest.mark.parametrize(
    ("images", "texts"),
    [
        (np.ones((3, 2)), np.ones((4, 2))),
        (np.ones((3, 2)), np.ones((3, 5))),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 2)), np.ones((0, 2))),
        (np.ones((3, 0)), np.ones((3, 0))),
    ],
)
def test_refuses_shapes_that_do_not_fit(images: npt.NDArray[np.float64], texts: npt.NDArray[np.float64]) -> None:
    with pytest.raises(MucError, match="shape"):
        alignment_matrix(images, texts)


def test_refuses_a_single_view() -> None:
    with pytest.raises(MucError, match="1 views of each picture; two-view alignment needs at least 2"):
        two_view_alignment_matrix(random_vectors(1, 4, 3))
    with pytest.raises(MucError, match=r"expected \[views, items, dimension\]"):
        two_view_alignment_matrix(random_vectors(4, 3))


def test_gap_refuses_matrices_of_different_sets() -> None:
    with pytest.raises(MucError, match="same items in the same order"):
        alignment_gap(np.eye(3), np.eye(4))


def test_vectors_too_many_for_a_copy_give_the_same_from_a_file_of_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 37, 8)).astype(np.float16)
    expected = alignment_matrix(*vectors.astype(np.float64))
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    monkeypatch.setattr("muc_core.audit.alignment.MOST_COPIED", 0)
    factors = image_text_factors(*mapped)
    np.testing.assert_allclose(matrix_of(factors), expected, atol=1e-6)
    positive, margin = margins(factors)
    _, scores = summarise_factors(factors)
    np.testing.assert_array_equal(positive, scores.positive)
    np.testing.assert_array_equal(margin, scores.margin)
