"""The contrastive term of CoUn (arXiv 2509.16391): each view against the other views of the batch, both ways."""

import torch
from torch import Tensor

from muc_core.losses.contrast import info_nce, two_sided


def cross_view(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """`mean l(z, z') + mean l(z', z)`, `l(z_n, z'_n) = -log exp(cos(z_n, z'_n)/tau) / sum_j exp(cos(z_n, z'_j)/tau)`.

    Unlike NT-Xent, no view is a candidate of its own side.

    Args:
        first, second: views of the same samples in the same order, `[n, d]`, normalised.
        temperature: tau.

    Returns:
        A scalar, >= 0.
    """
    scale = torch.tensor(1 / temperature, device=first.device)
    return torch.stack([info_nce(contrast).mean() for contrast in two_sided(first, second, scale)]).sum()
