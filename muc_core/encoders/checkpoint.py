"""The only module that opens weight files: safetensors or `torch.load(weights_only=True)`, so no file runs code."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from muc_core.errors import MucError


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
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MucError(f"there is no file {path}") from None
    except OSError as error:
        raise MucError(f"{path} cannot be read: {error.strerror}") from error
