"""Other weights from given ones: stored in 8 bits, or part of the way to another encoder. Plain tensors in and out."""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from muc_core.encoders.checkpoint import full
from muc_core.errors import MucError

Weights: TypeAlias = Mapping[str, Tensor]
"""A state by name, as `load_state_dict` takes it."""

LEVELS = 127
"""Largest of the whole numbers -127 to 127 that symmetric 8-bit storage has."""


def int8_weights(weights: Weights) -> dict[str, Tensor]:
    """What is left of weights after being stored as int8: symmetric, one scale for each output channel.

    Every tensor of two or more dimensions is rounded to `scale * k` with k in -127 to 127 and the scale such that the
    largest value of its channel (first dimension) is exact; an error is at most half a scale. Biases, norms and
    statistics stay as they are, as is usual in 8-bit inference (arXiv 2106.08295, section 2).

    Returns:
        All tensors by the same names, floating-point ones as float32.
    """
    return {name: _rounded(tensor) if _is_matrix(tensor) else tensor for name, tensor in full(weights).items()}


def straight_line(start: Weights, end: Weights, share: float) -> dict[str, Tensor]:
    """The weights a share of the way from one encoder to another of the same architecture.

    Args:
        start, end: tensors by name; whole numbers, such as counts, are taken from the nearer end.
        share: in [0, 1]; 0 is the start.

    Raises:
        MucError: the two have other names or shapes, so that no line joins them.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share of the way lies in [0, 1], not {share}")
    if {name: tensor.shape for name, tensor in start.items()} != {name: tensor.shape for name, tensor in end.items()}:
        raise MucError("the two encoders have weights of different names or shapes; a straight line needs the same")
    first, last = full(start), full(end)
    return {
        name: torch.lerp(tensor, last[name], share)
        if tensor.is_floating_point()
        else (tensor if share < 0.5 else last[name])
        for name, tensor in first.items()
    }


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim >= 2


def _rounded(tensor: Tensor) -> Tensor:
    largest = tensor.abs().flatten(1).amax(dim=1)
    scale = (largest / LEVELS).reshape(-1, *[1] * (tensor.ndim - 1))
    # a channel of zeros has no scale and stays what it is
    return torch.where(scale > 0, (tensor / scale.clamp_min(torch.finfo(tensor.dtype).tiny)).round() * scale, tensor)
