"""CIFAR-10 and CIFAR-100 as torchvision stores them, <https://www.cs.toronto.edu/~kriz/cifar.html>.

The files are pickles, and a pickle can run any code. Here it cannot: its instructions are looked through before they
are followed, and the only names it may use stand for objects that merely keep what they are given. NumPy's own
functions are not among them, since a forged array description is enough to damage memory.
"""

import io
import pickle
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.formats.base import DataFormat, register_format, unreadable
from muc_core.errors import MucError
from muc_core.registry import Registry

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_MAX_BYTES = 2**30
_MAX_MEMO = 2**20
_REFUSED = (
    "is a pickle that would run code or is no batch of CIFAR; nothing in it was run. Get the original archive anew, or "
    "write the pictures into folders by class"
)


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets: its folder, files and keys."""

    name: str
    title: str
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    names_key: str
    labels_key: str
    url: str
    archive: str
    md5: str


CIFARS: Registry[Cifar] = Registry("CIFAR data set")

CIFARS.register(
    "cifar10",
    Cifar(
        name="cifar10",
        title="CIFAR-10 in torchvision's layout",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        names_key="label_names",
        labels_key="labels",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        archive="cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
    ),
)
CIFARS.register(
    "cifar100",
    Cifar(
        name="cifar100",
        title="CIFAR-100 in torchvision's layout",
        folder="cifar-100-python",
        train=("train",),
        test="test",
        meta="meta",
        names_key="fine_label_names",
        labels_key="fine_labels",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        archive="cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
    ),
)


def open_cifar(path: Path, cifar: Cifar) -> ImageTextDataset:
    """The training pictures as "train/00017" and the official test pictures as "test/00017", labelled by class name.

    Args:
        path: the folder of the batches, or the one above. Checksums are not asked for.
        cifar: which of the two.

    Raises:
        MucError: a file is missing, is not such a batch, or would run code.
    """
    folder = _find(path, cifar)
    if folder is None:
        raise MucError(f"{path} holds no folder {cifar.folder} with {cifar.meta}; give the folder that does")
    names = _names(folder / cifar.meta, cifar)
    pixels: list[npt.NDArray[np.uint8]] = []
    items: list[Item] = []
    for part, files in (("train", cifar.train), ("test", (cifar.test,))):
        number = 0
        for file in files:
            batch, labels = _batch(folder / file, cifar, len(names))
            pixels.append(batch)
            for label in labels:
                items.append(Item(f"{part}/{number:05d}", None, names[label], None))
                number += 1
    source = TensorImages(torch.from_numpy(np.concatenate(pixels)))
    return ImageTextDataset(path.resolve().name if folder != path else cifar.name, items, source)


def download_cifar(name: str, into: Path) -> Path:
    """Fetch "cifar10" or "cifar100" from its authors through torchvision and unpack it; never done unasked.

    Returns:
        The folder of the batches, in `into`.

    Raises:
        UnknownName: another name.
        MucError: there is no network, the disk is full, or the archive is not the published one.
    """
    # a second of imports that only this function needs
    from torchvision.datasets.utils import download_and_extract_archive

    cifar = CIFARS.get(name)
    try:
        download_and_extract_archive(cifar.url, str(into), filename=cifar.archive, md5=cifar.md5)
    except (OSError, RuntimeError) as error:
        raise MucError(f"{cifar.url} could not be fetched: {error}; fetch it yourself and unpack it there") from error
    return into / cifar.folder


def _find(path: Path, cifar: Cifar) -> Path | None:
    inside = path / cifar.folder
    if inside.is_dir():
        return inside
    holds = (path / cifar.meta).is_file() and any((path / file).is_file() for file in (*cifar.train, cifar.test))
    return path if holds else None


def _names(path: Path, cifar: Cifar) -> list[str]:
    content = _read(path).get(cifar.names_key)
    listed = content if isinstance(content, list) else []
    found = [name.decoded() if isinstance(name, _Encoded) else name for name in listed]
    names = [name for name in found if isinstance(name, bytes | str)]
    if not names or len(names) < len(found):
        raise MucError(f"{path} has no list {cifar.names_key}; it must name the classes")
    try:
        return [name if isinstance(name, str) else name.decode() for name in names]
    except UnicodeDecodeError as error:
        raise MucError(f"{path}: the names in {cifar.names_key} are not UTF-8 text") from error


def _batch(path: Path, cifar: Cifar, classes: int) -> tuple[npt.NDArray[np.uint8], Sequence[int]]:
    content = _read(path)
    data = content.get("data")
    if not isinstance(data, _Array) or (pixels := data.pixels()) is None:
        raise MucError(f"{path} has no array data of unsigned bytes [n, {_PIXELS}]; it is no batch of CIFAR")
    labels = content.get(cifar.labels_key)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise MucError(f"{path} has no list {cifar.labels_key} of whole numbers; it is no batch of {cifar.title}")
    if len(labels) != len(pixels):
        raise MucError(f"{path} has {len(labels):,} labels for {len(pixels):,} pictures; one each is needed")
    if wrong := next((label for label in labels if not 0 <= label < classes), None):
        raise MucError(f"{path} has the label {wrong}; {cifar.meta} names the classes 0 to {classes - 1}")
    return pixels, labels


def _read(path: Path) -> dict[str, Any]:
    """The dictionary in a file, its keys as text. Raises `MucError`."""
    try:
        if not path.is_file():
            raise MucError(f"{path} is missing; the folder of the batches needs it")
        if path.stat().st_size > _MAX_BYTES:
            raise MucError(f"{path} is larger than {_MAX_BYTES / 2**30:g} GB and so no batch of CIFAR")
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        _look_through(data)
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise MucError(f"{path} {_REFUSED} ({error})") from error
    except Exception as error:  # damaged pickles raise nearly every kind of error
        raise MucError(f"{path} is damaged or no batch of CIFAR; get the original archive anew") from error
    if not isinstance(content, dict):
        raise MucError(f"{path} holds no dictionary and so is no batch of CIFAR")
    return {
        key if isinstance(key, str) else key.decode("latin-1"): value
        for key, value in content.items()
        if isinstance(key, str | bytes)
    }


class _Keeper:
    """Stands for a name in a pickle; made and filled by it, it only keeps what it is given."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Dtype(_Keeper):
    pass


class _NdarrayClass(_Keeper):
    pass


class _Encoded(_Keeper):
    """How pickles of Python 3 in the protocol of Python 2 write bytes: a text and "latin1"."""

    def decoded(self) -> bytes | None:
        match self.arguments:
            case (str() as text, "latin1" | "latin-1"):
                try:
                    return text.encode("latin-1")
                except UnicodeEncodeError:
                    return None
        return None


class _Array(_Keeper):
    """An array as NumPy pickles it, its content in the state."""

    def pixels(self) -> npt.NDArray[np.uint8] | None:
        """uint8 `[n, 3, 32, 32]`, or None when this is not unsigned bytes `[n, 3072]` in C order."""
        match self.state:
            case (_, shape, _Dtype(arguments=("u1" | b"u1", *_)), False, data):
                return _pixels(data, shape)
        return None


class _BufferArray(_Array):
    """An array as NumPy pickles it from protocol 5 on, its content in the arguments."""

    def pixels(self) -> npt.NDArray[np.uint8] | None:
        match self.arguments:
            case (data, _Dtype(arguments=("u1" | b"u1", *_)), shape, "C", *_):
                return _pixels(data, shape)
        return None


def _pixels(data: object, shape: object) -> npt.NDArray[np.uint8] | None:
    raw = data.decoded() if isinstance(data, _Encoded) else data
    match shape:
        case (int() as count, int() as width) if isinstance(raw, bytes | bytearray):
            if count > 0 and width == _PIXELS and len(raw) == count * width:
                return np.frombuffer(raw, dtype=np.uint8).reshape(count, 3, SIDE, SIDE)
    return None


_STAND_INS: dict[tuple[str, str], type[_Keeper]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.numeric", "_frombuffer"): _BufferArray,
    ("numpy", "ndarray"): _NdarrayClass,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encoded,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Keeper]:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}"[:100])
        return _STAND_INS[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError("it asks for an object from elsewhere")


def _look_through(data: bytes) -> None:
    """Refuse what no batch needs: names from extensions, and memo numbers that make the unpickler fill all memory."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.startswith("EXT"):
            raise pickle.UnpicklingError("it asks for an extension")
        if "PUT" in opcode.name and isinstance(argument, int) and not 0 <= argument < _MAX_MEMO:
            raise pickle.UnpicklingError("it asks for too much memory")


def _register(cifar: Cifar) -> None:
    register_format(
        DataFormat(
            name=cifar.name,
            title=cifar.title,
            recognise=lambda path: _find(path, cifar) is not None,
            open=lambda path, _: open_cifar(path, cifar),
        )
    )


for _cifar in CIFARS:
    _register(_cifar)
