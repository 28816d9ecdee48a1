"""Pictures of a matrix: whole, sampled, pooled - and they say which."""

import numpy as np
import numpy.typing as npt
import pytest

from muc_core.audit import alignment_matrix, draw, image_text_factors, lay_out, two_view_alignment_matrix, view_factors
from muc_core.audit.alignment import matrix_of
from muc_core.audit.picture import cells_across, cells_between
from muc_core.errors import MucError


def vectors(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


IMAGES, TEXTS, VIEWS = vectors(20, 6), vectors(20, 6, seed=1), vectors(3, 20, 6, seed=2)
IDS = [f"item-{i}" for i in range(20)]


def test_small_matrix_is_shown_in_full_in_the_order_asked_for() -> None:
    order = np.random.default_rng(3).permutation(20)
    for factors, matrix in (
        (image_text_factors(IMAGES, TEXTS), alignment_matrix(IMAGES, TEXTS)),
        (view_factors(VIEWS), two_view_alignment_matrix(VIEWS)),
    ):
        picture = draw(factors, lay_out(order, max_cells=20), IDS)
        assert picture.kind == "full"
        assert picture.note == "Shows all 20 items."
        assert picture.ids == tuple(IDS[i] for i in order)
        np.testing.assert_allclose(picture.matrix, matrix[np.ix_(order, order)], atol=1e-6)


def test_sample_has_exact_cells_and_keeps_the_order() -> None:
    order = np.arange(20)[::-1]
    picture = draw(image_text_factors(IMAGES, TEXTS), lay_out(order, max_cells=7, seed=5), IDS)
    shown = [IDS.index(name) for name in picture.ids]
    assert picture.kind == "sampled"
    assert picture.note == "Shows 7 of the 20 items, drawn at random (seed 5); the summary covers all of them."
    assert shown == sorted(set(shown), reverse=True)
    assert len(shown) == 7
    np.testing.assert_allclose(picture.matrix, alignment_matrix(IMAGES, TEXTS)[np.ix_(shown, shown)], atol=1e-6)


def test_sample_depends_on_the_seed_alone() -> None:
    def shown(seed: int) -> tuple[int, ...]:
        return tuple(int(group[0]) for group in lay_out(np.arange(1000), max_cells=50, seed=seed).groups)

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)


def test_pooled_cells_are_means_over_blocks() -> None:
    for factors, matrix in (
        (image_text_factors(IMAGES, TEXTS), alignment_matrix(IMAGES, TEXTS)),
        (view_factors(VIEWS), two_view_alignment_matrix(VIEWS)),
    ):
        layout = lay_out(np.arange(20), max_cells=3, reduction="pooled")
        picture = draw(factors, layout, IDS)
        assert picture.kind == "pooled"
        assert "mean over a block of about 7 x 7 pairs of the 20 items" in picture.note
        assert picture.ids == ("item-0 … item-6", "item-7 … item-13", "item-14 … item-19")
        for a, rows in enumerate(layout.groups):
            for b, columns in enumerate(layout.groups):
                assert picture.matrix[a, b] == pytest.approx(matrix[np.ix_(rows, columns)].mean(), abs=1e-6)


def test_layout_can_be_put_in_another_order() -> None:
    layout = lay_out(np.arange(5)).reordered(np.array([4, 0, 1, 2, 3]))
    assert draw(image_text_factors(IMAGES[:5], TEXTS[:5]), layout).ids == ("4", "0", "1", "2", "3")


def test_one_item() -> None:
    picture = draw(image_text_factors(IMAGES[:1], TEXTS[:1]), lay_out(np.arange(1)))
    assert picture.matrix.shape == (1, 1)
    assert picture.note == "Shows the only item."


def test_refuses_a_picture_of_one_cell() -> None:
    with pytest.raises(MucError, match="max_cells is 1; a picture needs at least 2"):
        lay_out(np.arange(5), max_cells=1)


def test_cells_between_groups_are_the_means_of_their_cells() -> None:
    factors = image_text_factors(IMAGES, TEXTS)
    rows = [np.array([3, 1]), np.array([0, 7, 9])]
    columns = [np.array([2]), np.array([5, 4]), np.array([8])]
    matrix = matrix_of(factors)
    slow = [[np.mean([[matrix[i, j] for j in right] for i in left]) for right in columns] for left in rows]
    np.testing.assert_allclose(cells_between(factors, rows, columns), slow, atol=1e-6)


def test_groups_of_one_give_the_cells_themselves() -> None:
    factors = image_text_factors(IMAGES, TEXTS)
    rows, columns = [np.array([5]), np.array([2])], [np.array([2]), np.array([0]), np.array([9])]
    exact = matrix_of(factors)[np.ix_([5, 2], [2, 0, 9])]
    np.testing.assert_array_equal(cells_between(factors, rows, columns), exact)


def test_cells_across_two_lists_are_cosines_of_their_vectors() -> None:
    left, right = image_text_factors(IMAGES, IMAGES), image_text_factors(TEXTS[:7], TEXTS[:7])
    rows, columns = [np.array([4]), np.array([0, 2])], [np.array([6]), np.array([1, 3, 5])]
    slow = [
        [
            np.mean([IMAGES[i] @ TEXTS[j] / np.linalg.norm(IMAGES[i]) / np.linalg.norm(TEXTS[j]) for i in a for j in b])
            for b in columns
        ]
        for a in rows
    ]
    np.testing.assert_allclose(cells_across(left, right, rows, columns), slow, atol=1e-6)
