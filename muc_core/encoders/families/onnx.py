"""Encoders that somebody exported to ONNX: `image.onnx` and perhaps `text.onnx`, which onnxruntime runs.

The image tower takes pictures `[n, 3, size, size]` or `[n, size, size, 3]`, as floats that are prepared as the manifest
says or as whole numbers from 0 to 255; `n` may be fixed. The text tower takes the token ids of CLIP's byte-pair
vocabulary (open_clip's `SimpleTokenizer`), `[n, length]`; one with another vocabulary is refused, because nothing in an
ONNX file says which. An ONNX file is a graph of operators and holds no code of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.loaders import LOADERS, Loader
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MissingTextTower, MucError

IMAGE = "image.onnx"
TEXT = "text.onnx"
CONTEXT = 77
VOCABULARY = 49_408

Number = type[np.float32] | type[np.float16] | type[np.uint8] | type[np.int64] | type[np.int32]

_PICTURES: dict[str, Number] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_IDS: dict[str, Number] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_VECTORS = ("image_embeds", "text_embeds", "embeddings", "embedding", "image_features", "text_features", "features")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tower:
    """What an ONNX model takes and gives.

    Attributes:
        input, output: their names.
        number: numpy's type of what it takes.
        batch: how many items it takes at once; None: any number.
        size: side of the pictures in pixels, or length of the texts in tokens; None: any.
        channels_last: pictures are `[n, size, size, 3]`.
    """

    input: str
    output: str
    number: Number
    batch: int | None
    size: int | None
    channels_last: bool = False

    @property
    def whole(self) -> bool:
        """It takes pixels as whole numbers from 0 to 255."""
        return self.number is np.uint8

    def __str__(self) -> str:
        side = str(self.size or "any")
        shape = [str(self.batch or "n"), *([side, side, "3"] if self.channels_last else ["3", side, side])]
        return f"takes {self.input} [{', '.join(shape)}] as {np.dtype(self.number).name}, gives {self.output}"


def inspect_image_tower(path: Path) -> Tower:
    """What the model in a file takes and gives. Raises `MucError` when it is no image tower."""
    return _image_tower(_session(path), path.name)


class OnnxEncoder:
    """One or two ONNX models as a black box.

    Raises:
        MucError: a file is damaged, is no such tower, or the two give vectors of different length.
    """

    family = "onnx"

    def __init__(self, image: Path, text: Path | None, manifest: EncoderManifest) -> None:
        if manifest.preprocessing is None:
            raise MucError(
                f"the manifest of {manifest.name!r} does not say how its pictures are prepared; add it again"
            )
        self.name = manifest.name
        self.digest = manifest.content_digest
        self.preprocessing: Preprocessing = manifest.preprocessing
        self.has_text = text is not None
        self._image_session = _session(image)
        self._image = _image_tower(self._image_session, image.name)
        if self._image.size not in (None, self.image_size):
            raise MucError(
                f"the model of {self.name!r} takes pictures of {self._image.size} x {self._image.size} pixels, not of "
                f"{self.image_size} x {self.image_size}"
            )
        if self._image.whole and (self.preprocessing.mean, self.preprocessing.std) != ((0, 0, 0), (1, 1, 1)):
            raise MucError(
                f"the model of {self.name!r} takes pixels from 0 to 255 and normalises them by itself; leave mean and "
                "deviation away"
            )
        size = self.image_size
        self.dimension = self.encode_images(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]
        if text is not None:
            self._open_text(text)

    def _open_text(self, path: Path) -> None:
        self._text_session = _session(path)
        self._text = _text_tower(self._text_session, path.name)
        self._tokenizer = SimpleTokenizer(context_length=self._text.size or CONTEXT)
        _check_vocabulary(self._text_session, self._text, path.name)
        found = self.encode_texts(["a bird"]).shape[1]
        if found != self.dimension:
            raise MucError(
                f"the image tower of {self.name!r} gives {self.dimension} numbers and its text tower {found}; export "
                "both with their projections into the common space"
            )

    @property
    def image_size(self) -> int:
        return self.preprocessing.size

    @property
    def interpolation(self) -> Interpolation:
        return self.preprocessing.interpolation

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> Tensor:
        prepared = self.preprocessing.apply(images)
        if self._image.whole:
            prepared = (prepared * 255).round()
        if self._image.channels_last:
            prepared = prepared.permute(0, 2, 3, 1)
        return _run(self._image_session, self._image, prepared.numpy(), self.name)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        if not self.has_text:
            raise MissingTextTower(f"the encoder {self.name!r} has no text tower; add it with one, --text-onnx")
        return _run(self._text_session, self._text, self._tokenizer(list(texts)).numpy(), self.name)


def _session(path: Path) -> Any:
    # Imported late: who opens no ONNX model need not wait for it.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each fault, all below Exception
        raise MucError(
            f"{path.name} is not a complete ONNX model that onnxruntime {onnxruntime.__version__} runs "
            f"({_reason(error)}); save it as one file with its weights inside"
        ) from error


def _image_tower(session: Any, name: str) -> Tower:
    given = session.get_inputs()
    if len(given) != 1:
        raise MucError(
            f"{name} takes {', '.join(each.name for each in given)}; export the image tower alone, with pictures "
            "as its only input, and the text tower as another file"
        )
    number = _PICTURES.get(given[0].type)
    shape = given[0].shape
    if number is None or len(shape) != 4:
        raise MucError(
            f"{name} takes {given[0].name} {shape} of {given[0].type}; an image tower takes float or uint8 pictures "
            "[n, 3, height, width]"
        )
    batch, *rest = [_fixed(length) for length in shape]
    channels_last = rest[0] != 3 and rest[2] == 3
    channels, height, width = (rest[2], rest[0], rest[1]) if channels_last else rest
    if channels not in (None, 3) or height != width:
        raise MucError(f"{name} takes pictures of shape {shape}; square ones with red, green and blue are accepted")
    return Tower(given[0].name, _vectors_of(session, name), number, batch, height, channels_last)


def _text_tower(session: Any, name: str) -> Tower:
    given = session.get_inputs()
    number = _IDS.get(given[0].type) if len(given) == 1 else None
    if number is None or len(given[0].shape) != 2:
        takes = ", ".join(f"{each.name} {each.shape} of {each.type}" for each in given)
        raise MucError(
            f"{name} takes {takes}; a text tower takes the token ids of open_clip's tokenizer alone, int64 or int32 "
            "[n, length]. One with an attention mask needs another tokenizer and is not accepted"
        )
    batch, length = (_fixed(each) for each in given[0].shape)
    return Tower(given[0].name, _vectors_of(session, name), number, batch, length)


def _vectors_of(session: Any, name: str) -> str:
    outputs = session.get_outputs()
    known = [each.name for each in outputs if each.name in _VECTORS]
    flat = [each.name for each in outputs if len(each.shape) == 2 or each.shape[2:] == [1, 1]]
    for choice in ([each.name for each in outputs] if len(outputs) == 1 else [], known, flat):
        if len(choice) == 1:
            return str(choice[0])
    raise MucError(
        f"{name} gives {', '.join(f'{each.name} {each.shape}' for each in outputs)}; export it with one output, the "
        "vectors [n, d]"
    )


def _fixed(length: object) -> int | None:
    return length if isinstance(length, int) and length > 0 else None


def _check_vocabulary(session: Any, tower: Tower, name: str) -> None:
    """The last token of CLIP's vocabulary must be known, and none after it: a file tells no more of its vocabulary."""
    known = [_knows(session, tower, token) for token in (VOCABULARY - 1, VOCABULARY)]
    if known != [True, False]:
        size = "smaller" if not known[0] else "larger"
        raise MucError(
            f"the vocabulary of {name} is {size} than the {VOCABULARY:,} tokens of open_clip's tokenizer, so it needs "
            "another one; only text towers with CLIP's byte-pair vocabulary are accepted"
        )


def _knows(session: Any, tower: Tower, token: int) -> bool:
    ids = np.full((tower.batch or 1, tower.size or CONTEXT), token, dtype=tower.number)
    try:
        session.run([tower.output], {tower.input: ids})
    except Exception:  # onnxruntime has a class of its own for each fault, all below Exception
        return False
    return True


def _run(session: Any, tower: Tower, items: Array, name: str) -> Tensor:
    found: list[Array] = []
    step = tower.batch or max(1, len(items))
    for start in range(0, len(items), step):
        part = items[start : start + step]
        whole = np.zeros((step, *part.shape[1:]), dtype=tower.number)  # a fixed batch is filled up
        whole[: len(part)] = part
        try:
            (vectors,) = session.run([tower.output], {tower.input: whole})
        except Exception as error:  # onnxruntime has a class of its own for each fault, all below Exception
            raise MucError(f"the ONNX model of {name!r} failed: {_reason(error)}") from error
        if vectors.ndim < 2 or len(vectors) != step or vectors[0].size != vectors.shape[1]:
            raise MucError(
                f"the ONNX model of {name!r} gives {list(vectors.shape)} for {step} item(s) and not one vector each; "
                "export it with an output [n, d]"
            )
        found.append(vectors.reshape(step, -1)[: len(part)].astype(np.float32))
    return torch.from_numpy(np.concatenate(found))


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _load(manifest: EncoderManifest, folder: Path) -> OnnxEncoder:
    text = folder / TEXT
    return OnnxEncoder(folder / IMAGE, text if TEXT in manifest.files else None, manifest)


LOADERS.register("onnx", Loader("onnx", _load))
