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
        calibration: `[n_forget]` similarity of each forget sample, in the order of the batch, to a view of its own that
            serves positive calibration alone. None: the positive itself serves.
    """

    logits: Tensor
    positive: Tensor
    temperature: Tensor
    calibration: Tensor | None = None

    def logit(self, anchors: Tensor, others: Tensor) -> Tensor:
        """`[m]` logits between anchors and the other side (view or text) of other samples, both int64 `[m]`."""
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
    logits = scale * left @ right.T
    positive = torch.arange(len(left), device=left.device)
    return Contrast(logits, positive, 1 / scale), Contrast(logits.T, positive, 1 / scale)


def info_nce(contrast: Contrast) -> Tensor:
    """InfoNCE of each anchor, `[n]`: -log softmax at its positive (arXiv 1807.03748, equation 4)."""
    return F.cross_entropy(contrast.logits, contrast.positive, reduction="none")
