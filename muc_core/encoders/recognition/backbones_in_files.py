"""Finding the image model of a file, and the momentum encoder and projection heads around it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from torch import Tensor

from muc_core.encoders.backbones import backbone_names
from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.recognition.catalogue import CLASSIFIERS, HEADS, bare_backbone
from muc_core.encoders.recognition.fitting import Fit, best_fits, places
from muc_core.encoders.recognition.heads import Head, read_head

PROMISING = 0.5
"""Least share of tensors that fit for a model to be named at all."""

FOLLOWERS = re.compile(r"momentum|encoder_k\b|key_encoder|teacher|target|\bema\b|_ema\b", re.IGNORECASE)
"""How models are called that follow the trained one."""


@dataclass(frozen=True)
class ImageModel:
    """The image model of a file.

    Attributes:
        fit: where it is and how well it fits.
        follower: the same model again, under the name of a momentum encoder.
        doubles: other places at which the file holds such a model.
    """

    fit: Fit
    follower: Fit | None
    doubles: tuple[str, ...]


def backbone_of(arch: str | None) -> str | None:
    """The backbone that an architecture `BACKBONE:HEAD@QUEUE` names, None when it names none."""
    name = arch.partition(":")[0].partition("@")[0] if arch else None
    return name if name in _names() else None


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(backbone_names())


# Several formats ask; nothing of a file is kept longer than the file.
_FOUND: WeakKeyDictionary[Checkpoint, dict[str | None, ImageModel | None]] = WeakKeyDictionary()


def image_model(checkpoint: Checkpoint, backbone: str | None) -> ImageModel | None:
    """The image model of a file, of the given backbone or whichever fits best; None when nothing comes near."""
    known = _FOUND.setdefault(checkpoint, {})
    if backbone not in known:
        known[backbone] = _find(checkpoint, backbone)
    return known[backbone]


def _find(checkpoint: Checkpoint, backbone: str | None) -> ImageModel | None:
    every = [
        found for place in places(checkpoint.tensors) for found in best_fits(place, backbone, clip_models=False, most=3)
    ]
    promising = [found for found in every if found.share >= PROMISING or (backbone and found.weights)]
    if not promising:
        return None
    best = max(promising, key=lambda found: (found.share, not _follows(found), len(found.weights)))
    same = [
        found
        for found in promising
        if found.model == best.model and found.share >= best.share and found.place.prefix != best.place.prefix
    ]
    followers = [found for found in same if _follows(found)]
    doubles = tuple(found.place.prefix or "the top" for found in same if not _follows(found))
    return ImageModel(best, followers[0] if followers and not _follows(best) else None, doubles)


def _follows(found: Fit) -> bool:
    return FOLLOWERS.search(found.place.prefix) is not None


@dataclass(frozen=True)
class FoundHead:
    """A projection head and the name it has in the file."""

    prefix: str
    head: Head


def heads_of(checkpoint: Checkpoint, found: Fit, *, contrastive: bool) -> tuple[list[FoundHead], list[str]]:
    """The projection heads behind a model, and names of layers there that are none that can be built here.

    Args:
        contrastive: a single linear layer in the classifier's place is a projection head, as in MoCo.
    """
    length = bare_backbone(found.model).dimension
    heads, others = [], []
    for prefix, tensors in _behind(checkpoint, found):
        name = prefix.rstrip(".").rpartition(".")[2]
        head = read_head(tensors, length)
        single = head is not None and "-" not in head.text.removesuffix("-bn")
        if head is None or (single and name in CLASSIFIERS and not contrastive):
            others.append(prefix.rstrip("."))
        else:
            heads.append(FoundHead(prefix, head))
    return heads, others


def _behind(checkpoint: Checkpoint, found: Fit) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Groups of tensors that may be a head, by how their names begin in the file: inside the model, then beside it."""
    inside = {name.split(".")[0] for name in found.beside} & {*CLASSIFIERS, *HEADS}
    for first in sorted(inside):
        tensors = {name: tensor for name, tensor in found.beside.items() if name.startswith(f"{first}.")}
        yield (
            f"{found.place.prefix}{first}.",
            {name.removeprefix(f"{first}."): value for name, value in tensors.items()},
        )
    parts = found.place.prefix.rstrip(".").split(".") if found.place.prefix else []
    for depth in range(len(parts) - 1, -1, -1):
        parent = "".join(f"{part}." for part in parts[:depth])
        below = [name.removeprefix(parent) for name in checkpoint.tensors if name.startswith(parent)]
        for first in dict.fromkeys(name.split(".")[0] for name in below):
            prefix = f"{parent}{first}."
            if found.place.prefix.startswith(prefix) or not _is_head(first):
                continue
            if (FOLLOWERS.search(first) is not None) != _follows(found):
                continue
            tensors = {
                name.removeprefix(prefix): tensor
                for name, tensor in checkpoint.tensors.items()
                if name.startswith(prefix)
            }
            if tensors:
                yield prefix, tensors


def _is_head(name: str) -> bool:
    plain = FOLLOWERS.sub("", name).strip("_")
    return plain in (*HEADS, *CLASSIFIERS)
