"""TorchScript archives, which are kept and run as they are."""

from collections.abc import Iterator

from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.families.torchscript import MODEL
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition

SIZE = 224


def _recognise(checkpoint: Checkpoint, arch: str | None) -> Iterator[Recognition]:
    if checkpoint.kind != "torchscript" or arch not in (None, "torchscript"):
        return
    yield Recognition(
        format=f"TorchScript archive with {len(checkpoint.tensors):,} tensors",
        family="torchscript",
        architecture="torchscript",
        preprocessing=Preprocessing(size=SIZE),
        preprocessing_source=f"assumed, {SIZE} pixels and ImageNet's mean and deviation: the archive does not say",
        files={MODEL: checkpoint.path},
    )


FORMATS.register("torchscript", Format("torchscript", _recognise))
