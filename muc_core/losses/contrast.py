"""One direction of a contrastive batch, the form in which every family hands its similarities to the losses."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Contrast:
    """Anchors against candidates.

    Attributes:
        logits: `[n, k]` similarities divided by the temperature; a candidate that an anchor may not see is -inf.
        positive: int64 `[n]`, the column of each anchor's positive: the other view or the text of the same sample.
        temperature: tau, a scalar; similarity = logits * temperature.
        pairs: `[n, n]` logits of each anchor with the other side (view or text) of every sample, where `logits` lacks
            some of them. None: they are the columns `positive` of `logits`.
        calibration: `[n_forget]` similarity of each forget sample, in the order of the batch, to a view of its own that
            serves positive calibration alone. None: the positive itself serves.
        further: `[n]` what the family's loss of each anchor adds to InfoNCE, such as MERU's entailment. None: nothing.
    """

    logits: Tensor
    positive: Tensor
    temperature: Tensor
    pairs: Tensor | None = None
    calibration: Tensor | None = None
    further: Tensor | None = None

    def logit(self, anchors: Tensor, others: Tensor) -> Tensor:
        """`[m]` logits between anchors and the other side (view or text) of other samples, both int64 `[m]`."""
        if self.pairs is not None:
            return self.pairs[anchors, others]
        return self.logits[anchors, self.positive[others]]

    def own_similarity(self, anchors: Tensor) -> Tensor:
        """`[m]` similarity of anchors to what positive calibration drives apart."""
        if self.calibration is not None:
            return self.calibration
        return self.logit(anchors, anchors) * self.temperature


def two_sided(left: Tensor, right: Tensor, scale: Tensor) -> tuple[Contrast, Contrast]:
    """Both directions of paired normalised vectors `[n, d]`, as in CLIP (arXiv 2103.00020, figure 3).

    Args:
        scale: scalar, 1 / tau.
    """
    return both_ways(scale * left @ right.T, scale)


def both_ways(logits: Tensor, scale: Tensor, further: Tensor | None = None) -> tuple[Contrast, Contrast]:
    """Both directions of logits `[n, n]` whose diagonal holds the pairs.

    Args:
        scale: scalar, 1 / tau.
        further: `[n]` what the loss of each pair adds.
    """
    positive = torch.arange(len(logits), device=logits.device)
    temperature = 1 / scale
    return (
        Contrast(logits, positive, temperature, further=further),
        Contrast(logits.T, positive, temperature, further=further),
    )


def two_view(first: Tensor, second: Tensor, temperature: Tensor) -> tuple[Contrast, Contrast]:
    """Both directions of two views `[n, d]`, normalised, as in SimCLR (NT-Xent, arXiv 2002.05709, equation 1).

    An anchor sees the other view of every sample and its own side of every other sample; the mean InfoNCE of the two
    directions is NT-Xent.

    Args:
        temperature: tau, a scalar.
    """
    return _seen_from(first, second, temperature), _seen_from(second, first, temperature)


def _seen_from(anchors: Tensor, others: Tensor, temperature: Tensor) -> Contrast:
    n = len(anchors)
    itself = torch.eye(n, dtype=torch.bool, device=anchors.device)
    same_side = (anchors @ anchors.T / temperature).masked_fill(itself, -torch.inf)
    logits = torch.cat([anchors @ others.T / temperature, same_side], dim=1)
    return Contrast(logits, torch.arange(n, device=anchors.device), temperature)


def against_queue(queries: Tensor, keys: Tensor, queue: Tensor, temperature: Tensor) -> Contrast:
    """Queries `[n, d]` against their own keys `[n, d]` and a queue `[d, k]` of earlier keys, all normalised.

    As in MoCo (arXiv 1911.05722, equation 1): the keys of the other samples in the batch are not among the candidates.

    Args:
        temperature: tau, a scalar.
    """
    pairs = queries @ keys.T / temperature
    logits = torch.cat([pairs.diagonal().unsqueeze(1), queries @ queue / temperature], dim=1)
    return Contrast(logits, torch.zeros(len(queries), dtype=torch.long, device=queries.device), temperature, pairs)


def info_nce(contrast: Contrast) -> Tensor:
    """InfoNCE of each anchor, `[n]`: -log softmax at its positive (arXiv 1807.03748, equation 4)."""
    return F.cross_entropy(contrast.logits, contrast.positive, reduction="none")


def anchor_loss(contrast: Contrast) -> Tensor:
    """The family's loss of each anchor, `[n]`: InfoNCE and what the family adds to it."""
    loss = info_nce(contrast)
    return loss if contrast.further is None else loss + contrast.further
