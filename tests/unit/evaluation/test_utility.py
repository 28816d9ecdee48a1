"""Figures of a set against plain loops."""

import math

import numpy as np
import pytest

from muc_core.evaluation.utility import set_retrieval, uniformity


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize(("n", "d"), [(2, 3), (7, 2), (20, 16)])
def test_uniformity_is_the_mean_over_pairs(n: int, d: int) -> None:
    vectors = unit(np.random.default_rng(n), n, d)
    total, pairs = 0.0, 0
    for i in range(n):
        for j in range(i + 1, n):
            total += math.exp(-2 * sum((a - b) ** 2 for a, b in zip(vectors[i], vectors[j], strict=True)))
            pairs += 1
    assert uniformity(vectors) == pytest.approx(math.log(total / pairs))


def test_all_alike_is_zero_and_opposites_are_the_least() -> None:
    same = np.tile([[0.6, 0.8]], (4, 1))
    assert uniformity(same) == pytest.approx(0)
    assert uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8)


def test_one_vector_makes_no_pair() -> None:
    with pytest.raises(ValueError, match="over pairs"):
        uniformity(np.ones((1, 2)))


def test_a_set_is_asked_for_its_captions_among_all() -> None:
    rng = np.random.default_rng(0)
    images, captions = rng.normal(size=(9, 4)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    own = rng.permutation(20)[:9]

    def cosine(image: np.ndarray, caption: np.ndarray) -> float:
        dot = sum(float(a) * float(b) for a, b in zip(image, caption, strict=True))
        return dot / math.hypot(*image.tolist()) / math.hypot(*caption.tolist())

    found = set_retrieval(images, captions, own)
    alike = [[cosine(image, caption) for caption in captions] for image in images]
    assert found.count == 9
    assert found.top1 == sum(row.index(max(row)) == mine for row, mine in zip(alike, own.tolist(), strict=True)) / 9
    assert found.positive == pytest.approx(sum(row[mine] for row, mine in zip(alike, own, strict=True)) / 9, abs=1e-6)
