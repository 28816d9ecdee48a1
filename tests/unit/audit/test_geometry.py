"""Encoders that are turned, unchanged or trained apart."""

import numpy as np
import numpy.typing as npt
import pytest

from muc_core.audit.geometry import ROTATED, UNCHANGED, align, compare_encoders, unit
from muc_core.stats.cka import linear_cka

Float64 = npt.NDArray[np.float64]


def turn(d: int, seed: int) -> Float64:
    return np.asarray(np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0])


def vectors(m: int, d: int, seed: int = 0) -> Float64:
    """With a few strong directions, as trained encoders have."""
    generator = np.random.default_rng(seed)
    return np.asarray(generator.normal(size=(m, d)) * np.geomspace(1, 0.05, d))


def slow_cka(x: Float64, y: Float64) -> float:
    """By HSIC with centring matrices (Kornblith et al. 2019, equations 3 and 4)."""
    m = len(x)
    centre = np.eye(m) - np.ones((m, m)) / m

    def hsic(k: Float64, kernel: Float64) -> float:
        return float(np.trace(k @ centre @ kernel @ centre))

    k, kernel = x @ x.T, y @ y.T
    return hsic(k, kernel) / float(np.sqrt(hsic(k, k) * hsic(kernel, kernel)))


def test_cka_is_that_of_the_definition() -> None:
    x, y = vectors(30, 8, 0), vectors(30, 12, 1)
    assert linear_cka(x, y) == pytest.approx(slow_cka(x, y))
    assert linear_cka(x, 3 * x @ turn(8, 2) + 5) == pytest.approx(1)
    assert linear_cka(x, np.ones((30, 4))) == 0


def test_the_rotation_is_found() -> None:
    x, q = vectors(60, 16), turn(16, 1)
    found = align(x, 2 * x @ q)
    np.testing.assert_allclose(found.rotation, q, atol=1e-8)
    np.testing.assert_allclose(found.turned, 0, atol=1e-7)
    np.testing.assert_allclose(found.moved, np.linalg.norm(unit(x) - unit(x) @ q, axis=1) / typical(x), atol=1e-9)
    assert found.rotated
    assert not found.unchanged


def typical(x: Float64) -> float:
    u = unit(x)
    return float(np.median([np.linalg.norm(u[i] - u[j]) for i in range(len(u)) for j in range(i)]))


def test_no_other_rotation_brings_them_nearer() -> None:
    x, y = vectors(40, 6), vectors(40, 6, 5)
    a, b = unit(x), unit(y)
    best = np.linalg.norm(a @ align(x, y).rotation - b)
    generator = np.random.default_rng(0)
    for seed in range(200):
        nearby = np.linalg.qr(align(x, y).rotation + 0.1 * generator.normal(size=(6, 6)))[0]
        nearby = nearby * np.sign(np.diag(nearby.T @ align(x, y).rotation))
        assert np.linalg.norm(a @ nearby - b) >= best
        assert np.linalg.norm(a @ turn(6, seed) - b) >= best


@pytest.mark.parametrize(("m", "d"), [(20, 64), (100, 64), (20, 512)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_turned_encoder_is_recognised_with_few_controls_and_some_noise(m: int, d: int, noise: float) -> None:
    x = unit(vectors(m, d))
    y = x @ turn(d, 3) + noise * unit(np.random.default_rng(4).normal(size=x.shape))
    assert align(x, y).rotated


@pytest.mark.parametrize(("m", "d"), [(20, 64), (100, 64), (20, 512), (100, 512)])
def test_a_small_change_in_many_dimensions_is_no_rotation(m: int, d: int) -> None:
    """Turning undoes most of any change of few vectors in many dimensions."""
    x = unit(vectors(m, d))
    for seed in range(5):
        found = align(x, x + 0.1 * unit(vectors(m, d, 10 + seed)))
        assert not found.rotated
        assert not found.unchanged


@pytest.mark.parametrize("m", [20, 100])
def test_encoders_trained_apart_are_neither_turned_nor_unchanged(m: int) -> None:
    """Two encoders that share most of what they see, in unrelated directions."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        shared = generator.normal(size=(m, 32))
        x, y = (
            np.hstack([shared, 0.7 * generator.normal(size=(m, 32))]) @ turn(64, 100 * seed + which) for which in (1, 2)
        )
        found = align(x, y)
        assert not found.rotated
        assert not found.unchanged


def test_half_precision_is_no_change() -> None:
    x = vectors(50, 64).astype(np.float32)
    assert align(x, x.astype(np.float16)).unchanged
    assert align(x, x).unchanged
    assert not align(x, x).rotated
    moved = x + 0.05 * np.linalg.norm(x, axis=1, keepdims=True) * unit(vectors(50, 64, 9))
    assert not align(x, moved).unchanged


def test_each_tower_is_looked_at_by_itself() -> None:
    images, texts, q = vectors(40, 16, 0), vectors(40, 16, 1), turn(16, 2)
    other = vectors(40, 16, 3)

    def named(pictures: Float64, captions: Float64) -> dict[str, bool | None]:
        checks = compare_encoders({"picture": (images, pictures), "caption": (texts, captions)})
        return {check.name: check.passed for check in checks}

    assert named(images, texts) == {UNCHANGED: False, ROTATED: True}
    assert named(images @ q, texts @ q) == {UNCHANGED: True, ROTATED: False}
    assert named(images @ q, texts) == {UNCHANGED: True, ROTATED: False}
    assert named(images, texts @ q) == {UNCHANGED: True, ROTATED: False}
    assert named(other, texts) == {UNCHANGED: True, ROTATED: True}
    assert named(other, vectors(40, 16, 4)) == {UNCHANGED: True, ROTATED: True}


def test_the_sentences_say_which_tower() -> None:
    images, texts, q = vectors(40, 16, 0), vectors(40, 16, 1), turn(16, 2)
    one = compare_encoders({"picture": (images, images @ q), "caption": (texts, texts)})[1]
    both = compare_encoders({"picture": (images, images @ q), "caption": (texts, texts @ q)})[1]
    assert "reads pictures" in one.meaning
    assert both.meaning.startswith("The encoder after is the one before")


def test_a_collapsed_encoder_has_no_typical_distance_and_no_error() -> None:
    same = np.ones((10, 4))
    found = align(vectors(10, 4), same)
    assert np.isfinite(found.turned).all()
    assert found.cka == 0
