"""The terms of Alignment Calibration (arXiv 2406.03603): what is asked of the forget samples of a batch.

All three are sums or means over the forget samples `U` of one batch, for one direction of contrast; s is similarity and
tau the temperature. The weights alpha, beta, gamma and the common divisor belong to the method.
"""

import torch
from torch import Tensor

from muc_core.losses.contrast import Contrast


def negative_calibration(contrast: Contrast, forget: Tensor, partner: Tensor) -> Tensor:
    """-sum over U of s(i, other side of p(i)) / tau: minimising it raises negative alignment.

    Args:
        forget: int64 `[u]`, positions of the forget samples.
        partner: int64 `[u]`, positions of their partners p(i), also forget samples, p(i) != i.
    """
    return -contrast.logit(forget, partner).sum()


def performance_preserving(contrast: Contrast, forget: Tensor) -> Tensor:
    """Sum over U of log sum_k exp(s(i, k) / tau): the denominator of InfoNCE, which keeps the vectors spread out."""
    return torch.logsumexp(contrast.logits[forget], dim=1).sum()


def positive_calibration(contrast: Contrast, forget: Tensor) -> Tensor:
    """Mean over U of s(i, own other side): minimising it lowers positive alignment."""
    return contrast.own_similarity(forget).mean()
