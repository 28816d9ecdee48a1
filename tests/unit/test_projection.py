"""The joint map of two encoders."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from muc_core import projection
from muc_core.errors import MucError
from muc_core.projection import (
    JointProjection,
    Method,
    drift,
    joint_projection,
    neighbour_retention,
    place_among,
)

METHODS: list[Method] = ["umap", "pca"]


def clustered(n: int, d: int = 32, *, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((3, d)) * 3  # a plane can hold three apart
    return (centres[np.arange(n) % 3] + rng.standard_normal((n, d))).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_one_map_for_both_and_the_same_again(method: Method) -> None:
    before = clustered(60)
    after = before + np.float32(0.1)
    first = joint_projection(before, after, method=method, seed=3)
    again = joint_projection(before, after, method=method, seed=3)
    assert first.before.shape == first.after.shape == (60, 2)
    assert (first.method, first.seed) == (method, 3)
    np.testing.assert_array_equal(first.before, again.before)
    np.testing.assert_array_equal(first.after, again.after)
    assert np.isfinite(first.before).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_did_not_change_hardly_moves_and_what_changed_does(method: Method) -> None:
    before = clustered(80)
    after = before.copy()
    after[:8] = before[1:9]  # neighbours in the list belong to different clusters
    moved = joint_projection(before, after, method=method).displacement
    assert moved.shape == (80,)
    assert moved[:8].min() > 0.2
    assert moved[8:].max() < 0.1


def test_pca_shows_unchanged_items_at_one_place() -> None:
    before = clustered(30)
    np.testing.assert_allclose(joint_projection(before, before, method="pca").displacement, 0, atol=1e-6)


def test_pca_equals_the_singular_vectors_of_the_centred_unit_vectors() -> None:
    before, after = clustered(20, 6), clustered(20, 6, seed=1)
    result = joint_projection(before, after, method="pca")
    points = np.concatenate([before, after]).astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points -= points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(points, full_matrices=False)
    places = np.concatenate([result.before, result.after])
    np.testing.assert_allclose(np.abs(places), np.abs(left[:, :2] * sizes[:2]), atol=1e-4)
    share = (sizes[:2] ** 2).sum() / (sizes**2).sum()
    assert result.settings["explained_variance"] == pytest.approx(share, abs=1e-4)
    assert result.notes == (f"The two axes hold {share:.0%} of the variance.",)


def test_length_of_a_vector_does_not_matter() -> None:
    before, after = clustered(12), clustered(12, seed=1)
    plain = joint_projection(before, after, method="pca")
    scaled = joint_projection(before * 1000, after / 1000, method="pca")
    np.testing.assert_allclose(scaled.before, plain.before, atol=1e-5)
    np.testing.assert_allclose(scaled.after, plain.after, atol=1e-5)


def test_displacement_is_a_share_of_the_diagonal() -> None:
    before = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    after = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    result = JointProjection(before, after, "pca", 0, {})
    np.testing.assert_allclose(result.displacement, [0.0, 1.0, 0.6])


@pytest.mark.parametrize("n", [2, 3, 7])
def test_few_items_take_fewer_neighbours_and_say_so(n: int) -> None:
    result = joint_projection(clustered(n), clustered(n, seed=1), n_neighbors=15)
    assert np.isfinite(result.before).all()
    assert result.settings["n_neighbors"] == 2 * n - 1
    assert result.notes == (f"n_neighbors was cut from 15 to {2 * n - 1}, the number of other points.",)


def test_enough_items_need_no_note() -> None:
    result = joint_projection(clustered(20), clustered(20, seed=1), n_neighbors=5, min_dist=0.3)
    assert result.notes == ()
    assert (result.settings["n_neighbors"], result.settings["min_dist"]) == (5, 0.3)


def test_many_items_take_known_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch for large sets, at a size that stays quick, must be no worse than the plain one."""
    before = clustered(80)
    after = before.copy()
    after[:8] = before[1:9]
    monkeypatch.setattr(projection, "FEW_POINTS", 100)
    monkeypatch.setattr(projection, "EXACT_POINTS", 1000)
    result = joint_projection(before, after)
    assert result.settings["n_epochs"] == 200
    assert result.displacement[:8].min() > 0.2
    assert result.displacement[8:].max() < 0.1


def test_equal_vectors_lie_in_one_place_or_are_refused() -> None:
    same = np.ones((5, 3))
    result = joint_projection(same, same, method="pca")
    assert not result.before.any()
    np.testing.assert_array_equal(result.displacement, np.zeros(5))
    with pytest.raises(MucError, match="all vectors are the same"):
        joint_projection(same, same, method="umap")


def test_refuses_encoders_of_different_dimension() -> None:
    with pytest.raises(MucError, match="dimension 32 and the one after of 16; a joint map needs the same dimension"):
        joint_projection(clustered(5), clustered(5, 16))


def test_refuses_different_items() -> None:
    with pytest.raises(MucError, match="5 items before and 6 after"):
        joint_projection(clustered(5), clustered(6))


@pytest.mark.parametrize(("n", "d"), [(1, 8), (0, 8), (5, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_refuses_too_few_points(n: int, d: int, method: Method) -> None:
    with pytest.raises(MucError, match=r"at least 2 items \(4 points\) and 2 dimensions"):
        joint_projection(np.ones((n, d)), np.ones((n, d)), method=method)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_refuses_vectors_without_direction_and_names_the_item(bad: float) -> None:
    before, after = clustered(5), clustered(5)
    after[3] = bad
    with pytest.raises(MucError, match=r"vector after of item 3 \(counting from 0\) is zero or not finite"):
        joint_projection(before, after)


def test_refuses_settings_out_of_range() -> None:
    with pytest.raises(MucError, match="n_neighbors is 1; UMAP needs at least 2"):
        joint_projection(clustered(5), clustered(5), n_neighbors=1)
    with pytest.raises(MucError, match=r"min_dist is 1\.5; UMAP accepts 0 to 1"):
        joint_projection(clustered(5), clustered(5), min_dist=1.5)
    with pytest.raises(MucError, match="no map method 'tsne'; known: umap, pca"):
        joint_projection(clustered(5), clustered(5), method="tsne")  # type: ignore[arg-type]
    with pytest.raises(MucError, match=r"shape \[3\]; expected \[items, dimension\]"):
        joint_projection(np.ones(3), np.ones(3))


def test_pca_does_not_wait_for_umap_to_load() -> None:
    program = (
        "import sys, numpy as np; from muc_core.projection import joint_projection;"
        "joint_projection(np.eye(3), np.eye(3), method='pca'); print('umap' in sys.modules, 'numba' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert answer.split() == ["False", "False"]


@pytest.mark.parametrize("method", ["pca"])
def test_a_map_may_have_three_dimensions(method: Method) -> None:
    result = joint_projection(clustered(20), clustered(20, seed=1), method=method, dimensions=3)
    flat = joint_projection(clustered(20), clustered(20, seed=1), method=method)
    assert result.before.shape == (20, 3)
    np.testing.assert_allclose(result.before[:, :2], flat.before, atol=1e-5)
    with pytest.raises(MucError, match="a map has 2 or 3"):
        joint_projection(clustered(20), clustered(20), dimensions=4)
    with pytest.raises(MucError, match="and 3 dimensions"):
        joint_projection(np.eye(2), np.eye(2), dimensions=3)


def slow_retention(points: npt.NDArray[np.float64], places: npt.NDArray[np.float64], k: int) -> list[float]:
    shares = []
    for own in range(len(points)):
        others = [other for other in range(len(points)) if other != own]
        near = sorted(others, key=lambda o: float(np.sum((points[o] - points[own]) ** 2)))[:k]
        shown = sorted(others, key=lambda o: float(np.sum((places[o] - places[own]) ** 2)))[:k]
        shares.append(sum(o in shown for o in near) / k)
    return shares


@pytest.mark.parametrize("k", [1, 5, 12])
def test_retention_is_the_share_of_neighbours_that_stay(k: int) -> None:
    before, after = clustered(15), clustered(15, seed=1)
    projection = joint_projection(before, after, method="pca")
    found = np.concatenate(neighbour_retention(before, after, projection, k=k))
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (before, after)]
    points = np.concatenate(unit).astype(np.float64)
    places = np.concatenate([projection.before, projection.after])
    np.testing.assert_allclose(found, slow_retention(points, places, k))


def test_a_map_that_loses_nothing_is_believed_entirely() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, 40)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    projection = JointProjection(circle[:20], circle[20:], "pca", 0, {})
    before, after = neighbour_retention(circle[:20], circle[20:], projection)
    assert (before == 1).all()
    assert (after == 1).all()


def test_of_many_points_a_sample_is_measured() -> None:
    before, after = clustered(30), clustered(30, seed=1)
    projection = joint_projection(before, after, method="pca")
    whole = np.concatenate(neighbour_retention(before, after, projection))
    part = np.concatenate(neighbour_retention(before, after, projection, most=10))
    measured = ~np.isnan(part)
    assert measured.sum() == 10
    np.testing.assert_array_equal(part[measured], whole[measured])


def test_equal_points_do_not_count_themselves() -> None:
    same = np.tile(np.eye(3)[:1], (4, 1))
    before, after = neighbour_retention(same, same, JointProjection(np.zeros((4, 2)), np.zeros((4, 2)), "pca", 0, {}))
    np.testing.assert_array_equal(before, np.ones(4))
    np.testing.assert_array_equal(after, np.ones(4))


def test_a_map_of_other_items_is_refused() -> None:
    projection = joint_projection(clustered(5), clustered(5), method="pca")
    with pytest.raises(MucError, match="belongs to other items"):
        neighbour_retention(clustered(6), clustered(6), projection)


def test_drift_is_one_less_the_cosine() -> None:
    before, after = clustered(9), clustered(9, seed=1)
    slow = [1 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(drift(before, after), slow, atol=1e-6)
    np.testing.assert_allclose(drift(before, 3 * before), 0, atol=1e-6)
    with pytest.raises(MucError, match="same items and dimension"):
        drift(before, after[:, :5])


def test_a_further_item_lies_where_its_twin_does_and_else_between_neighbours() -> None:
    known, places = np.eye(4), np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    np.testing.assert_allclose(place_among(known, places, known[3:], k=1), places[3:])
    np.testing.assert_allclose(place_among(known, places, [[1.0, 1.0, 0.0, 0.0]], k=2), [[0.5, 0.0]])
