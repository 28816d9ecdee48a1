"""From a weight file to what it is, or a sentence that says why that cannot be told."""

from pathlib import Path

import muc_core.encoders.recognition.formats  # noqa: F401  (registers them)
from muc_core.encoders.checkpoint import Checkpoint, read_checkpoint
from muc_core.encoders.families.clip import ClipFamily
from muc_core.encoders.recognition.backbones_in_files import backbone_of
from muc_core.encoders.recognition.recognition import ENOUGH, FORMATS, Recognition, shortened
from muc_core.errors import MucError, UnknownName

AS_IT_IS = ("torchscript", "onnx")


def recognise(path: Path, *, arch: str | None = None) -> Recognition:
    """What a weight file is.

    Args:
        path: a file of any kind that `read_checkpoint` opens.
        arch: the architecture it is said to be, which is checked: `BACKBONE`, `BACKBONE:HEAD`, a name of open_clip.

    Raises:
        UnknownName: there is no such architecture.
        MucError: the file cannot be opened, or is none of what is known; names the tensors that did not fit.
    """
    if arch and arch not in AS_IT_IS and not backbone_of(arch) and arch not in ClipFamily().architectures():
        raise UnknownName(
            f"there is no architecture {arch[:100]!r}; write a backbone such as cifar-resnet18, torchvision/resnet50 "
            "or timm/vit_base_patch16_224, perhaps with a projection head as in cifar-resnet18:512-128, or a name of "
            "open_clip such as ViT-B-32"
        )
    return recognise_checkpoint(read_checkpoint(path), arch=arch)


def recognise_checkpoint(checkpoint: Checkpoint, *, arch: str | None = None) -> Recognition:
    """As `recognise`, of an open file."""
    found = [each for known in FORMATS for each in known.recognise(checkpoint, arch)]
    if not found:
        raise MucError(_nothing_known(checkpoint, arch))
    best = max(found, key=lambda each: (each.share, len(each.matched)))
    if best.share < ENOUGH or best.missing:
        raise MucError(_does_not_fit(checkpoint, best, arch))
    return best


def _nothing_known(checkpoint: Checkpoint, arch: str | None) -> str:
    has = f"it has {shortened(checkpoint.tensors, 4)}" if checkpoint.tensors else "its tensors have no names"
    if arch:
        return f"{checkpoint.name} is not the weights of {arch}: none of its tensors fits ({has})"
    return (
        f"{checkpoint.name} holds no model that is known: {has}. Known are CLIP in open_clip's naming, ResNets and "
        "other models of torchvision and timm, alone or inside SimCLR and MoCo checkpoints, TorchScript and ONNX; if "
        "it is one of them, name it with --arch, otherwise export it as ONNX or TorchScript"
    )


def _does_not_fit(checkpoint: Checkpoint, best: Recognition, arch: str | None) -> str:
    total = len(best.matched) + len(best.missing) + len(best.unexpected)
    trouble = []
    if best.missing:
        trouble.append(f"missing: {shortened(best.missing)}")
    if best.unexpected:
        trouble.append(f"not known to it: {shortened(best.unexpected)}")
    likeness = f"is not the weights of {arch}" if arch else f"is most like {best.architecture}, but does not fit"
    return (
        f"{checkpoint.name} {likeness}: of {total:,} tensors {len(best.matched):,} fit, and the rest of the model "
        f"would be random ({'; '.join(trouble)}). "
        + ("Name another architecture" if arch else "Name the architecture with --arch if it is another one")
    )
