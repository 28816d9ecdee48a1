"""NT-Xent and the queue's loss against plain loops and lightly's NTXentLoss, and AC's terms on both."""

import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor
from torch.nn import functional as F

from muc_core.losses.alignment_calibration import negative_calibration, performance_preserving, positive_calibration
from muc_core.losses.contrast import Contrast, against_queue, info_nce, two_view

TAU = torch.tensor(0.3, dtype=torch.float64)
FORGET, PARTNER = torch.tensor([1, 2, 4]), torch.tensor([2, 4, 1])


def vectors(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def s(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / float(TAU)


def log_sum(values: list[float]) -> float:
    return math.log(sum(math.exp(value) for value in values))


def candidates(anchors: Tensor, others: Tensor, i: int) -> list[float]:
    """What anchor i sees: the other view of everyone and its own side of everyone else."""
    n = len(anchors)
    return [s(anchors[i], others[k]) for k in range(n)] + [s(anchors[i], anchors[k]) for k in range(n) if k != i]


@pytest.mark.parametrize("n", [2, 3, 8])
def test_nt_xent_equals_plain_loops_per_anchor(n: int) -> None:
    views = vectors(2, n, 5)
    for contrast, side in zip(two_view(views[0], views[1], TAU), (0, 1), strict=True):
        anchors, others = views[side], views[1 - side]
        for i, loss in enumerate(info_nce(contrast).tolist()):
            assert loss == pytest.approx(log_sum(candidates(anchors, others, i)) - s(anchors[i], others[i]))


@pytest.mark.parametrize(("n", "d"), [(2, 3), (7, 4), (33, 16)])
def test_nt_xent_is_lightlys(n: int, d: int) -> None:
    views = vectors(2, n, d, seed=n)
    ours = torch.stack([info_nce(contrast).mean() for contrast in two_view(views[0], views[1], TAU)]).mean()
    assert float(ours) == pytest.approx(float(NTXentLoss(temperature=float(TAU))(views[0], views[1])))


@pytest.mark.parametrize(("n", "length"), [(2, 1), (6, 6), (5, 40)])
def test_the_queues_loss_equals_plain_loops_and_lightlys_with_a_memory_bank(n: int, length: int) -> None:
    queries, keys = vectors(2, n, 5)
    queue = vectors(length, 5, seed=9).T
    losses = info_nce(against_queue(queries, keys, queue, TAU))
    for i in range(n):
        own = s(queries[i], keys[i])
        expected = log_sum([own] + [s(queries[i], queue[:, k]) for k in range(length)]) - own
        assert float(losses[i]) == pytest.approx(expected)
    theirs = NTXentLoss(temperature=float(TAU), memory_bank_size=(length, 5))
    theirs.memory_bank.bank = queue.T.contiguous()
    assert float(losses.mean()) == pytest.approx(float(theirs(queries, keys)))


def test_calibration_terms_of_two_views_equal_plain_loops() -> None:
    views, third = vectors(2, 6, 5), vectors(3, 5, seed=3)
    contrast, _ = two_view(views[0], views[1], TAU)
    contrast = Contrast(contrast.logits, contrast.positive, TAU, calibration=(views[0][FORGET] * third).sum(dim=1))
    a, b = views
    negative = -sum(s(a[i], b[p]) for i, p in zip(FORGET.tolist(), PARTNER.tolist(), strict=True))
    performance = sum(log_sum(candidates(a, b, i)) for i in FORGET.tolist())
    positive = sum(s(a[i], third[row]) * float(TAU) for row, i in enumerate(FORGET.tolist())) / 3
    assert float(negative_calibration(contrast, FORGET, PARTNER)) == pytest.approx(negative)
    assert float(performance_preserving(contrast, FORGET)) == pytest.approx(performance)
    assert float(positive_calibration(contrast, FORGET)) == pytest.approx(positive)


def test_calibration_terms_of_a_queue_equal_plain_loops() -> None:
    (queries, keys), queue = vectors(2, 6, 5), vectors(9, 5, seed=4).T
    contrast = against_queue(queries, keys, queue, TAU)
    negative = -sum(s(queries[i], keys[p]) for i, p in zip(FORGET.tolist(), PARTNER.tolist(), strict=True))
    performance = sum(
        log_sum([s(queries[i], keys[i])] + [s(queries[i], queue[:, k]) for k in range(9)]) for i in FORGET.tolist()
    )
    positive = sum(s(queries[i], keys[i]) * float(TAU) for i in FORGET.tolist()) / 3
    assert float(negative_calibration(contrast, FORGET, PARTNER)) == pytest.approx(negative)
    assert float(performance_preserving(contrast, FORGET)) == pytest.approx(performance)
    assert float(positive_calibration(contrast, FORGET)) == pytest.approx(positive)


def all_terms(contrast: Contrast) -> Tensor:
    return (
        negative_calibration(contrast, FORGET, PARTNER)
        + performance_preserving(contrast, FORGET)
        + positive_calibration(contrast, FORGET)
        + info_nce(contrast).sum()
    )


def test_gradients_of_two_views_agree_with_finite_differences() -> None:
    def total(a: Tensor, b: Tensor, third: Tensor) -> Tensor:
        parts = []
        for contrast, side in zip(two_view(a, b, TAU), (a, b), strict=True):
            calibration = (side[FORGET] * third).sum(dim=1)
            parts.append(all_terms(Contrast(contrast.logits, contrast.positive, TAU, calibration=calibration)))
        return torch.stack(parts).sum()

    a, b = vectors(2, 5, 4)
    third = vectors(3, 4, seed=5)
    assert torch.autograd.gradcheck(total, (a.requires_grad_(), b.requires_grad_(), third.requires_grad_()))


def test_gradients_against_a_queue_agree_with_finite_differences() -> None:
    (queries, keys), queue = vectors(2, 5, 4), vectors(7, 4, seed=6).T
    assert torch.autograd.gradcheck(
        lambda q: all_terms(against_queue(q, keys, queue, TAU)), (queries.requires_grad_(),)
    )
