"""The losses of Contrastive Unlearning and CoUn against plain loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from muc_core.losses.contrastive_unlearning import contrastive_unlearning
from muc_core.losses.cross_view import cross_view

TAU = 0.7


def vectors(n: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, 5, dtype=torch.float64, generator=generator), dim=1)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def plain(forget: Tensor, retain: Tensor, of_forget: list[int], of_retain: list[int]) -> float:
    """The formula of the paper, sample by sample; its class form where P is empty."""
    found = []
    for z, y in zip(forget.tolist(), of_forget, strict=True):
        others = [dot(z, a) / TAU for a, c in zip(retain.tolist(), of_retain, strict=True) if c != y]
        own = [dot(z, p) / TAU for p, c in zip(retain.tolist(), of_retain, strict=True) if c == y]
        if others:
            below = sum(map(math.exp, own)) if own else len(others)
            found.append(-sum(math.log(math.exp(s) / below) for s in others) / len(others))
    return sum(found) / len(found) if found else 0.0


@pytest.mark.parametrize(
    ("of_forget", "of_retain"),
    [
        ([0, 1, 2], [0, 0, 1, 2, 2, 1]),
        ([0, 1, 2], [0, 0, 1, 1, 1, 1]),  # P of the last is empty
        ([3, 3, 3], [0, 0, 1, 2, 2, 1]),  # a whole class is to be forgotten
        ([0, 1, 0], [0, 0, 0, 0, 0, 0]),  # N of the first and last is empty
    ],
)
def test_contrastive_unlearning_is_the_formula_of_the_paper(of_forget: list[int], of_retain: list[int]) -> None:
    forget, retain = vectors(3, seed=1), vectors(6, seed=2)
    found = contrastive_unlearning(forget, retain, torch.tensor(of_forget), torch.tensor(of_retain), TAU)
    assert float(found) == pytest.approx(plain(forget, retain, of_forget, of_retain), rel=1e-9)


def test_where_nothing_counts_the_loss_and_its_gradient_are_zero() -> None:
    forget = vectors(2, seed=1).requires_grad_()
    found = contrastive_unlearning(forget, vectors(3, seed=2), torch.zeros(2).long(), torch.zeros(3).long(), TAU)
    found.backward()  # type: ignore[no-untyped-call]
    assert float(found.detach()) == 0
    assert forget.grad is not None
    assert torch.equal(forget.grad, torch.zeros(2, 5, dtype=torch.float64))


def test_the_gradient_is_right_with_and_without_own_samples() -> None:
    of_forget, of_retain = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1, 1, 1, 1])

    def loss(forget: Tensor, retain: Tensor) -> Tensor:
        return contrastive_unlearning(forget, retain, of_forget, of_retain, TAU)

    assert torch.autograd.gradcheck(loss, (vectors(3, seed=1).requires_grad_(), vectors(6, seed=2).requires_grad_()))


def test_contrastive_unlearning_falls_towards_other_classes() -> None:
    own, other = torch.eye(2).double()
    classes = torch.tensor([0]), torch.tensor([0, 1])
    at = [float(contrastive_unlearning(z[None], torch.stack([own, other]), *classes, TAU)) for z in (own, other)]
    assert at[0] > at[1]


def test_cross_view_is_the_formula_of_the_paper_and_its_gradient_is_right() -> None:
    first, second = vectors(4, seed=1), vectors(4, seed=2)

    def one_way(a: Tensor, b: Tensor) -> float:
        rows = [[dot(x, y) / 0.1 for y in b.tolist()] for x in a.tolist()]
        return sum(math.log(sum(map(math.exp, row))) - row[n] for n, row in enumerate(rows)) / len(rows)

    found = cross_view(first, second, 0.1)
    assert float(found) == pytest.approx(one_way(first, second) + one_way(second, first), rel=1e-6)
    assert float(cross_view(first[:1], second[:1], 0.1)) == 0
    assert torch.autograd.gradcheck(
        lambda a, b: cross_view(a, b, 0.5), (first.requires_grad_(), second.requires_grad_())
    )
