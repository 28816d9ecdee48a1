"""What a weight file was taken for, how sure that is, and the recognisers that may say so."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.manifest import Output
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.registry import Registry

ENOUGH = 0.95
"""Share of tensors that must fit; below, the model would be mostly random or another one."""

SHOWN = 6
"""Names of tensors that a sentence lists."""


@dataclass(frozen=True)
class Recognition:
    """What a weight file was recognised as.

    Attributes:
        format: what kind of file it is, for people, such as "MoCo checkpoint in facebookresearch's naming".
        family: loader of the encoder, such as "moco".
        architecture: as the family names it.
        preprocessing: how the model wants its pictures.
        preprocessing_source: where that comes from, a phrase.
        output: what the encoder gives; None where there is nothing to choose.
        matched: names in the file of the tensors that fit the encoder's backbone, or its towers.
        missing: what the backbone needs and the file lacks, with its shape.
        unexpected: what the file has there and the backbone does not know, with its shape.
        share: matched / (matched + missing + unexpected), from 0 to 1; 1 for files that are used as they are.
        weights: tensors to keep, in our naming; empty for files that are used as they are.
        files: files to keep as they are, by the name they get.
        others: architectures whose tensors have the very same names and shapes.
        notes: what was assumed or left out, a sentence each.
    """

    format: str
    family: str
    architecture: str
    preprocessing: Preprocessing
    preprocessing_source: str
    output: Output | None = None
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    share: float = 1.0
    weights: Mapping[str, Tensor] | None = None
    files: Mapping[str, Path] | None = None
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def confidence(self) -> str:
        """How sure it is, for people."""
        if not self.weights:
            return "used as it is; only the preprocessing can be wrong"
        total = len(self.matched) + len(self.missing) + len(self.unexpected)
        counted = f"{len(self.matched):,} of {total:,} tensors fit ({100 * self.share:.4g} %)"
        if self.share < ENOUGH or self.missing:
            return f"not recognised: {counted}"
        if self.unexpected:
            return f"probable: {counted}"
        if self.others:
            return f"certain of the tensors: {counted}; but they also fit {shortened(self.others)}"
        return f"certain: {counted}"


Recogniser: TypeAlias = Callable[[Checkpoint, str | None], Iterable[Recognition]]
"""From a checkpoint, and the architecture it is said to be, to all that it may be."""


@dataclass(frozen=True)
class Format:
    """One kind of weight file and who recognises it."""

    name: str
    recognise: Recogniser


FORMATS: Registry[Format] = Registry("format of weight files")


def shortened(names: Iterable[str], most: int = SHOWN) -> str:
    """A list for a sentence, its end left out when it is long."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
