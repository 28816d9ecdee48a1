"""Projection heads in anybody's naming brought to ours: linear layers with ReLU between them, perhaps batch norm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Head:
    """A projection head.

    Attributes:
        text: as the architectures of the two-view families write it, such as `512-128`.
        weights: by the names that they have below `projection_head.`.
    """

    text: str
    weights: Mapping[str, Tensor]


def read_head(tensors: Mapping[str, Tensor], features: int) -> Head | None:
    """The head that these tensors are, for features of that length; None when they are none that can be built here.

    A bias before batch norm, which ours does not have, goes into its running mean: the result is the same.
    """
    layers = _layers(tensors)
    normed = any("running_mean" in layer for layer in layers)
    widths: list[int] = []
    weights: dict[str, Tensor] = {}
    place, width, bias = 0, features, None
    for number, layer in enumerate(layers):
        if normed and number % 2:
            if "running_mean" not in layer or tuple(layer["running_mean"].shape) != (width,):
                return None
            mean = layer["running_mean"].float()
            plain = {"weight": torch.ones(width), "bias": torch.zeros(width), "running_var": layer["running_var"]}
            moved = mean if bias is None else mean - bias.float()
            count = layer.get("num_batches_tracked", torch.tensor(0))
            weights |= _named(place, {**plain, **layer, "running_mean": moved, "num_batches_tracked": count})
            place += 2  # batch norm, ReLU
            continue
        weight = layer.get("weight")
        if weight is None or weight.ndim != 2 or weight.shape[1] != width or "running_mean" in layer:
            return None
        width, bias = weight.shape[0], layer.get("bias")
        widths.append(width)
        filled = (
            {"weight": weight} if normed else {"weight": weight, "bias": torch.zeros(width) if bias is None else bias}
        )
        weights |= _named(place, filled)
        place += 1 if normed else 2
    if not widths or (normed and len(layers) % 2):
        return None
    return Head("-".join(map(str, widths)) + ("-bn" if normed else ""), weights)


def _named(place: int, layer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"layers.{place}.{name}": tensor for name, tensor in layer.items()}


def _layers(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Tensors of each layer, in the order of the layers' numbers, a linear layer before the batch norm beside it."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        found.setdefault(path, {})[leaf] = tensor

    def order(path: str) -> tuple[list[int], bool, str]:
        return [int(number) for number in _NUMBER.findall(path)], "running_mean" in found[path], path

    return [found[path] for path in sorted(found, key=order)]
