"""Image models of torchvision and timm, and CIFAR ResNets, of which the features are used."""

from collections.abc import Iterator

from muc_core.encoders.backbones import CIFAR
from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.backbones_in_files import backbone_of, heads_of, image_model
from muc_core.encoders.recognition.catalogue import bare_backbone, twins
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition, shortened

CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2470, 0.2435, 0.2616)


def _recognise(checkpoint: Checkpoint, arch: str | None) -> Iterator[Recognition]:
    if checkpoint.kind not in ("safetensors", "torch") or (arch and not backbone_of(arch)):
        return
    found = image_model(checkpoint, backbone_of(arch))
    if found is None:
        return
    model, notes = found.fit.model, []
    heads, others = heads_of(checkpoint, found.fit, contrastive=False)
    left_out = [*(head.prefix.rstrip(".") for head in heads), *others]
    if left_out:
        notes.append(f"The layers after the features are left out: {shortened(left_out)}.")
    if found.doubles:
        notes.append(f"The file has such a model at {shortened(found.doubles)}, too; that one is not used.")
    preprocessing, source = preprocessing_of(model)
    yield Recognition(
        format=_named(model, found.fit.place.prefix),
        family="backbone",
        architecture=model,
        preprocessing=preprocessing,
        preprocessing_source=source,
        output="features",
        matched=found.fit.matched,
        missing=found.fit.missing,
        unexpected=found.fit.unexpected,
        share=found.fit.share,
        weights=found.fit.weights,
        others=() if arch else twins(model),
        notes=tuple(notes),
    )


def preprocessing_of(model: str) -> tuple[Preprocessing, str]:
    """How a model by name wants its pictures, and where that is known from."""
    if model in CIFAR:
        cifar = Preprocessing(size=32, mean=CIFAR_MEAN, std=CIFAR_STD)
        return cifar, "assumed, CIFAR-10's mean and deviation: the file does not say"
    library, _, name = model.partition("/")
    source = f"{library}'s own for {name}" if name else "that of the architecture"
    return bare_backbone(model).preprocessing, source


def _named(model: str, prefix: str) -> str:
    library, _, name = model.partition("/")
    kind = f"weights in {library}'s naming" if name else "weights of a ResNet for small pictures"
    return f"{kind}, at {prefix.rstrip('.')}" if prefix else kind


FORMATS.register("image-model", Format("image-model", _recognise))
