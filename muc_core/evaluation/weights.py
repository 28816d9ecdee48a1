"""Other weights from given ones: stored in 8 bits, or on the line to another encoder. Plain tensors in and out."""

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
    _check_shapes(start, end)
    first, last = full(start), full(end)
    return {
        name: torch.lerp(tensor, last[name], share)
        if tensor.is_floating_point()
        else (tensor if share < 0.5 else last[name])
        for name, tensor in first.items()
    }


STRONGEST = 1.5
"""End of the strength dial: half as far again as the unlearned encoder."""

_RUNNING_VARIANCE = "running_var"


def at_strength(original: Weights, unlearned: Weights, strength: float) -> dict[str, Tensor]:
    """The weights on the straight line from the original encoder through the unlearned one.

    Strength 0 is the original, 1 the unlearned encoder, 0.5 half-way, and beyond 1 the same way goes on. Weights along
    such a line are known to pass gradually from one behaviour to the other where both ends come from one another by
    fine-tuning (arXiv 2203.05482, 2109.01903), and beyond its end (task arithmetic, arXiv 2212.04089).

    Batch norm keeps statistics of what its layer sees, which no straight line gives: means go along the line, variances
    along a geometric one, `v0 ^ (1 - s) * v1 ^ s`, which agrees with it to first order, is exact at both ends and stays
    positive at every strength (on the straight line a variance that fell to a third would be negative at 1.5). A
    variance of zero at an end, a channel that was never on, goes straight and stops at the nearer end.

    Args:
        original, unlearned: tensors by name; whole numbers, such as counts, are taken from the nearer end.
        strength: in [0, STRONGEST].

    Returns:
        All tensors by the same names, floating-point ones as float32.

    Raises:
        MucError: a strength outside the dial, or two encoders with other names or shapes, which no line joins.
    """
    if not 0 <= strength <= STRONGEST:
        raise MucError(f"a strength lies between 0 and {STRONGEST:g}, not at {strength:g}")
    _check_shapes(original, unlearned)
    first, last = full(original), full(unlearned)
    return {name: _moved(name, tensor, last[name], strength) for name, tensor in first.items()}


def _moved(name: str, start: Tensor, end: Tensor, strength: float) -> Tensor:
    if not start.is_floating_point():
        return start if strength < 0.5 else end
    if strength in (0.0, 1.0):  # exact, where the arithmetic would leave a last bit
        return end if strength else start
    straight = torch.lerp(start, end, strength)
    if name.rpartition(".")[2] != _RUNNING_VARIANCE:
        return straight
    positive = (start > 0) & (end > 0)
    ratio = torch.where(positive, end / start, 1.0)
    return torch.where(positive, start * ratio**strength, torch.lerp(start, end, min(strength, 1.0)))


def _check_shapes(start: Weights, end: Weights) -> None:
    if {name: tensor.shape for name, tensor in start.items()} != {name: tensor.shape for name, tensor in end.items()}:
        raise MucError("the two encoders have weights of different names or shapes; a straight line needs the same")


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim >= 2


def _rounded(tensor: Tensor) -> Tensor:
    largest = tensor.abs().flatten(1).amax(dim=1)
    scale = (largest / LEVELS).reshape(-1, *[1] * (tensor.ndim - 1))
    # a channel of zeros has no scale and stays what it is
    return torch.where(scale > 0, (tensor / scale.clamp_min(torch.finfo(tensor.dtype).tiny)).round() * scale, tensor)
