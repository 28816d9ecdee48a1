"""The vectors of an audit as safetensors: float32, by encoder and part, such as `before/views` and `before/texts`."""

from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from muc_core.audit.result import Mode
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.errors import MucError
from muc_core.evidence.manifest import VECTORS
from muc_core.similarity import Similarity


def write_vectors(vectors: Mapping[str, Vectors]) -> bytes:
    """Vectors of the owner's items and then the controls, for each encoder."""
    parts: dict[str, np.ndarray] = {}
    for name, known in vectors.items():
        parts[f"{name}/views"] = known.views
        if isinstance(known, ImageTextVectors):
            parts[f"{name}/texts"] = known.texts
    if any(part.dtype != np.float32 for part in parts.values()):
        raise ValueError("vectors are kept as they were compared, in float32")
    return save({name: np.ascontiguousarray(part) for name, part in parts.items()})


def read_vectors(content: bytes, encoders: Mapping[str, Similarity], mode: Mode, items: int) -> dict[str, Vectors]:
    """The vectors of the named encoders.

    Args:
        encoders: by name, by what their vectors are compared.
        mode: with captions or without.
        items: how many there must be.

    Raises:
        MucError: damaged, or other parts, types or shapes than such vectors have.
    """
    try:
        parts = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise MucError(f"{VECTORS} cannot be read; vectors in safetensors are expected") from error
    names = tuple(encoders)
    kinds = {"views": 3, "texts": 2} if mode == "image-text" else {"views": 3}
    expected = {f"{name}/{kind}" for name in names for kind in kinds}
    if set(parts) != expected:
        raise MucError(f"{VECTORS} holds other parts than {', '.join(sorted(expected))}")
    for name in sorted(expected):
        part, dimensions = parts[name], kinds[name.split("/")[1]]
        if part.dtype != np.float32 or part.ndim != dimensions or 0 in part.shape or part.shape[-2] != items:
            raise MucError(
                f"{name} in {VECTORS} is {part.dtype} of shape {part.shape}; float32 with {items:,} items is expected"
            )
        if not np.isfinite(part).all():
            raise MucError(f"{name} in {VECTORS} holds numbers that are not finite; no encoder's answers are")
    if mode == "image-text":
        return {
            name: ImageTextVectors(parts[f"{name}/views"], parts[f"{name}/texts"], how)
            for name, how in encoders.items()
        }
    if any(len(parts[f"{name}/views"]) < 2 for name in names):
        raise MucError(f"{VECTORS} holds a single view of each picture; comparing views takes at least 2")
    return {name: ViewVectors(parts[f"{name}/views"], how) for name, how in encoders.items()}
