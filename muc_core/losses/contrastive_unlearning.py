"""The loss of Contrastive Unlearning (arXiv 2401.10458): towards other classes, away from the own one."""

import torch
from torch import Tensor


def contrastive_unlearning(
    forget: Tensor, retain: Tensor, forget_classes: Tensor, retain_classes: Tensor, temperature: float
) -> Tensor:
    """Mean over forget samples i of `-1/|N| sum_{a in N} log( exp(z_i.z_a/tau) / sum_{p in P} exp(z_i.z_p/tau) )`.

    N are the retain samples of other classes, P those of i's class. Where P is empty, as when a whole class is to be
    forgotten or when a batch happens to hold none of it, the denominator is |N|: the paper's form for class unlearning.
    Where N is empty there is nothing to move towards, and the sample does not count; when none counts, the loss is 0.

    Args:
        forget, retain: features `[u, d]` and `[r, d]`, normalised.
        forget_classes, retain_classes: int64 `[u]` and `[r]`.
        temperature: tau.

    Returns:
        A scalar; it has no lower bound of its own but that of cosines, `-2 / tau - log r`.
    """
    similarity = forget @ retain.T
    # sums of bfloat16 are too coarse
    logits = similarity.to(torch.promote_types(similarity.dtype, torch.float32)) / temperature
    own = forget_classes[:, None] == retain_classes
    others = (~own).sum(dim=1).to(logits.dtype)
    towards = logits.masked_fill(own, 0).sum(dim=1) / others.clamp(min=1)
    # a row without any own sample is replaced before it is summed: its logarithm would have no gradient
    has_own = own.any(dim=1)
    among_own = logits.masked_fill(~own & has_own[:, None], -torch.inf)
    away = torch.where(has_own, among_own.logsumexp(dim=1), others.clamp(min=1).log())
    counts = others > 0
    return ((away - towards) * counts).sum() / counts.sum().clamp(min=1)
