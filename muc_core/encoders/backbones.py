"""Image models by name, without their classification layer: what comes out are features h, `[n, dimension]`.

| name | model |
|---|---|
| `cifar-resnet18`, `-34`, `-50` | torchvision's ResNet with a 3 x 3 first convolution of stride 1 and no max-pool, for 32 x 32 pixels (as in SimCLR, arXiv 2002.05709, appendix B.9) |
| `demo-resnet` | a third of a million parameters, for 32 x 32 pixels on two cores |
| `torchvision/NAME`, `timm/NAME` | that model with fresh weights |
"""  # noqa: E501

from dataclasses import dataclass
from typing import Any

import timm
import torchvision
from timm.data.config import resolve_data_config
from timm.models.resnet import BasicBlock
from torch import nn

from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MucError, UnknownName

DEMO = "demo-resnet"
CIFAR = {f"cifar-resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50)}
_OWN = (DEMO, *CIFAR)


@dataclass(frozen=True)
class Backbone:
    """A model with fresh weights, the length of its features and how it wants its pictures."""

    module: nn.Module
    dimension: int
    preprocessing: Preprocessing


def backbone_names() -> tuple[str, ...]:
    """Every name that `build_backbone` knows."""
    names = (f"torchvision/{name}" for name in torchvision.models.list_models(module=torchvision.models))
    return (*_OWN, *names, *(f"timm/{name}" for name in timm.list_models()))


def build_backbone(name: str) -> Backbone:
    """A model by name, its weights drawn from torch's global generator. Raises `UnknownName`."""
    if name == DEMO:
        return _demo()
    if name in CIFAR:
        return _cifar(CIFAR[name])
    library, _, model = name.partition("/")
    if library == "torchvision" and model in torchvision.models.list_models(module=torchvision.models):
        return _torchvision(model)
    if library == "timm" and timm.is_model(model):
        return _timm(model)
    raise UnknownName(
        f"there is no backbone {name[:100]!r}; known: {', '.join(_OWN)}, torchvision/NAME such as "
        "torchvision/resnet50, and timm/NAME such as timm/vit_tiny_patch16_224"
    )


def _demo() -> Backbone:
    module: Any = timm.create_model(
        "test_resnet", block=BasicBlock, channels=(24, 48, 80, 112), num_classes=0, pretrained=False
    )
    module.maxpool = nn.Identity()  # the first convolution has halved the 32 pixels already
    return Backbone(module, module.num_features, Preprocessing(size=32))


def _cifar(name: str) -> Backbone:
    module: nn.Module = torchvision.models.get_model(name, weights=None)
    module.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    module.maxpool = nn.Identity()
    return Backbone(module, _without_classifier(module, name), Preprocessing(size=32))


def _torchvision(name: str) -> Backbone:
    module: nn.Module = torchvision.models.get_model(name, weights=None)
    weights = torchvision.models.get_model_weights(name)
    prepare = weights["DEFAULT"].transforms()  # the same for ImageNet's classes in all weights of a model
    size, interpolation = prepare.crop_size[0], prepare.interpolation.value
    mean, std = (tuple(values) for values in (prepare.mean, prepare.std))
    return Backbone(
        module,
        _without_classifier(module, name),
        Preprocessing(size=size, mean=mean, std=std, interpolation=interpolation),
    )


def _timm(name: str) -> Backbone:
    module: Any = timm.create_model(name, pretrained=False, num_classes=0)
    config = resolve_data_config(model=module)  # type: ignore[no-untyped-call]
    interpolation = config["interpolation"] if config["interpolation"] in ("bilinear", "nearest") else "bicubic"
    preprocessing = Preprocessing(
        size=config["input_size"][-1], mean=config["mean"], std=config["std"], interpolation=interpolation
    )
    return Backbone(module, getattr(module, "head_hidden_size", module.num_features), preprocessing)


def _without_classifier(module: nn.Module, name: str) -> int:
    """Replace the last linear layer by nothing, in place; the length of what it was given."""
    layers = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise MucError(f"the model {name!r} does not end in a linear layer that could be taken off; choose another")
    parent, _, child = layers[-1].rpartition(".")
    last = module.get_submodule(layers[-1])
    assert isinstance(last, nn.Linear)
    setattr(module.get_submodule(parent), child, nn.Identity())
    return last.in_features
