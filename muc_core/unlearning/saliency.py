"""Saliency masks (SalUn, arXiv 2310.12508): only the weights that matter most for the forget set move.

A weight's saliency is the absolute gradient of the forget set's loss in the original encoder (their equation 3). Theirs
is a mask for any unlearning method, and here too: it is a setting, not a method. Their threshold is the median, share
0.5.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Mask:
    """Holds all but the most salient weights where they are.

    Args:
        model: with the gradients of the forget set's loss.
        share: of the trained weights that may move, in (0, 1], over the whole model; those without gradient never do.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, share: float) -> None:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        saliency = [torch.zeros_like(p) if p.grad is None else p.grad.abs() for p in trained]
        threshold = _largest(saliency, share)
        self._parts = [(p, (s >= threshold) & (s > 0), p.clone()) for p, s in zip(trained, saliency, strict=True)]

    @torch.no_grad()
    def hold_gradients(self) -> None:
        """Take the gradients of the held weights away, so that clipping and momentum see the others alone."""
        for parameter, moves, _ in self._parts:
            if parameter.grad is not None:
                parameter.grad.mul_(moves)

    @torch.no_grad()
    def hold_weights(self) -> None:
        """Put the held weights back where they were, which weight decay moved."""
        for parameter, moves, start in self._parts:
            parameter.copy_(torch.where(moves, parameter, start))


def _largest(saliency: Iterable[Tensor], share: float) -> Tensor:
    """The smallest of the largest `share` of all values, at least one of them."""
    values = torch.cat([part.flatten() for part in saliency])
    return values.topk(max(1, round(share * len(values)))).values[-1]
