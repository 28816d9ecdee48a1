"""Which of some 1,600 models have which tensors, without building them: `catalogue.json`.

For each model the file holds how many tensors it has, a digest over their names and shapes, and the smallest hashes of
name and shape among them (a bottom-k sample): the share of a model's sample that is found in a file estimates the share
of its tensors. What looks like a candidate is then built without memory and compared tensor by tensor, so that a stale
catalogue can hide a model but never make one up.

`python -m muc_core.encoders.recognition.catalogue` writes the file anew, after another timm, torchvision or open_clip.
"""

import hashlib
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from muc_core.encoders.backbones import Backbone, backbone_names, build_backbone
from muc_core.encoders.families import clip
from muc_core.errors import MucError, UnknownName

FILE = Path(__file__).with_name("catalogue.json")
CLIP = "open_clip/"
SAMPLE = 12
HASH = 6
_PACKAGES = ("open_clip_torch", "timm", "torchvision")
_FILLING = {
    *("normal_", "uniform_", "trunc_normal_", "erfinv_", "orthogonal_"),
    *("constant_", "ones_", "zeros_", "eye_", "dirac_"),
    *("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"),
    *("mul_", "div_", "add_", "sub_", "clamp_", "fill_", "zero_", "copy_"),
}

CLASSIFIERS = ("fc", "linear", "head", "heads", "classifier", "last_linear")
"""What comes after the features of a model, in its own naming."""

LAST_LAYERS = (
    *CLASSIFIERS,
    "head.fc",
    "heads.head",
    "classifier.0",
    "classifier.1",
    "classifier.2",
    "classifier.3",
    "head.l",
)
"""The layer that gives the classes."""

HEADS = ("projection_head", "projector", "projection", "proj_head", "projection_layer", "proj", "mlp", "g")
"""What projection heads are called where they are not in a classifier's place."""

ASIDE = (
    *("predictor", "prediction_head", "prototypes", "criterion", "loss", "loss_fn", "memory_bank", "temperature"),
    *("queue", "queue_ptr", "queue_pointer", "online_classifier", "online_linear", "linear_probe", "mean", "std"),
    *("input_resolution", "context_length", "vocab_size", "logit_scale", "logit_bias"),
)
"""What training scripts keep beside a model."""

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""


@dataclass(frozen=True)
class Entry:
    """What the catalogue holds of one model; `name` as `build_backbone` knows it, or `open_clip/ARCHITECTURE`."""

    name: str
    tensors: int
    digest: str
    sample: tuple[str, ...]


class _NoFilling(TorchFunctionMode):
    """Leaves the numbers of tensors without memory alone; drawing what is never kept takes most of the time.

    Args:
        ranges: give ranges their numbers all the same: a few models calculate their widths with them.
    """

    def __init__(self, *, ranges: bool) -> None:
        super().__init__()
        self._ranges = ranges

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if getattr(func, "__name__", "") in _FILLING and args and isinstance(args[0], Tensor) and args[0].is_meta:
            return args[0]
        if self._ranges and func in (torch.arange, torch.tensor):
            options = {**options, "device": "cpu"}
        return func(*args, **options)


@contextmanager
def without_memory(*, ranges: bool = False) -> Iterator[None]:
    """Models built in this block have shapes but no numbers. What building them says to the log is dropped."""
    with torch.device("meta"), _NoFilling(ranges=ranges), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _muted(logging.getLogger()):
            yield


@contextmanager
def _muted(logger: logging.Logger) -> Iterator[None]:
    def drop(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


@lru_cache(maxsize=32)
def skeleton(name: str) -> nn.Module:
    """The model of a catalogue name, without numbers. Raises `UnknownName`, `MucError`."""
    if not name.startswith(CLIP):
        return bare_backbone(name).module
    architecture = name.removeprefix(CLIP)
    if architecture not in clip.ClipFamily().architectures():
        raise UnknownName(f"open_clip has no architecture {architecture[:100]!r}")
    with without_memory():
        module: nn.Module = open_clip.create_model(
            architecture, load_weights=False, pretrained_text=False, device="meta"
        )
    return module


@lru_cache(maxsize=32)
def bare_backbone(name: str) -> Backbone:
    """A backbone without numbers. Raises `UnknownName`, `MucError`."""
    try:
        with without_memory():
            return build_backbone(name)
    except NotImplementedError:  # a range without numbers was asked for one
        with without_memory(ranges=True):
            return build_backbone(name)


def skeleton_shapes(name: str) -> Shapes:
    """Shapes of the tensors of a model by name."""
    return {key: tuple(tensor.shape) for key, tensor in skeleton(name).state_dict().items()}


def hashes(shapes: Shapes) -> dict[str, str]:
    """A short hash of name and shape for each tensor; counters of batch norm, which some files leave out, are none."""
    return {
        key: hashlib.sha1(f"{key}:{','.join(map(str, shape))}".encode(), usedforsecurity=False).hexdigest()[:HASH]
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }


def digest_of(shapes: Shapes) -> str:
    """The same for tensors of the same names and shapes, in any order."""
    found = sorted(hashes(shapes).values())
    return hashlib.sha1(" ".join(found).encode(), usedforsecurity=False).hexdigest()[: 2 * HASH]


def describe(name: str, shapes: Shapes) -> Entry:
    """The catalogue's entry of a model with these tensors."""
    found = sorted(hashes(shapes).values())
    return Entry(name, len(found), digest_of(shapes), tuple(found[:SAMPLE]))


def _without_classifier(shapes: Shapes) -> Iterator[Shapes]:
    """The tensors as they are, without their last layer in any of its usual names, and without all that may follow."""
    yield shapes
    for layer in LAST_LAYERS:
        if f"{layer}.weight" in shapes:
            yield {key: shape for key, shape in shapes.items() if not key.startswith(f"{layer}.")}
    yield {key: shape for key, shape in shapes.items() if key.split(".")[0] not in (*CLASSIFIERS, *HEADS, *ASIDE)}


@cache
def entries() -> Mapping[str, Entry]:
    """The whole catalogue by name. Raises `MucError` when its file is damaged."""
    try:
        content = json.loads(FILE.read_text(encoding="utf-8"))["models"]
        found = {}
        for name, (tensors, digest, sample) in content.items():
            parts = tuple(sample[place : place + HASH] for place in range(0, len(sample), HASH))
            found[name] = Entry(name, tensors, digest, parts)
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MucError(f"{FILE} is damaged; install the program again") from error


def candidates(shapes: Shapes, *, clip_models: bool, most: int) -> tuple[Entry, ...]:
    """Models that a file with these tensors may hold, the likeliest first; of models with the very same tensors one.

    Args:
        clip_models: look among open_clip's models; otherwise among the backbones.
        most: so many at most.
    """
    found = set(hashes(shapes).values())
    counts: Counter[str] = Counter()
    for name, entry in entries().items():
        if name.startswith(CLIP) != clip_models:
            continue
        hits = sum(part in found for part in entry.sample)
        if 2 * hits >= len(entry.sample):
            counts[name] = hits
    known = entries()
    ranked = sorted(
        counts,
        key=lambda name: (
            -counts[name] / len(known[name].sample),
            abs(len(found) - known[name].tensors),
            preference(name),
        ),
    )
    # Models of several picture sizes differ in one tensor, which may not be in the sample: the exact one goes first.
    digests = {digest_of(part) for part in _without_classifier(shapes)}
    ranked.sort(key=lambda name: known[name].digest not in digests)
    unlike: dict[str, Entry] = {}
    for name in ranked:
        unlike.setdefault(known[name].digest, known[name])
    return tuple(unlike.values())[:most]


def twins(name: str) -> tuple[str, ...]:
    """Other models with tensors of the very same names and shapes, the likeliest first."""
    known = entries()
    if name not in known:
        return ()
    same = [other for other, entry in known.items() if entry.digest == known[name].digest and other != name]
    alike = [other for other in same if other.startswith(CLIP) == name.startswith(CLIP)]
    return tuple(sorted(alike, key=preference))


def preference(name: str) -> tuple[object, ...]:
    """Sorts models with the same tensors: our own names first, then torchvision's, open_clip's, and timm's; then the
    shorter name, which has the more usual settings."""
    library = name.partition("/")[0] if "/" in name else ""
    order = ("", "torchvision", "open_clip", "timm")
    return (order.index(library), len(name), name)


def catalogue_names() -> Iterable[str]:
    """Every model that could be in the catalogue."""
    return (*backbone_names(), *(f"{CLIP}{name}" for name in open_clip.list_models()))


def _write() -> None:
    models: dict[str, tuple[int, str, str]] = {}
    left_out: dict[str, str] = {}
    for name in catalogue_names():
        try:
            entry = describe(name, skeleton_shapes(name))
        except Exception as error:  # whatever keeps a model from being built, it is then not recognised
            left_out[name] = f"{type(error).__name__}: {error}"[:150].replace("\n", " ")
            continue
        models[name] = (entry.tensors, entry.digest, "".join(entry.sample))
        print(f"\r{len(models):>5}", end="", flush=True)
    versions = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in models.items())
    FILE.write_text(f'{{"made with": {json.dumps(versions)},\n"models": {{\n{lines}\n}}}}\n', encoding="utf-8")
    print(f"\n{len(models)} models; left out:")
    for name, reason in left_out.items():
        print(f"{name}: {reason}")


if __name__ == "__main__":
    _write()
