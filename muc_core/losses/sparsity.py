"""The l1 norm of the weights, the penalty of l1-sparsity unlearning (arXiv 2304.04934)."""

from collections.abc import Iterable

import torch
from torch import Tensor


def l1_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Sum of absolute values over all parameters, a scalar."""
    return torch.stack([parameter.abs().sum() for parameter in parameters]).sum()
