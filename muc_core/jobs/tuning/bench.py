"""Where encoders and strengths are measured, each once: what was found is kept in the workspace.

    measurements/KEY.json  one encoder; KEY is made of its weights, the original, the pictures and the yardstick

A sweep that was cancelled therefore goes on where it stopped, and a search finds what the sweep has measured.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import AuditResult
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import full, half, load_weights
from muc_core.encoders.family import FAMILIES, Family
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.weakest import Trial
from muc_core.evaluation.weights import at_strength
from muc_core.jobs.tuning.measure import (
    Figures,
    Looks,
    Material,
    Yardstick,
    answer_of,
    audit_inputs,
    figures,
    hopeless,
    look,
    open_material,
)
from muc_core.near_duplicates import honesty_checks
from muc_core.progress import SILENT, Progress
from muc_core.workspace import EncoderRecord, Workspace
from muc_core.workspace.files import write_file, writing

FOLDER = "measurements"
_FORMAT = 2


class Measured(BaseModel):
    """What was found of one encoder: figures, or why there are none.

    Attributes:
        figures: None when the encoder cannot be audited.
        refused: why not, a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    figures: Figures | None = None
    refused: str | None = None

    def trial(self, value: float) -> Trial:
        """The same as an answer in a search for the weakest value."""
        if self.figures is None:
            return Trial(value=value, answer="cannot tell", effect=None)
        result = self.figures.audit
        return Trial(
            value=value,
            answer=answer_of(result),
            effect=result.findings["trace"].effect.value,
            hopeless=hopeless(result),
        )


@dataclass(frozen=True)
class Subject:
    """Something to measure: an encoder of the workspace, or a strength on the line to it.

    Attributes:
        encoder: its record.
        strength: 0 is the original, 1 the encoder itself.
    """

    encoder: EncoderRecord
    strength: float = 1.0


class Bench:
    """Measures encoders that were made from one original with one forget set.

    Args:
        workspace: where the encoders are and the figures are kept.
        original: name of the encoder before.
        reference: data and split of an unlearned encoder, which say what was to be forgotten.
        yardstick: how to measure.
        material: the pictures, when they are at hand.

    Raises:
        UnknownName: no such encoder.
        MucError: a family that is not trained here, or data that cannot be used.
    """

    def __init__(
        self,
        workspace: Workspace,
        original: str,
        reference: DataReference,
        yardstick: Yardstick,
        *,
        material: Material | None = None,
    ) -> None:
        self.workspace = workspace
        self.original = workspace.encoder(original)
        self.yardstick = yardstick
        self.family = _trainable(self.original.manifest)
        self.material = material or open_material(reference, reads_text=self.family.has_text, seed=yardstick.seed)

    def key(self, subject: Subject) -> str:
        """Names the figures of a subject; the same encoder has the same name however it is asked for."""
        manifest = subject.encoder.manifest
        what: list[object] = [manifest.content_digest]
        if subject.strength == 0:
            what = [self.original.manifest.content_digest]
        elif subject.strength != 1:
            what = [self.original.manifest.content_digest, manifest.content_digest, round(subject.strength, 6)]
        content = {
            "format": _FORMAT,
            "original": self.original.manifest.content_digest,
            "encoder": what,
            "pictures": self.material.digests,
            "with text": self.material.with_text,
            "yardstick": self.yardstick.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def read(self, subject: Subject) -> Measured | None:
        """What was found before; None when nothing was, or its file is damaged."""
        return read_measured(self.workspace, self.key(subject))

    def measure(self, subject: Subject, progress: Progress = SILENT) -> Measured:
        """The figures of a subject, measured unless they are known.

        Raises:
            MucError: encoders that no line joins, weights that are not those saved, a full disk.
            Cancelled: from `progress`.
        """
        found = self.read(subject)
        if found is not None:
            return found
        encoder = self.encoder(subject)
        try:
            found = Measured(figures=self.look_at(encoder, progress))
        except MucError as refusal:
            found = Measured(refused=str(refusal))
        path = measured_path(self.workspace, self.key(subject))
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, found.model_dump_json().encode())
        return found

    def look_at(self, encoder: Encoder, progress: Progress = SILENT) -> Figures:
        """The figures of any encoder; nothing is kept. Raises `MucError` when it cannot be audited, `Cancelled`."""
        looks = look(encoder, self.material, self.yardstick, progress)
        return figures(self._audited(encoder, looks, progress)[1], looks, *self._how)

    def audit_inputs(self, encoder: Encoder, progress: Progress = SILENT) -> AuditInputs:
        """What the audit of any encoder is computed from; nothing is kept. Raises `MucError`, `Cancelled`."""
        return self._audited(encoder, look(encoder, self.material, self.yardstick, progress), progress)[0]

    def _audited(self, encoder: Encoder, looks: Looks, progress: Progress) -> tuple[AuditInputs, AuditResult]:
        """Inputs and result of an audit, probed where the verdict would be "forgotten"."""
        inputs = audit_inputs(self._before, looks, *self._how)
        result = inputs.result()
        if not self.yardstick.probes or result.verdict != "forgotten":
            return inputs, result
        pictures = self.material.forget, self.material.controls
        checks = honesty_checks(self._original, encoder, *pictures, seed=self.yardstick.seed, progress=progress)
        inputs = replace(inputs, checks=(*inputs.checks, *checks))
        return inputs, inputs.result()

    def encoder(self, subject: Subject) -> Encoder:
        """The loaded encoder, or the one at a strength."""
        manifest = subject.encoder.manifest
        if subject.strength == 1:
            return self.workspace.load(manifest.name)
        return self.family.encoder(self.weights(subject), manifest)

    def weights(self, subject: Subject) -> dict[str, Tensor]:
        """What is saved at a strength, and so what is measured: in half precision, back in full.

        Raises:
            MucError: encoders that no line joins.
        """
        check_pair(self.original.manifest, subject.encoder.manifest)
        moved = at_strength(self._start, self._finished(subject.encoder), subject.strength)
        return full(half(moved))

    @property
    def _how(self) -> tuple[Material, Yardstick]:
        return self.material, self.yardstick

    @cached_property
    def _original(self) -> Encoder:
        return self.workspace.load(self.original.manifest.name)

    @cached_property
    def _before(self) -> Looks:
        return look(self._original, self.material, self.yardstick)

    @cached_property
    def _start(self) -> Mapping[str, Tensor]:
        return self._finished(self.original)

    def _finished(self, record: EncoderRecord) -> dict[str, Tensor]:
        # what only training needs, such as a momentum encoder, is there in some and not in others
        return self.family.finished(load_weights(record.weights))


def check_pair(original: EncoderManifest, unlearned: EncoderManifest) -> None:
    """Whether a line joins two encoders. Raises `MucError` when none does."""
    for manifest in (original, unlearned):
        _trainable(manifest)
    kinds = [f"{manifest.family} {manifest.architecture}" for manifest in (original, unlearned)]
    if kinds[0] != kinds[1]:
        raise MucError(
            f"{original.name!r} is a {kinds[0]} and {unlearned.name!r} a {kinds[1]}; a strength dial needs two "
            "encoders of one architecture"
        )
    if unlearned.original != original.name:
        raise MucError(
            f"{unlearned.name!r} was not made from {original.name!r}"
            + (f" but from {unlearned.original!r}" if unlearned.original else "")
            + "; a strength dial joins an encoder with the one that it was unlearned from"
        )
    if unlearned.method == "retrain":
        raise MucError(
            f"{unlearned.name!r} was trained anew from other initial weights, so that nothing useful lies on the line "
            f"between it and {original.name!r}; choose an encoder that was unlearned"
        )


def reference_of(unlearned: EncoderManifest) -> DataReference:
    """Data and split of an unlearned encoder. Raises `MucError` when they are unknown or name no forget set."""
    if unlearned.data is None:
        raise MucError(
            f"it is not known what {unlearned.name!r} was trained on and was to forget; choose an encoder that was "
            "unlearned here"
        )
    return unlearned.data


def measured_path(workspace: Workspace, key: str) -> Path:
    """Where the figures under a key are kept."""
    return workspace.home / FOLDER / f"{key}.json"


def read_measured(workspace: Workspace, key: str) -> Measured | None:
    """The figures under a key; None when there are none, or their file is damaged."""
    try:
        return Measured.model_validate_json(measured_path(workspace, key).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def siblings(workspace: Workspace, original: str, reference: DataReference) -> list[EncoderRecord]:
    """Encoders made from the original with the same data and forget set, saved strengths left out; oldest first."""
    return [
        record
        for record in workspace.encoders()
        if record.manifest.original == original
        and record.manifest.data is not None
        and record.manifest.data.digest == reference.digest
        and set(record.manifest.data.split.forget) == set(reference.split.forget)
        and record.manifest.family in FAMILIES.names()
        and "strength" not in record.manifest.settings
    ]


def _trainable(manifest: EncoderManifest) -> Family:
    if manifest.family not in FAMILIES.names():
        raise MucError(
            f"{manifest.name!r} is opened as {manifest.family}, which answers questions but whose weights cannot be "
            f"changed here; choose an encoder of {', '.join(FAMILIES.names())}"
        )
    return FAMILIES.get(manifest.family)
