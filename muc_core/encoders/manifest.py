"""What is written beside the weights of an encoder and into the folder of a run: settings, seeds, versions, digests.

The models are frozen and refuse unknown fields, so that a manifest read back is the manifest written, or an error that
names the field.
"""

import hashlib
import json
import math
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

import muc_core
from muc_core.data.splits import DataSplit
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MucError

SCHEMA_VERSION = 1
"""Raised whenever an older program could misread a manifest."""

WEIGHTS = "weights.safetensors"
"""The weights of an encoder whose family is built here; others bring files of their own."""

RunState = Literal["running", "done", "failed", "cancelled"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RECORDED_PACKAGES = ("torch", "torchvision", "open_clip_torch", "timm", "numpy", "pillow")


def check_name(name: str) -> str:
    """The name itself. Raises `MucError` when it cannot name an encoder (and a folder on every system)."""
    if not _NAME.fullmatch(name):
        raise MucError(
            f"{name!r} cannot be the name of an encoder; use 1 to 64 lower-case letters, digits, dots, dashes and "
            "underscores, beginning with a letter or digit"
        )
    return name


def utc_now() -> str:
    """This moment in UTC as ISO 8601 with milliseconds: sorts as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def installed_versions() -> dict[str, str]:
    """Versions of what decides the numbers: Python, this library and the packages that compute."""
    versions = {"python": platform.python_version(), "muc-audit": muc_core.__version__}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def explain(error: ValidationError) -> str:
    """The faults that pydantic found, as one line: `field: what is wrong; field: what is wrong`."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'content'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False)
    ]
    shown = "; ".join(faults[:3])
    return shown if len(faults) <= 3 else f"{shown}; and {len(faults) - 3} more"


def _check_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write ISO 8601 in UTC such as 2025-01-31T12:00:00.000+00:00")
    return text


def _check_finite(settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
    def walk(value: JsonValue, where: str) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where} is {value}; settings must be finite numbers")
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{where}.{key}")
        if isinstance(value, list):
            for inner in value:
                walk(inner, where)

    for key, value in settings.items():
        walk(value, key)
    return settings


Output = Literal["projections", "features"]
Name = Annotated[str, AfterValidator(check_name)]
Moment = Annotated[str, AfterValidator(_check_moment)]
Settings = Annotated[dict[str, JsonValue], AfterValidator(_check_finite)]


class _Manifest(BaseModel):
    # Metrics may be infinite or not a number; JSON has no word for it, so they are written as text and read back.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class DataReference(_Manifest):
    """The data an encoder was trained on.

    Attributes:
        spec: what `load_dataset` accepts, such as "demo" or a path.
        digest: of the whole data set, `ImageTextDataset.digest()`.
        split: which ids were trained on, forgotten, held out.
    """

    spec: str
    digest: str
    split: DataSplit


class EncoderManifest(_Manifest):
    """What is known of one encoder.

    Attributes:
        name: names the encoder everywhere; see `check_name`.
        title: the same for people.
        family: such as "clip".
        architecture: a name that the family can build.
        method: the unlearning method that made it; None for an original encoder.
        original: name of the encoder it was made from; None for an original encoder.
        settings: of the training or unlearning, as its settings model dumps them.
        seeds: by concern (split, weights, order, views).
        data: the data and its split; None when it is unknown (an encoder from elsewhere).
        versions: of Python and the packages, see `installed_versions`.
        source: where an encoder from elsewhere came from and as what it was recognised, a sentence; None: made here.
        preset: name of the preset it was trained with, whose unlearning settings suit it.
        preprocessing: None means that of the architecture.
        output: what the black box gives of a two-view encoder, its projections z or its features h; None: projections
            when it has a projection head.
        classes: names of the classes that a classifier tells apart, in the order of its outputs.
        files: SHA-256 of each file beside the manifest, by file name; filled in when the encoder is saved.
        weights_digest: SHA-256 of weights.safetensors, or over all files where there are others.
        run_time_s: seconds of training or unlearning (RTE).
        views: picture views drawn in training or unlearning; None: not counted.
        metrics: by name.
        run: id of the run that made it.
        created: ISO 8601, UTC.
    """

    schema_version: int = SCHEMA_VERSION
    name: Name
    title: str
    family: str
    architecture: str
    method: str | None = None
    original: str | None = None
    settings: Settings = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    data: DataReference | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    source: str | None = None
    preset: str | None = None
    preprocessing: Preprocessing | None = None
    output: Output | None = None
    classes: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    weights_digest: str = ""
    run_time_s: float | None = None
    views: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    run: str | None = None
    created: Moment = Field(default_factory=utc_now)

    @model_validator(mode="after")
    def _files_include_the_weights(self) -> "EncoderManifest":
        if self.weights_digest and not self.files:  # written before other files were possible
            self.files[WEIGHTS] = self.weights_digest
        return self

    def with_files(self, digests: dict[str, str]) -> "EncoderManifest":
        """The manifest with the SHA-256 of its files by name, and the digest over them."""
        only_weights = set(digests) == {WEIGHTS}
        digest = digests[WEIGHTS] if only_weights else _digest_of(sorted(digests.items()))
        return self.model_copy(update={"files": digests, "weights_digest": digest})

    @property
    def content_digest(self) -> str:
        """Changes whenever the vectors may change: the files, and how they are used. Caches are keyed by it."""
        if self.preprocessing is None and self.output is None:
            return self.weights_digest
        prepared = None if self.preprocessing is None else self.preprocessing.model_dump()
        return _digest_of([self.weights_digest, prepared, self.output])


def _digest_of(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class CheckpointEntry(_Manifest):
    """One checkpoint of a run, stored as checkpoints/STEP.safetensors.

    Attributes:
        step: optimiser steps done, from 0.
        epoch: epochs done, fractions allowed.
        digest: SHA-256 of the file.
        values: loss terms and metrics at this point, by name.
    """

    step: int = Field(ge=0)
    epoch: float
    digest: str
    values: dict[str, float] = Field(default_factory=dict)


class RunManifest(_Manifest):
    """What is known of one training or unlearning run; fields as in `EncoderManifest`, and:

    Attributes:
        id: time stamp and random letters; sorts by age.
        kind: "train", "unlearn" or whatever else makes encoders.
        state: as last written; a run whose process died still says "running" here, see `RunRecord.state`.
        finished: ISO 8601, UTC; None while it runs.
        error: why it failed, a sentence.
        encoder: name of the encoder it yielded.
        job: id of the job it ran in.
        checkpoints: in the order of steps.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    kind: str
    title: str
    family: str
    architecture: str
    method: str | None = None
    original: str | None = None
    settings: Settings = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    data: DataReference | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    state: RunState = "running"
    created: Moment = Field(default_factory=utc_now)
    finished: Moment | None = None
    error: str | None = None
    run_time_s: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    encoder: str | None = None
    job: str | None = None
    checkpoints: tuple[CheckpointEntry, ...] = ()


class AuditManifest(_Manifest):
    """What is known of one saved audit.

    Attributes:
        id: time stamp and random letters; sorts by age.
        before, after: names of the encoders compared.
        digests: what went in, by name (encoders, items, controls).
        files: SHA-256 of each file beside the manifest, by file name.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    title: str
    before: str
    after: str
    settings: Settings = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    created: Moment = Field(default_factory=utc_now)
