"""SimCLR and MoCo with their projection heads, in the naming of lightly, facebookresearch, sthalles and others."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.families.moco import LONGEST_QUEUE
from muc_core.encoders.recognition.backbones_in_files import (
    FoundHead,
    ImageModel,
    backbone_of,
    heads_of,
    image_model,
)
from muc_core.encoders.recognition.catalogue import bare_backbone, twins
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition, shortened
from muc_core.errors import MucError

QUEUES = ("queue", "bank", "memory_bank")
POINTERS = ("queue_ptr", "queue_pointer", "bank_ptr")


def _recognise(checkpoint: Checkpoint, arch: str | None) -> Iterator[Recognition]:
    if checkpoint.kind not in ("safetensors", "torch") or (arch and not backbone_of(arch)):
        return
    found = image_model(checkpoint, backbone_of(arch))
    if found is None:
        return
    fit = found.fit
    queue = _last_named(checkpoint.tensors, QUEUES)
    moco = queue is not None or found.follower is not None or "encoder_q" in fit.place.prefix
    heads, others = heads_of(checkpoint, fit, contrastive=moco)
    if not heads:
        return
    head = heads[0]
    layered = "; its layers are taken to have ReLU between them" if "-" in head.head.text.removesuffix("-bn") else ""
    notes = [f"The projection head is {head.prefix.rstrip('.')}{layered}."]
    if len(heads) + len(others) > 1:
        unused = [*(each.prefix.rstrip(".") for each in heads[1:]), *others]
        notes.append(f"These layers are not used: {shortened(unused)}.")
    if found.doubles:
        notes.append(f"The file has such a model at {shortened(found.doubles)}, too; that one is not used.")
    weights = {
        **{f"backbone.{name}": tensor for name, tensor in fit.weights.items()},
        **{f"projection_head.{name}": tensor for name, tensor in head.head.weights.items()},
    }
    temperature = _last_named(checkpoint.tensors, ("temperature",))
    if temperature is not None and temperature.numel() == 1:
        weights["temperature"] = temperature.reshape(())
    architecture = f"{fit.model}:{head.head.text}"
    if moco:
        added, length, said = _memory(checkpoint, found, weights, queue, head)
        weights |= added
        notes += said
        architecture += f"@{length}" if length else ""
    _check_head(arch, architecture, checkpoint)
    preprocessing = bare_backbone(fit.model).preprocessing
    source = "assumed, ImageNet's mean and deviation, as lightly and most training scripts: the file does not say"
    yield Recognition(
        format=_named(checkpoint, found, head, moco=moco),
        family="moco" if moco else "simclr",
        architecture=architecture,
        preprocessing=preprocessing,
        preprocessing_source=source,
        output="projections",
        matched=(*fit.matched, *_names_below(checkpoint, head.prefix)),
        missing=fit.missing,
        unexpected=fit.unexpected,
        share=fit.share,
        weights=weights,
        others=() if arch else twins(fit.model),
        notes=tuple(notes),
    )


def _memory(
    checkpoint: Checkpoint, found: ImageModel, weights: Mapping[str, Tensor], queue: Tensor | None, head: FoundHead
) -> tuple[dict[str, Tensor], int | None, list[str]]:
    """MoCo's momentum encoder and queue, the queue's length, and what is to be said of them."""
    said = []
    model = {
        **{name: tensor for name, tensor in weights.items() if name.startswith("backbone.")},
        **{name: tensor for name, tensor in weights.items() if name.startswith("projection_head.")},
    }
    follower = found.follower
    follower_heads = heads_of(checkpoint, follower, contrastive=True)[0] if follower else []
    same = [each for each in follower_heads if each.head.text == head.head.text]
    if follower and same:
        model = {
            **{f"backbone.{name}": tensor for name, tensor in follower.weights.items()},
            **{f"projection_head.{name}": tensor for name, tensor in same[0].head.weights.items()},
        }
    else:
        said.append("The file has no momentum encoder with such a head; unlearning starts with a copy of the encoder.")
    added = {f"momentum_{name}": tensor.clone() for name, tensor in model.items()}
    width = int(head.head.text.removesuffix("-bn").rpartition("-")[2])
    if queue is not None and queue.ndim == 2 and queue.shape[0] != width and queue.shape[1] == width:
        queue = queue.T
    if queue is None or queue.ndim != 2 or queue.shape[0] != width or not 1 <= queue.shape[1] <= LONGEST_QUEUE:
        said.append("The file has no queue of keys that fits; unlearning starts with a fresh one.")
        return added, None, said
    pointer = _last_named(checkpoint.tensors, POINTERS)
    place = int(pointer.reshape(-1)[0]) % queue.shape[1] if pointer is not None and pointer.numel() else 0
    added["queue"] = torch.nn.functional.normalize(queue.float(), dim=0)
    added["queue_pointer"] = torch.tensor(place)
    return added, queue.shape[1], said


def _check_head(arch: str | None, found: str, checkpoint: Checkpoint) -> None:
    asked = (arch or "").partition(":")[2].partition("@")[0]
    has = found.partition(":")[2].partition("@")[0]
    if asked and asked != has:
        raise MucError(
            f"the projection head in {checkpoint.name} is {has}, not {asked}; leave it out of the architecture"
        )


def _last_named(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    """The first tensor whose name ends in one of these."""
    return next((tensor for name, tensor in tensors.items() if name.rpartition(".")[2] in names), None)


def _names_below(checkpoint: Checkpoint, prefix: str) -> tuple[str, ...]:
    return tuple(name for name in checkpoint.tensors if name.startswith(prefix))


def _named(checkpoint: Checkpoint, found: ImageModel, head: FoundHead, *, moco: bool) -> str:
    prefix, kind = found.fit.place.prefix, "MoCo" if moco else "SimCLR"
    if "encoder_q." in prefix:
        return f"{kind} checkpoint in facebookresearch's naming"
    if "temperature" in checkpoint.tensors and prefix == "backbone.":
        return f"{kind} weights of this program"
    if "pytorch-lightning_version" in checkpoint.facts:
        return f"{kind} checkpoint of Lightning, the backbone at {prefix.rstrip('.')}"
    where = f"the backbone at {prefix.rstrip('.')}" if prefix else "the backbone at the top"
    return f"{kind} state dict, {where}, the head at {head.prefix.rstrip('.')}"


FORMATS.register("two-view", Format("two-view", _recognise))
