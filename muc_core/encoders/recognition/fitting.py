"""Tensors of a file against a model: which fit, which are missing, and where in the file the model lies.

A file may hold a model below any name (`state_dict.module.encoder_q.`); every such place is looked at. Where a ResNet
was taken apart into a list of its parts, or names its shortcuts in another way, its names are brought back first.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from muc_core.encoders.recognition.catalogue import ASIDE, CLASSIFIERS, HEADS, candidates, skeleton

FEWEST = 4
"""A place with fewer tensors is no model."""

DEEPEST = 5
MOST_PLACES = 400


@dataclass(frozen=True)
class Place:
    """A part of a file that may be a model.

    Attributes:
        prefix: what its names begin with in the file, "" or ending in a dot.
        tensors: by the name that the model would give them.
        names: the name in the file of each of them.
    """

    prefix: str
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str]


@dataclass(frozen=True)
class Fit:
    """A place compared with a model; the fields as in `Recognition`.

    Attributes:
        model: the catalogue's name.
        place: where in the file.
        weights: the tensors that fit, by the model's names.
        beside: the tensors of the place that come after the features, by their names there.
    """

    model: str
    place: Place
    weights: Mapping[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    beside: Mapping[str, Tensor]

    @property
    def matched(self) -> tuple[str, ...]:
        return tuple(self.place.names[name] for name in self.weights)

    @property
    def share(self) -> float:
        return len(self.weights) / max(1, len(self.weights) + len(self.missing) + len(self.unexpected))


def places(tensors: Mapping[str, Tensor]) -> Iterator[Place]:
    """Every part of a file that may be a model, the outermost first; a ResNet in other names also in its usual ones."""
    prefixes: dict[str, list[str]] = {"": list(tensors)}
    for name in tensors:
        parts = name.split(".")
        for depth in range(1, min(len(parts), DEEPEST + 1)):
            prefixes.setdefault(".".join(parts[:depth]) + ".", []).append(name)
    likely = [(prefix, names) for prefix, names in prefixes.items() if len(names) >= FEWEST]
    for prefix, names in sorted(likely, key=lambda item: (-len(item[1]), len(item[0])))[:MOST_PLACES]:
        inner = {name.removeprefix(prefix): name for name in names}
        yield Place(prefix, {short: tensors[name] for short, name in inner.items()}, inner)
        usual = usual_resnet_names(inner)
        if usual != dict(zip(inner, inner, strict=True)):
            renamed = {usual[short]: name for short, name in inner.items()}
            yield Place(prefix, {short: tensors[name] for short, name in renamed.items()}, renamed)


_BLOCK = re.compile(r"(\d+)\.0\.conv1\.weight")


def usual_resnet_names(names: Mapping[str, str]) -> dict[str, str]:
    """For each name the one that torchvision gives it: of `nn.Sequential(*resnet.children())`, or with `shortcut`."""
    stages = sorted(int(found.group(1)) for name in names if (found := _BLOCK.fullmatch(name)))
    parts: dict[str, str] = {}
    if len(stages) == 4 and "0.weight" in names:
        parts = {"0": "conv1", "1": "bn1"} | {str(stage): f"layer{n}" for n, stage in enumerate(stages, start=1)}
    usual = {}
    for name in names:
        first, dot, rest = name.partition(".")
        usual[name] = f"{parts.get(first, first)}{dot}{rest.replace('shortcut.', 'downsample.')}"
    return usual if len(set(usual.values())) == len(usual) else {name: name for name in names}


@lru_cache(maxsize=64)
def learned(model: str) -> frozenset[str]:
    """Names of the tensors that decide the vectors; the others are counters and tables that every model has alike."""
    module = skeleton(model)
    statistics = (name for name, _ in module.named_buffers() if name.endswith(("running_mean", "running_var")))
    scales = {"logit_scale", "logit_bias"}
    return frozenset({name for name, _ in module.named_parameters()} | set(statistics)) - scales


def fit(model: str, place: Place) -> Fit:
    """Compare a place with a model of the catalogue, tensor by tensor."""
    wanted = {name: tuple(tensor.shape) for name, tensor in skeleton(model).state_dict().items()}
    weights = {name: tensor for name, tensor in place.tensors.items() if wanted.get(name) == tuple(tensor.shape)}
    decisive = learned(model)
    missing = tuple(
        f"{place.prefix}{name} {_shape(shape)}" for name, shape in wanted.items() if name in decisive - weights.keys()
    )
    beside, unexpected = {}, []
    for name, tensor in place.tensors.items():
        if name in weights or (name in wanted and name not in decisive):
            continue
        if name not in wanted and name.split(".")[0] in (*CLASSIFIERS, *HEADS, *ASIDE):
            beside[name] = tensor
        elif not name.endswith("num_batches_tracked"):
            unexpected.append(f"{place.names[name]} {_shape(tuple(tensor.shape))}")
    return Fit(model, place, weights, missing, tuple(unexpected), beside)


def best_fits(place: Place, model: str | None, *, clip_models: bool, most: int = 3) -> list[Fit]:
    """The models that this place most likely is, the best first; only `model`, a name of the catalogue, when given."""
    if model is not None:
        return [fit(model, place)]
    shapes = {name: tuple(tensor.shape) for name, tensor in place.tensors.items()}
    found = [fit(entry.name, place) for entry in candidates(shapes, clip_models=clip_models, most=most)]
    return sorted(found, key=lambda each: -each.share)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
