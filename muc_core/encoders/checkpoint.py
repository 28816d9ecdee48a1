"""The only module that opens weight files: safetensors or `torch.load(weights_only=True)`, so no file runs Python code.

A TorchScript archive is a program in a small language of its own, which is run to use the model. It is opened only when
its source names none of the operators that reach outside the model.
"""

import hashlib
import io
import json
import pickle
import re
import threading
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import load_file as open_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from muc_core.errors import MucError

MAX_FILE_BYTES = 16 * 1024**3
"""Largest checkpoint that is opened, 16 GiB; what it unpacks to may be no more either."""

MAX_ENTRIES = 100_000
"""Most tensors in a checkpoint, and most files in its archive."""

MAX_DEPTH = 6
"""Most dictionaries inside each other that are looked through for tensors."""

Kind = Literal["safetensors", "torch", "torchscript", "onnx"]
Fact = str | int | float | bool


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A weight file from anywhere, opened.

    Attributes:
        path: where it is.
        kind: how it is written.
        tensors: all its tensors by name, dictionaries inside each other joined by dots; none of an ONNX file.
        facts: what else it says in words and numbers, such as the name of an architecture.
    """

    path: Path
    kind: Kind
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Fact]

    @property
    def name(self) -> str:
        return self.path.name


def read_checkpoint(path: Path) -> Checkpoint:
    """Open a weight file from anywhere without running code from it.

    Raises:
        MucError: the file is missing, too large, damaged, of an unknown kind, or would have to run code to be opened.
    """
    kind = kind_of(path)
    if kind == "onnx":
        return Checkpoint(path, kind, {}, {})
    if kind == "torchscript":
        return Checkpoint(path, kind, _checked(path.name, load_torchscript(path).state_dict()), {})
    if kind == "safetensors":
        return Checkpoint(path, kind, _checked(path.name, _open_safetensors(path)), {})
    tensors, facts = _flat(path.name, _open_pickle(path))
    return Checkpoint(path, kind, _checked(path.name, tensors), facts)


def load_torchscript(path: Path) -> torch.jit.ScriptModule:
    """Open a TorchScript archive on the CPU, switched to evaluation.

    Raises:
        MucError: it is damaged, or its program uses operators that read or write files or reach other processes.
    """
    for source in _torchscript_sources(path):
        if found := _REACHES_OUT.search(source):
            raise MucError(
                f"the program in {path.name} uses {found.group(0).strip('. ')!r}, which reaches outside the model, so "
                "it was not opened; export a model that only computes, or save its state_dict as safetensors"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that this form is on its way out
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return module.eval()
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip over
        raise MucError(f"{path.name} is not a complete TorchScript archive ({_first_line(error)})") from error


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; no metadata, whose order is not fixed: same tensors, same bytes."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    path.write_bytes(to_safetensors(contiguous))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises `MucError` when it is missing, cut short or something else."""
    return weights_from_bytes(_read(path), path.name)


def weights_from_bytes(content: bytes, name: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file already in memory; `name` is used in the error."""
    try:
        return parse_safetensors(content)
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MucError(
            f"{name} is not a readable safetensors file ({error}); give a complete .safetensors file"
        ) from error


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors as float16, which is how encoders are stored; others as they are."""
    return {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}


def full(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back from `half`: floating-point tensors as float32, in which encoders compute; others as they are."""
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(_read(path)).hexdigest()


def dump_training_state(state: Mapping[str, Any]) -> bytes:
    """Serialise what resuming needs: nested dictionaries and lists of tensors, numbers and strings."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def load_training_state(path: Path) -> dict[str, Any]:
    """Read a training state. Raises `MucError` when the file is damaged or would have to run code to load."""
    try:
        state = torch.load(io.BytesIO(_read(path)), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip over
        raise MucError(f"{path.name} is not a training state that can be resumed; start the run again") from error
    if not isinstance(state, dict):
        raise MucError(f"{path.name} is not a training state that can be resumed; start the run again")
    return state


def _read(path: Path) -> bytes:
    with _readable(path):
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise MucError(f"there is no file {path}") from None
    except OSError as error:
        raise MucError(f"{path} cannot be read: {error.strerror or error}") from error


# what kind of file it is

_HEADER = 8
_LONGEST_SAFETENSORS_HEADER = 100_000_000  # the limit of the safetensors library
_PICKLE = b"\x80"
_KINDS = (
    "safetensors, a state dict saved by torch.save (.pt, .pth, .ckpt, .bin), a TorchScript archive or an ONNX model"
)


def kind_of(path: Path) -> Kind:
    """What kind of weight file it is, told from its first bytes. Raises `MucError` when it is none."""
    with _readable(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(512)
    if size > MAX_FILE_BYTES:
        raise MucError(
            f"{path.name} has {size / 1024**3:.1f} GiB; checkpoints of up to {MAX_FILE_BYTES / 1024**3:.0f} GiB are "
            "opened. Take the optimiser's state out of it"
        )
    header = int.from_bytes(start[:_HEADER], "little")
    if start[_HEADER : _HEADER + 1] == b"{" and header <= _LONGEST_SAFETENSORS_HEADER:
        return "safetensors"
    if path.suffix.lower() == ".safetensors":
        raise MucError(f"{path.name} is not a readable safetensors file; give a complete .safetensors file")
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    if path.suffix.lower() == ".onnx":
        return "onnx"
    if start.startswith(_PICKLE):
        return "torch"
    if start[257:262] == b"ustar":
        raise MucError(f"{path.name} is a tar archive, a form that torch.save had before version 0.4. {_advice(path)}")
    nature = "is empty" if size == 0 else "is not a weight file of a known kind"
    raise MucError(f"{path.name} {nature}; give {_KINDS}")


def _kind_of_archive(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise MucError(f"{path.name} is cut short or damaged ({error}); copy it again") from error
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_FILE_BYTES:
        raise MucError(
            f"{path.name} would unpack to more than {MAX_ENTRIES:,} files or {MAX_FILE_BYTES / 1024**3:.0f} GiB; it is "
            "not a checkpoint"
        )
    # The first folder is named after the file that was saved.
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "data.pkl" not in names:
        raise MucError(f"{path.name} is a zip archive, but not one of torch.save; give {_KINDS}")
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if packed:
        raise MucError(f"{path.name} is compressed, which torch.save never does. {_advice(path)}")
    return "torch"


# TorchScript

_GAP = r"(?:[\s\\]|#[^\n]*\n)*"
_REACHES_OUT = re.compile(
    rf"\.{_GAP}(?:save|from_file)\b"
    rf"|\bops{_GAP}\.{_GAP}(?!(?:aten|prim|quantized|torchvision)\b)\w+"
    r"|\b(?:PythonOp|IgnoredPythonOp|rpc_async|rpc_sync|rpc_remote|load_library)\b|\^\w+"
)
"""Operators of TorchScript that read or write files, reach other processes or belong to code that is not here."""


def _torchscript_sources(path: Path) -> list[str]:
    if kind_of(path) != "torchscript":
        raise MucError(f"{path.name} is not a TorchScript archive; make one with torch.jit.trace or torch.jit.script")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".py")]
            return [archive.read(name).decode() for name in names]
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError) as error:
        raise MucError(f"{path.name} is cut short or damaged ({error}); copy it again") from error


# what torch.save wrote


class _Dropped:
    """Stands in for an object of another program's class; whatever the file says of it is forgotten."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> "_Dropped":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def _new_dict(*args: object) -> OrderedDict[Any, Any]:
    return OrderedDict()


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_DROPPED = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "typing.Any",
    "_codecs.encode",
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"builtins.{name}" for name in ("dict", "list", "tuple", "str", "int", "float", "bool")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata", "Node", "SCMode")),
    *(
        f"omegaconf.nodes.{name}"
        for name in (
            "AnyNode",
            "BooleanNode",
            "BytesNode",
            "EnumNode",
            "FloatNode",
            "IntegerNode",
            "PathNode",
            "StringNode",
        )
    ),
    "torch.torch_version.TorchVersion",
)
"""Harmless things that training scripts keep beside the weights. They are not even imported."""

_DICTIONARIES = (
    *(
        f"{package}.AttributeDict"
        for package in (
            "lightning.fabric.utilities.data",
            "lightning_fabric.utilities.data",
            "lightning.pytorch.utilities.parsing",
            "pytorch_lightning.utilities.parsing",
        )
    ),
    "addict.addict.Dict",
    "easydict.EasyDict",
    "yacs.config.CfgNode",
)
_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((_Dropped, name) for name in _DROPPED),
    *((OrderedDict, name) for name in _DICTIONARIES),
    (_new_dict, "collections.defaultdict"),
]
_STANDING_IN = threading.Lock()  # torch keeps the list of stand-ins for the whole process

_ASKED_FOR = re.compile(r"GLOBAL ([\w.]+)")


def _open_pickle(path: Path) -> object:
    try:
        with _STANDING_IN, torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is in the file, and what becomes of it in other versions
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if asked := _ASKED_FOR.search(str(error)):
            raise MucError(
                f"{path.name} was not opened: it is a pickle that asks for {asked.group(1)}, and that runs code. "
                f"{_advice(path)}"
            ) from error
        raise MucError(
            f"{path.name} was not opened: it is a pickle that does more than hold tensors, or is damaged. "
            f"{_advice(path)}"
        ) from error
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip over
        raise MucError(f"{path.name} is not a complete file of torch.save ({_first_line(error)})") from error


def _advice(path: Path) -> str:
    return (
        "Where you trust it, convert it to safetensors and add that:\n"
        f"    state = torch.load({path.name!r}, map_location='cpu', weights_only=False)  # runs what is in it\n"
        f"    safetensors.torch.save_file(state['state_dict'], {path.stem + '.safetensors'!r})  # or state.state_dict()"
    )


_OF_THE_TRAINING = re.compile(
    r"(optim|lr_scheduler|scheduler|scaler|grad_scaler|callbacks|loops|rng|amp)", re.IGNORECASE
)


def _flat(name: str, content: object) -> tuple[dict[str, Tensor], dict[str, Fact]]:
    """All tensors and all words and numbers of nested dictionaries, except those of optimisers and the like."""
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Fact] = {}

    def walk(tree: Mapping[Any, Any], prefix: str, depth: int) -> None:
        for key, value in tree.items():
            if not isinstance(key, str) or (depth == 0 and _OF_THE_TRAINING.match(key)):
                continue
            path = f"{prefix}{key}"
            if isinstance(value, Tensor):
                tensors[path] = value
            elif isinstance(value, str | int | float):
                facts[path] = value
            elif isinstance(value, Mapping) and depth < MAX_DEPTH:
                walk(value, f"{path}.", depth + 1)
            if len(tensors) + len(facts) > MAX_ENTRIES:
                raise MucError(f"{name} has more than {MAX_ENTRIES:,} entries; it is not a checkpoint of one encoder")

    if not isinstance(content, Mapping):
        raise MucError(
            f"{name} holds {_kind_name(content)} and not a state dict; save `model.state_dict()` with torch.save"
        )
    walk(content, "", 0)
    return tensors, facts


def _kind_name(content: object) -> str:
    return "a single tensor" if isinstance(content, Tensor) else f"a Python {type(content).__name__}"


# tensors


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return open_safetensors(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise MucError(
            f"{path.name} is not a readable safetensors file ({_first_line(error)}); give a complete .safetensors file"
        ) from error


def _checked(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Ordinary tensors, each with memory of its own size and finite. Raises `MucError` naming the one that is not."""
    if not tensors:
        raise MucError(f"{name} holds no tensors by name; save `model.state_dict()` in it")
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu" or tensor.is_complex():
            raise MucError(
                f"the tensor {key!r} in {name} is sparse, quantised, complex or without content; save ordinary ones"
            )
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise MucError(f"the tensor {key!r} in {name} claims to be larger than its content; the file is damaged")
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_FILE_BYTES:
        raise MucError(f"the tensors in {name} take more than {MAX_FILE_BYTES / 1024**3:.0f} GiB; it is not opened")
    return {key: tensor.detach() for key, tensor in tensors.items()}


def _first_line(error: Exception) -> str:
    """What a library says, without its addresses in memory."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"( at)? 0x[0-9a-f]{8,}", "", said)[:200]
