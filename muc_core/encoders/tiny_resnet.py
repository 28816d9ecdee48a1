"""The image tower of the `muc-tiny` preset, known to timm and so to open_clip by its name.

A module of its own because timm's registration writes the `__all__` of the module it is used in.
"""

from typing import Any

import timm
from timm.models import register_model
from timm.models.resnet import BasicBlock
from torch import nn


@register_model
def muc_tiny_resnet(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A timm ResNet of just under a million parameters for small pictures; `kwargs` is timm's calling convention."""
    if pretrained:
        raise ValueError("muc_tiny_resnet has no pretrained weights")
    return timm.create_model("test_resnet", block=BasicBlock, channels=(32, 64, 128, 192), **kwargs)
