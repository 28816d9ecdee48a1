"""The encoders of the workspace, opened once, and what each says of itself."""

from dataclasses import dataclass, replace

import streamlit as st

import muc_core.encoders.load  # noqa: F401  (registers the families)
from dashboard.services.home import workspace as workspace
from muc_core.encoders.base import Encoder
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.encoder import FAMILY as REMOTE
from muc_core.encoders.remote.settings import SETTINGS_FILE, RemoteSettings, read_settings
from muc_core.workspace import EncoderRecord

VIEWS = 8
"""Random views of each picture where pictures are compared with changed copies of themselves."""


def encoder_records() -> list[EncoderRecord]:
    """All encoders, the shipped ones first; those that a job has added since are among them."""
    return workspace().encoders()


def encoder(name: str) -> Encoder:
    """A loaded encoder. Raises `MucError`."""
    return _encoder(name, workspace().encoder(name).manifest.content_digest)


@st.cache_resource(show_spinner="Loading the encoder ...", max_entries=8)
def _encoder(name: str, weights_digest: str) -> Encoder:
    return workspace().load(name)


def has_text(manifest: EncoderManifest) -> bool:
    """Whether an encoder reads captions. A family that is trained here says it, any other encoder must be loaded."""
    if manifest.family in FAMILIES.names():
        return FAMILIES.get(manifest.family).has_text
    return encoder(manifest.name).has_text


@dataclass(frozen=True)
class Facts:
    """What only a loaded encoder knows of itself.

    Attributes:
        dimension: length of its vectors.
        has_text: whether it reads captions.
        image_size: side of its pictures in pixels.
        preparation: what is done to a picture, a sentence without its full stop.
        size_bytes: of its files.
        service: what is sent where, for an encoder behind a URL.
    """

    dimension: int
    has_text: bool
    image_size: int
    preparation: str
    size_bytes: int
    service: str | None = None


LARGE_BYTES = 300 * 2**20
"""Larger files are not loaded for a list, which then leaves out what only the loaded encoder knows."""


def size_of(record: EncoderRecord) -> int:
    """Bytes of an encoder's files."""
    return sum((record.folder / name).stat().st_size for name in record.manifest.files)


def facts(record: EncoderRecord) -> Facts:
    """What the loaded encoder says of itself. Raises `MucError` when it cannot be loaded."""
    manifest, size = record.manifest, size_of(record)
    if manifest.family == REMOTE:
        settings = read_settings(record.folder / SETTINGS_FILE)
        sent = f"{settings.image_size} x {settings.image_size} pixels, {settings.interpolation}, sent as "
        sent += f"{settings.picture_format.upper()}; the rest is up to the service"
        title = DIALECTS.get(settings.dialect).title
        origin = origin_of_key(settings)
        key_from = "no key" if origin is None else f"key from {origin}"
        service = f"{settings.endpoint}, {title}, {settings.number_type} numbers, {key_from}"
        return Facts(settings.dimension or 0, settings.has_text, settings.image_size, sent, size, service)
    key = [manifest.content_digest]
    if manifest.family in FAMILIES.names():  # all encoders of an architecture are alike in this
        key = [manifest.family, manifest.architecture, str(manifest.preprocessing), str(manifest.output)]
    return replace(_facts("/".join(key), manifest.name), size_bytes=size)


def origin_of_key(settings: RemoteSettings) -> str | None:
    """Where the key of an encoder behind a URL comes from, in words; None when it needs none."""
    if settings.key_environment is not None:
        return f"the environment variable {settings.key_environment}"
    if settings.key_keyring is not None:
        return f"the system's keyring, {settings.key_keyring.service} / {settings.key_keyring.user}"
    return None


@st.cache_data(show_spinner="Looking at the encoders ...", max_entries=256)
def _facts(key: str, name: str) -> Facts:
    loaded = workspace().load(name)
    preprocessing = getattr(loaded, "preprocessing", None)
    side = loaded.image_size
    preparation = f"{side} x {side} pixels" if preprocessing is None else str(preprocessing)
    return Facts(loaded.dimension, loaded.has_text, side, preparation, 0)
