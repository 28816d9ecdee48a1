"""Losses against plain Python loops, finite differences and open_clip's own loss."""

import math

import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from muc_core.losses.alignment_calibration import negative_calibration, performance_preserving, positive_calibration
from muc_core.losses.contrast import Contrast, info_nce, two_sided
from muc_core.losses.sparsity import l1_norm

TAU = 0.2


def vectors(n: int, d: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    return F.normalize(left, dim=1), F.normalize(right, dim=1)


def dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_info_nce_equals_plain_loops_in_both_directions(n: int) -> None:
    left, right = vectors(n)
    for contrast, anchors, others in zip(
        two_sided(left, right, torch.tensor(1 / TAU)), (left, right), (right, left), strict=True
    ):
        losses = info_nce(contrast)
        for i in range(n):
            exponentials = [math.exp(dot(anchors[i], others[k]) / TAU) for k in range(n)]
            assert float(losses[i]) == pytest.approx(-math.log(exponentials[i] / sum(exponentials)))


def test_the_mean_of_both_directions_is_open_clips_loss() -> None:
    left, right = vectors(9)
    scale = torch.tensor(1 / TAU, dtype=torch.float64)
    ours = torch.stack([info_nce(c).mean() for c in two_sided(left, right, scale)]).mean()
    assert float(ours) == pytest.approx(float(open_clip.ClipLoss()(left, right, scale)))


def test_calibration_terms_equal_plain_loops() -> None:
    left, right = vectors(6)
    forget, partner = torch.tensor([2, 3, 5]), torch.tensor([3, 5, 2])
    contrast, _ = two_sided(left, right, torch.tensor(1 / TAU))
    negative = -sum(dot(left[i], right[p]) / TAU for i, p in zip([2, 3, 5], [3, 5, 2], strict=True))
    performance = sum(math.log(sum(math.exp(dot(left[i], right[k]) / TAU) for k in range(6))) for i in [2, 3, 5])
    positive = sum(dot(left[i], right[i]) for i in [2, 3, 5]) / 3
    assert float(negative_calibration(contrast, forget, partner)) == pytest.approx(negative)
    assert float(performance_preserving(contrast, forget)) == pytest.approx(performance)
    assert float(positive_calibration(contrast, forget)) == pytest.approx(positive)


def test_positive_calibration_takes_the_further_view_where_a_family_gives_one() -> None:
    left, right = vectors(4)
    both, _ = two_sided(left, right, torch.tensor(1 / TAU))
    further = Contrast(both.logits, both.positive, both.temperature, calibration=torch.tensor([0.25, 0.75]))
    assert float(positive_calibration(further, torch.tensor([1, 2]))) == pytest.approx(0.5)


def test_gradients_agree_with_finite_differences() -> None:
    left, right = vectors(5)
    forget, partner = torch.tensor([1, 3, 4]), torch.tensor([3, 4, 1])

    def total(a: Tensor, b: Tensor) -> Tensor:
        contrast, _ = two_sided(a, b, torch.tensor(1 / TAU, dtype=torch.float64))
        return (
            negative_calibration(contrast, forget, partner)
            + performance_preserving(contrast, forget)
            + positive_calibration(contrast, forget)
            + info_nce(contrast).sum()
        )

    assert torch.autograd.gradcheck(total, (left.requires_grad_(), right.requires_grad_()))


def test_negative_calibration_falls_when_partners_grow_alike_and_positive_when_own_views_part() -> None:
    alike = torch.eye(2)
    forget, partner = torch.tensor([0, 1]), torch.tensor([1, 0])
    own, _ = two_sided(alike, alike, torch.tensor(1.0))
    crossed, _ = two_sided(alike, alike.flip(0), torch.tensor(1.0))
    assert negative_calibration(crossed, forget, partner) < negative_calibration(own, forget, partner)
    assert positive_calibration(crossed, forget) < positive_calibration(own, forget)


def test_l1_norm_is_the_sum_of_absolute_values() -> None:
    tensors = [torch.tensor([[1.0, -2.0], [0.0, 3.5]]), torch.tensor([-0.5])]
    assert float(l1_norm(tensors)) == 7.0
