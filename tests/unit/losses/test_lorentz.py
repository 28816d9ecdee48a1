"""Hyperbolic geometry against plain Python in double precision, its identities, and finite gradients at every edge."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from muc_core.losses.lorentz import (
    APERTURE,
    MOST_STRETCH,
    SMALLEST,
    entailment,
    exp_map,
    exterior_angle,
    half_aperture,
    outside,
    pairwise_distance,
    pairwise_inner,
    time_part,
)

CURVATURES = [0.1, 1.0, 10.0]
curvatures = st.floats(0.1, 10.0)
numbers = st.floats(-2.0, 2.0)
points3 = st.lists(numbers, min_size=3, max_size=3)


def drawn(n: int, seed: int = 0, *, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def scalar(c: float) -> Tensor:
    return torch.tensor(c, dtype=torch.float64)


def plain_time(x: list[float], c: float) -> float:
    return math.sqrt(1 / c + sum(a * a for a in x))


def plain_inner(x: list[float], y: list[float], c: float) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True)) - plain_time(x, c) * plain_time(y, c)


def plain_distance(x: list[float], y: list[float], c: float) -> float:
    """By |x - y| in the ambient space, which keeps its digits where x and y are near: sinh^2(d/2) = -<.,.>/4."""
    time = plain_time(x, c) - plain_time(y, c)
    chord = sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) - time**2
    return 2 * math.asinh(math.sqrt(max(c * chord, 0.0)) / 2) / math.sqrt(c)


def plain_angle(x: list[float], y: list[float], c: float) -> float:
    """Of the triangle root, x, y by the hyperbolic law of cosines: the outer angle at x."""
    root = [0.0] * len(x)
    a, b, opposite = (math.sqrt(c) * plain_distance(p, q, c) for p, q in ((root, x), (x, y), (root, y)))
    inside = (math.cosh(a) * math.cosh(b) - math.cosh(opposite)) / (math.sinh(a) * math.sinh(b))
    return math.pi - math.acos(max(-1.0, min(1.0, inside)))


@pytest.mark.parametrize("c", CURVATURES)
def test_inner_products_and_distances_equal_plain_loops(c: float) -> None:
    x, y = drawn(5, 1), drawn(3, 2)
    inner, distance = pairwise_inner(x, y, scalar(c)), pairwise_distance(x, y, scalar(c))
    assert inner.shape == distance.shape == (5, 3)
    for i, a in enumerate(x.tolist()):
        for j, b in enumerate(y.tolist()):
            assert float(inner[i, j]) == pytest.approx(plain_inner(a, b, c))
            assert float(distance[i, j]) == pytest.approx(plain_distance(a, b, c), rel=1e-6)


@pytest.mark.parametrize("c", CURVATURES)
def test_angles_apertures_and_entailment_equal_plain_loops(c: float) -> None:
    x, y = drawn(40, 3), drawn(40, 4) * 2
    angle, aperture = exterior_angle(x, y, scalar(c)), half_aperture(x, scalar(c))
    for i, (a, b) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        theta = plain_angle(a, b, c)
        psi = math.asin(min(2 * APERTURE / (math.sqrt(c) * math.hypot(*a)), 1 - SMALLEST))
        assert float(angle[i]) == pytest.approx(theta, abs=1e-6)
        assert float(aperture[i]) == pytest.approx(psi)
        assert float(outside(x, y, scalar(c))[i]) == pytest.approx(theta - psi, abs=1e-6)
        assert float(entailment(x, y, scalar(c))[i]) == pytest.approx(max(0.0, theta - psi), abs=1e-6)


@given(u=points3, c=curvatures)
def test_the_exponential_map_keeps_the_direction_and_the_distance_from_the_root(u: list[float], c: float) -> None:
    tangent = torch.tensor([u], dtype=torch.float64)
    point = exp_map(tangent, scalar(c))
    root = torch.zeros_like(tangent)
    length = float(tangent.norm())
    assert float(pairwise_distance(root, point, scalar(c))) == pytest.approx(length, abs=5e-3)  # the lower clamp
    if length > 0.1:
        assert float(pairwise_distance(root, point, scalar(c))) == pytest.approx(length, rel=1e-9)
        assert torch.allclose(point / point.norm(), tangent / length)
    on_sheet = float(pairwise_inner(point, point, scalar(c)))
    assert on_sheet == pytest.approx(-1 / c, abs=1e-9 * (1 + float(point.square().sum())))


@given(x=points3, y=points3, z=points3, c=curvatures)
def test_distance_is_symmetric_and_obeys_the_triangle_inequality(
    x: list[float], y: list[float], z: list[float], c: float
) -> None:
    points = torch.tensor([x, y, z], dtype=torch.float64)
    d = pairwise_distance(points, points, scalar(c))
    assert torch.allclose(d, d.T)
    assert float(d[0, 2]) <= float(d[0, 1] + d[1, 2]) + 1e-9


def test_a_flat_space_is_the_limit_of_small_curvature() -> None:
    x, y = drawn(6, 5), drawn(6, 6)
    assert torch.allclose(pairwise_distance(x, y, scalar(1e-4)), torch.cdist(x, y), rtol=1e-2)


def test_further_out_on_the_same_ray_is_inside_the_cone_and_the_way_back_is_not() -> None:
    x = torch.tensor([[0.6, 0.0]], dtype=torch.float64)
    assert float(exterior_angle(x, 2 * x, scalar(1.0))) == pytest.approx(0.0, abs=2e-3)
    assert float(exterior_angle(x, x / 2, scalar(1.0))) == pytest.approx(math.pi, abs=2e-3)
    assert float(entailment(x, 2 * x, scalar(1.0))) == 0.0
    assert float(entailment(x, x / 2, scalar(1.0))) > 2.5


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize(
    "of",
    [
        lambda x, y, c: exp_map(x, c).sum() + exp_map(y, c).sum(),
        lambda x, y, c: pairwise_distance(x, y, c).sum(),
        lambda x, y, c: half_aperture(x, c).sum() + half_aperture(y, c).sum(),
        lambda x, y, c: exterior_angle(x, y, c).sum() + exterior_angle(y, x, c).sum(),
        lambda x, y, c: entailment(x, y, c).sum(),
        lambda x, y, c: time_part(x, c).sum() + time_part(y, c).sum(),
    ],
)
def test_gradients_are_finite_at_the_edges(of: Callable[[Tensor, Tensor, Tensor], Tensor], c: float) -> None:
    far = MOST_STRETCH / math.sqrt(c)
    edges = [
        [0.0, 0.0],
        [1e-20, 0.0],
        [0.5, 0.5],
        [0.5, 0.5],
        [1.0, 0.0],
        [2.0, 0.0],
        [far, 0.0],
        [-far, 0.0],
        [30.0, 1.0],
    ]
    rows = torch.tensor(edges)
    x = rows.repeat_interleave(len(edges), dim=0).requires_grad_()
    y = rows.repeat(len(edges), 1).requires_grad_()
    curvature = torch.tensor(c, requires_grad=True)
    value = of(x, y, curvature)
    torch.autograd.backward(value)
    assert value.isfinite()
    for part in (x, y, curvature):
        assert part.grad is not None
        assert part.grad.isfinite().all()


def test_at_the_root_the_exponential_map_is_the_identity_to_first_order() -> None:
    u = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(exp_map(u, scalar(2.0))[0, 1], u)
    assert torch.allclose(slope, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))


def test_gradients_agree_with_finite_differences() -> None:
    x, y, c = drawn(3, 7).requires_grad_(), drawn(3, 8).requires_grad_(), scalar(1.3).requires_grad_()
    for of in (exp_map, half_aperture):
        assert torch.autograd.gradcheck(of, (x, c))
    for each in (pairwise_distance, exterior_angle):
        assert torch.autograd.gradcheck(each, (x, y, c))


def test_half_precision_goes_in_and_single_precision_is_computed_also_under_autocast() -> None:
    x, y, c = drawn(8, 9, dtype=torch.bfloat16), drawn(8, 10, dtype=torch.bfloat16), torch.tensor(1.0)
    exact = pairwise_distance(x.double(), y.double(), c.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pairwise_distance(x, y, c)
        angle = exterior_angle(x, y, c)
        point = exp_map(x, c)
    assert found.dtype == angle.dtype == point.dtype == torch.float32
    assert torch.allclose(found.double(), exact, rtol=1e-4)
    assert torch.allclose(angle.double(), exterior_angle(x.double(), y.double(), c.double()), atol=1e-3)


def test_what_is_not_a_number_stays_none() -> None:
    """The engine refuses a loss that is not finite with a sentence; a clamp must not hide it."""
    broken = torch.full((2, 2), math.nan)
    assert pairwise_distance(broken, torch.ones(2, 2), torch.tensor(1.0)).isnan().all()
    assert entailment(broken, torch.ones(2, 2), torch.tensor(1.0)).isnan().all()
    assert exp_map(broken, torch.tensor(1.0)).isnan().all()


def test_the_clamps_are_where_they_say() -> None:
    c = torch.tensor(4.0)
    x = torch.ones(1, 2)
    assert float(pairwise_distance(x, x, c)) == pytest.approx(math.sqrt(2 * SMALLEST / 4), rel=0.1)
    long = exp_map(torch.tensor([[1e6, 0.0]]), c)
    assert long.isfinite().all()
