"""Large steps in little memory: samples pass through the encoder in chunks, whose activations are not kept.

The vectors of all chunks meet in one loss, whose gradient goes back into one chunk after the other, each passed through
the encoder a second time: GradCache (arXiv 2101.06983). For the price of one more forward pass a step holds the
activations of one chunk, and its loss and gradients are those of the whole step.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from muc_core.errors import MucError

Encode = Callable[[Tensor], Tensor]


def in_chunks(model: nn.Module, encode: Encode, rows: Tensor, size: int) -> Tensor:
    """`encode(rows)`, `[n, d]`, a chunk at a time; `rows` are `[n, ...]`, and each is encoded without regard to others.

    Dropout is drawn anew for each chunk, and again in the same way when the chunk passes a second time.

    Args:
        model: whose weights `encode` uses.
        size: most rows in a chunk.

    Raises:
        MucError: batch norm takes statistics of what passes together.
    """
    if any(isinstance(module, _BatchNorm) and module.training for module in model.modules()):
        raise MucError(
            "this encoder has batch norm, which looks at all pictures that pass together, and would learn something "
            "else in chunks; set chunk_size to empty, take more processes (docs/scale.md), or an architecture without "
            "it, such as ViT-B-32 or timm/vit_tiny_patch16_224"
        )
    training = model.training

    def as_at_first(part: Tensor) -> Tensor:
        now = model.training
        model.train(training)
        try:
            return encode(part)
        finally:
            model.train(now)

    return torch.cat([checkpoint(as_at_first, part, use_reentrant=False) for part in torch.split(rows, size)])
