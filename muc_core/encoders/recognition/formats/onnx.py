"""ONNX models, which are kept and run as they are."""

from collections.abc import Iterator

from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.families.onnx import IMAGE, inspect_image_tower
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition

SIZE = 224


def _recognise(checkpoint: Checkpoint, arch: str | None) -> Iterator[Recognition]:
    if checkpoint.kind != "onnx" or arch not in (None, "onnx"):
        return
    tower = inspect_image_tower(checkpoint.path)
    size = tower.size or SIZE
    sized = "the model's own size" if tower.size else f"assumed, {SIZE} pixels: the model takes any"
    normalised = "it takes pixels from 0 to 255" if tower.whole else "ImageNet's mean and deviation assumed"
    yield Recognition(
        format=f"ONNX model: {tower}",
        family="onnx",
        architecture="onnx",
        # The numbers 0 to 1 as they are, where the model normalises by itself.
        preprocessing=Preprocessing(size=size, mean=(0, 0, 0), std=(1, 1, 1))
        if tower.whole
        else Preprocessing(size=size),
        preprocessing_source=f"{sized}; {normalised}",
        files={IMAGE: checkpoint.path},
    )


FORMATS.register("onnx", Format("onnx", _recognise))
