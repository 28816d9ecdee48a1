"""Margins and the distances between two groups of them, against the audit's, NumPy, SciPy and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor
from torch.nn import functional as F

from muc_core.audit.summary import summarise
from muc_core.losses.control_matching import energy_distance, hinge, margins, quantile_match

DISTANCES = [quantile_match, energy_distance, hinge]
counts = st.integers(1, 40)


def values(n: int, seed: int, *, shift: float = 0.0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@pytest.mark.parametrize("n", [2, 3, 17])
def test_margins_are_the_audits(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    left, right = (F.normalize(torch.randn(n, 6, generator=generator), dim=1) for _ in range(2))
    _, scores = summarise(left.numpy(), right.numpy())
    found = margins(left @ right.T).tolist()
    assert found == pytest.approx(scores.margin.tolist(), abs=1e-6)
    for i, margin in enumerate(found):
        others = [float(left[i] @ right[j] + left[j] @ right[i]) / 2 for j in range(n) if j != i]
        assert margin == pytest.approx(float(left[i] @ right[i]) - sum(others) / (n - 1), abs=1e-6)


@given(u=counts, c=counts)
def test_quantiles_are_numpys(u: int, c: int) -> None:
    forget, calibration = values(u, 1), values(c, 2)
    wanted = np.quantile(calibration.numpy(), (np.arange(u) + 0.5) / u, method="hazen")
    expected = ((np.sort(forget.numpy()) - wanted) ** 2).mean()
    assert float(quantile_match(forget, calibration)) == pytest.approx(expected)


def test_with_equal_counts_sorted_margins_are_compared() -> None:
    forget, calibration = torch.tensor([0.9, 0.1, 0.5]), torch.tensor([0.2, 0.4, 0.0])
    expected = ((0.1 - 0.0) ** 2 + (0.5 - 0.2) ** 2 + (0.9 - 0.4) ** 2) / 3
    assert float(quantile_match(forget, calibration)) == pytest.approx(expected)


def test_a_shift_alone_costs_its_square_and_its_wasserstein_distance() -> None:
    forget = values(12, 4)
    assert float(quantile_match(forget + 0.3, forget)) == pytest.approx(0.09)
    assert wasserstein_distance(forget + 0.3, forget) == pytest.approx(0.3)


@given(u=counts, c=counts)
def test_the_energy_distance_equals_plain_loops(u: int, c: int) -> None:
    x, y = values(u, 3).tolist(), values(c, 4, shift=0.5).tolist()

    def spread(group: list[float]) -> float:
        pairs = [abs(a - b) for i, a in enumerate(group) for j, b in enumerate(group) if i != j]
        return sum(pairs) / len(pairs) if pairs else 0.0

    expected = 2 * sum(abs(a - b) for a in x for b in y) / (u * c) - spread(x) - spread(y)
    assert float(energy_distance(torch.tensor(x), torch.tensor(y))) == pytest.approx(expected, abs=1e-6)


def test_the_hinge_asks_nothing_of_what_stands_below_the_mean() -> None:
    calibration = torch.tensor([0.0, 0.4])
    assert float(hinge(torch.tensor([-3.0, 0.1, 0.2]), calibration)) == 0
    assert float(hinge(torch.tensor([-3.0, 0.5]), calibration)) == pytest.approx(0.3**2 / 2)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("u", "c"), [(1, 1), (1, 6), (6, 1), (5, 9)])
def test_gradients_are_finite_differences_and_none_reaches_the_calibration_samples(distance, u: int, c: int) -> None:  # type: ignore[no-untyped-def]
    forget, calibration = values(u, 5, shift=1.0).requires_grad_(), values(c, 6).requires_grad_()
    torch.autograd.gradcheck(lambda forget: distance(forget, calibration), (forget,))
    distance(forget, calibration).backward()
    assert forget.grad is not None
    assert forget.grad.abs().sum() > 0
    assert calibration.grad is None


@pytest.mark.parametrize("distance", DISTANCES)
def test_descent_brings_the_groups_together_and_stops_there(distance) -> None:  # type: ignore[no-untyped-def]
    calibration = values(64, 7)
    forget = values(32, 8, shift=5.0).requires_grad_()
    optimizer = torch.optim.Adam([forget], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        distance(forget, calibration).backward()
        optimizer.step()
    # the hinge lets go at the mean, the others at the same distribution
    assert -0.3 < float(forget.detach().mean() - calibration.mean()) < 0.3
    if distance is not hinge:
        assert wasserstein_distance(forget.detach(), calibration) < 0.2


def test_margins_have_the_gradients_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    alignment = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    torch.autograd.gradcheck(margins, (alignment.requires_grad_(),))
