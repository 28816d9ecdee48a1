"""What Control-matched AC asks of the forget samples: margins distributed like those of samples never trained on.

All functions return a scalar that is smallest, or 0, where the two groups look alike; no gradient reaches the
calibration samples' margins, so that they are a target and nothing else.
"""

import torch
from torch import Tensor


def margins(alignment: Tensor) -> Tensor:
    """`m_i = AM_ii - mean over j != i of (AM_ij + AM_ji) / 2`, `[n]`.

    The margin of an audit (`muc_core.audit.summary`), for training: j runs over all samples given, so that a shift of
    all similarities cancels.

    Args:
        alignment: AM `[n, n]`, n >= 2: similarity of both sides (picture and text, or two views) of all samples.
    """
    alignment = alignment.to(torch.promote_types(alignment.dtype, torch.float32))  # means of bfloat16 are too coarse
    own = alignment.diagonal()
    others = (alignment.sum(dim=1) + alignment.sum(dim=0)) / 2 - own
    return own - others / (len(own) - 1)


def quantile_match(forget: Tensor, calibration: Tensor) -> Tensor:
    """`mean over k of (k-th smallest of forget - same quantile of calibration)^2`, >= 0 (Wasserstein-2, squared).

    With equal counts it is `mean (sort(forget) - sort(calibration))^2`; otherwise quantiles are interpolated as
    NumPy's method "hazen" does, for which the k-th of n values is the quantile `(k - 1/2) / n`.

    Args:
        forget, calibration: margins `[u]` and `[c]`, each at least one.
    """
    ordered, target = forget.sort().values, calibration.detach().sort().values
    u, c = len(ordered), len(target)
    place = ((torch.arange(u, dtype=target.dtype, device=target.device) + 0.5) * c / u - 0.5).clamp(0, c - 1)
    below = place.long()
    wanted = target[below].lerp(target[(below + 1).clamp(max=c - 1)], place - below)
    return (ordered - wanted).square().mean()


def energy_distance(forget: Tensor, calibration: Tensor) -> Tensor:
    """`2 E|X - Y| - E|X - X'| - E|Y - Y'|`: the squared MMD of the kernel `-|x - y|` (arXiv 1207.6076), unbiased.

    A Gaussian kernel would have no gradient left where the groups lie far apart, which is where unlearning starts.

    Args:
        forget, calibration: margins `[u]` and `[c]`, each at least one; X' and Y' are other items of the group.
    """
    target = calibration.detach()
    return 2 * _distances(forget, target).mean() - _spread(forget) - _spread(target)


def hinge(forget: Tensor, calibration: Tensor) -> Tensor:
    """`mean max(0, m - mean(calibration))^2`, >= 0: only what stands above the calibration samples' mean is lowered.

    Args:
        forget, calibration: margins `[u]` and `[c]`, each at least one.
    """
    return (forget - calibration.detach().mean()).relu().square().mean()


def _spread(values: Tensor) -> Tensor:
    """Mean distance between two different values; 0 where there is only one."""
    return _distances(values, values).sum() / max(1, len(values) * (len(values) - 1))


def _distances(first: Tensor, second: Tensor) -> Tensor:
    return (first[:, None] - second).abs()
