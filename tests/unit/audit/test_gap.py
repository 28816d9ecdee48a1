"""The gap matrix with inference: intervals that cover, a mask that errs at its rate, an omnibus test that finds."""

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from muc_core.audit.alignment import alignment_gap, alignment_matrix, two_view_alignment_matrix
from muc_core.audit.gap import gap_inference
from muc_core.audit.vectors import ImageTextVectors, ViewVectors
from muc_core.errors import MucError

RNG = np.random.default_rng(0)


def pictures(n: int, views: int, noise: float, centres: npt.NDArray[np.float64] | None = None) -> ViewVectors:
    centres = RNG.normal(size=(n, 12)) if centres is None else centres
    return ViewVectors((centres + noise * RNG.normal(size=(views, n, 12))).astype(np.float32))


def captioned(n: int, views: int, noise: float, strength: float) -> ImageTextVectors:
    texts = RNG.normal(size=(n, 12))
    seen = (strength * texts + RNG.normal(size=(n, 12)))[None] + noise * RNG.normal(size=(views, n, 12))
    return ImageTextVectors(seen.astype(np.float32), texts.astype(np.float32))


def test_the_gap_is_the_difference_of_the_alignment_matrices() -> None:
    before, after = pictures(5, 4, 0.5), pictures(5, 4, 0.5)
    expected = alignment_gap(two_view_alignment_matrix(before.views), two_view_alignment_matrix(after.views))
    assert np.allclose(gap_inference(before, after, permutations=99).gap, expected)
    first, second = captioned(5, 3, 0.5, 1), captioned(5, 3, 0.5, 0)
    means = [np.mean([alignment_matrix(v, e.texts) for v in e.views], axis=0) for e in (first, second)]
    assert np.allclose(gap_inference(first, second, permutations=99).gap, means[0] - means[1], atol=1e-6)


def test_the_error_of_a_mean_over_views_is_the_usual_one() -> None:
    before, after = captioned(4, 6, 0.5, 1), captioned(4, 6, 0.5, 0)
    found = gap_inference(before, after, permutations=99)
    cells = np.array(
        [
            alignment_matrix(a, before.texts) - alignment_matrix(b, after.texts)
            for a, b in zip(before.views, after.views, strict=True)
        ]
    )
    error = cells.std(axis=0, ddof=1) / np.sqrt(6)
    assert np.allclose((found.high - found.low) / 2, 2.5706 * error, rtol=1e-3)


@pytest.mark.parametrize("kind", ["image-text", "two-view"])
def test_without_a_difference_hardly_any_cell_is_marked_and_intervals_hold_zero(kind: str) -> None:
    marked = missed = cells = 0
    for _ in range(30):
        centres = RNG.normal(size=(12, 12))
        before, after = pictures(12, 6, 0.7, centres), pictures(12, 6, 0.7, centres)
        if kind == "image-text":
            texts = RNG.normal(size=(12, 12)).astype(np.float32)
            found = gap_inference(
                ImageTextVectors(before.views, texts), ImageTextVectors(after.views, texts), permutations=99
            )
        else:
            found = gap_inference(before, after, permutations=99)
        marked += bool(found.significant.any())
        missed += int(((found.low > 0) | (found.high < 0)).sum())
        cells += found.gap.size
    assert marked <= 6
    assert missed / cells < 0.1


def test_lost_alignment_on_the_diagonal_is_found_and_marked() -> None:
    before = captioned(20, 8, 0.2, 2.0)
    after = ImageTextVectors(captioned(20, 8, 0.2, 0.0).views, before.texts)
    found = gap_inference(before, after, permutations=999)
    assert found.p == 1 / 1000
    assert found.difference > 0.4
    assert found.significant.diagonal().mean() > 0.8
    assert (found.low <= found.gap).all()


def test_the_omnibus_p_errs_at_the_nominal_rate() -> None:
    trials = 200
    alarms = sum(
        gap_inference(captioned(8, 3, 0.5, 0), captioned(8, 3, 0.5, 0), permutations=99, seed=k).p <= 0.05
        for k in range(trials)
    )
    assert binomtest(alarms, trials, 0.05, alternative="greater").pvalue > 1e-4


def test_the_omnibus_test_of_few_items_is_that_of_all_permutations() -> None:
    found = gap_inference(captioned(5, 3, 0.5, 2), captioned(5, 3, 0.5, 0), permutations=4000)
    rows = np.arange(5)
    means = np.array([found.gap[rows, list(order)].mean() for order in permutations(range(5))])
    expected = found.gap.mean()
    beyond = np.abs(means - expected) >= abs(found.gap.diagonal().mean() - expected) - 1e-12
    assert found.p == pytest.approx(beyond.mean(), abs=0.03)


@pytest.mark.parametrize("kind", ["image-text", "two-view"])
def test_errors_are_those_of_a_slow_jackknife(kind: str) -> None:
    first, second = captioned(3, 4, 0.5, 1), captioned(3, 4, 0.5, 0)
    before, after = (v if kind == "image-text" else ViewVectors(v.views) for v in (first, second))
    found = gap_inference(before, after, permutations=99)

    def cell(views: list[int], i: int, j: int) -> float:
        def similar(vectors: ImageTextVectors) -> float:
            unit = vectors.views.astype(float) / np.linalg.norm(vectors.views, axis=2, keepdims=True)
            if kind == "image-text":
                text = vectors.texts[j] / np.linalg.norm(vectors.texts[j])
                return float(np.mean([unit[v, i] @ text for v in views]))
            return float(np.mean([unit[v, i] @ unit[w, j] for v in views for w in views if v != w]))

        return similar(first) - similar(second)

    for i, j in ((0, 0), (0, 2), (2, 1)):
        left_out = np.array([cell([v for v in range(4) if v != out], i, j) for out in range(4)])
        error = np.sqrt(3 / 4 * ((left_out - left_out.mean()) ** 2).sum())
        assert found.gap[i, j] == pytest.approx(cell([0, 1, 2, 3], i, j), abs=1e-5)
        assert (found.high - found.low)[i, j] / 2 == pytest.approx(3.18245 * error, rel=1e-3)


def test_unchanged_encoders_have_no_gap() -> None:
    same = captioned(6, 3, 0.0, 1)
    found = gap_inference(same, same, permutations=99)
    assert not found.significant.any()
    assert found.p == 1.0


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(MucError, match="at least 3"):
        gap_inference(pictures(5, 2, 1), pictures(5, 2, 1))
    with pytest.raises(MucError, match="the same items"):
        gap_inference(pictures(5, 4, 1), pictures(6, 4, 1))
    with pytest.raises(MucError, match="at least two"):
        gap_inference(captioned(1, 3, 1, 1), captioned(1, 3, 1, 1))
    many = captioned(1001, 3, 1, 1)
    with pytest.raises(MucError, match="at most 1,000"):
        gap_inference(many, many)
