"""The image towers of the MERU paper (arXiv 2304.09172), known to timm and so to open_clip by their names.

timm's vision transformers for pictures of 224 pixels in patches of 16, but for MoCo v3's twelve heads in the small one,
and layer norms with PyTorch's epsilon of 1e-5. A module of its own for the reason that `tiny_resnet` is one.
"""

from functools import partial
from typing import Any

import timm
from timm.models import register_model
from torch import nn


@register_model
def muc_meru_vit_small(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Width 384, twelve layers; `kwargs` is timm's calling convention."""
    return _vit("small", pretrained, num_heads=12, **kwargs)


@register_model
def muc_meru_vit_base(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Width 768, twelve layers."""
    return _vit("base", pretrained, **kwargs)


@register_model
def muc_meru_vit_large(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Width 1,024, 24 layers."""
    return _vit("large", pretrained, **kwargs)


def _vit(size: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    if pretrained:
        raise ValueError(f"muc_meru_vit_{size} has no pretrained weights")
    norm = partial(nn.LayerNorm, eps=1e-5)
    return timm.create_model(f"vit_{size}_patch16_224", norm_layer=norm, **kwargs)
