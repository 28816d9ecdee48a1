"""The first contact with an encoder behind a URL: what it gives for one small picture and one text, and adding it."""

import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import torch

from muc_core.encoders.manifest import EncoderManifest, check_name, installed_versions
from muc_core.encoders.remote.address import check_url
from muc_core.encoders.remote.client import Client
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.encoder import FAMILY, read_vectors
from muc_core.encoders.remote.faults import BadAnswer, EndpointFault
from muc_core.encoders.remote.pictures import encode
from muc_core.encoders.remote.settings import SETTINGS_FILE, RemoteSettings

FIRST_TEXT = "a bird"
_RETRIES = 2
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class RemoteInfo:
    """What the first contact told.

    Attributes:
        endpoint: the complete URL.
        dimension: length of the vectors.
        has_text: whether texts are embedded into vectors of the same length.
        text_refusal: why not, a sentence; None when they are.
        norm: Euclidean length of the picture's vector.
        is_normalised: whether that is 1 within a thousandth.
        number_type: in which form the numbers came.
    """

    endpoint: str
    dimension: int
    has_text: bool
    text_refusal: str | None
    norm: float
    is_normalised: bool
    number_type: str

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        length = "of length 1" if self.is_normalised else f"not normalised (length {self.norm:.3g})"
        texts = "pictures and texts" if self.has_text else "pictures only"
        return f"{self.endpoint} gives {self.dimension} numbers ({self.number_type}), {length}, for {texts}"


def connect(settings: RemoteSettings) -> RemoteInfo:
    """Send one small picture and one text and see what comes back.

    Raises:
        PrivateAddress: the address may not be contacted.
        EndpointFault: it cannot be reached or refuses the picture.
        BadAnswer: it gives something other than vectors.
        MucError: the key that the settings name is not there.
    """
    check_url(settings.endpoint, allow_private=settings.allow_private)
    dialect = DIALECTS.get(settings.dialect)
    stop = threading.Event()
    with Client(settings.model_copy(update={"retries": min(settings.retries, _RETRIES)})) as client:
        picture = encode(_first_picture(settings.image_size), settings.picture_format)
        answer = client.post(dialect.images(settings.model, [picture], settings.number_type), stop)
        (vector,) = read_vectors(answer, settings, client.endpoint, 1, None)
        row = dialect.rows(answer, settings.number_type, client.endpoint)[0]
        try:
            said = client.post(dialect.texts(settings.model, [FIRST_TEXT], settings.number_type), stop)
            read_vectors(said, settings, client.endpoint, 1, len(vector))
            text_refusal = None
        except (EndpointFault, BadAnswer) as refusal:
            text_refusal = str(refusal)
    number_type = settings.number_type
    if number_type in ("float", "base64"):
        number_type = "base64" if isinstance(row, str) else "float"
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    return RemoteInfo(
        endpoint=client.endpoint,
        dimension=len(vector),
        has_text=text_refusal is None,
        text_refusal=text_refusal,
        norm=norm,
        is_normalised=abs(norm - 1) <= _UNIT_TOLERANCE,
        number_type=number_type,
    )


def remote_manifest(
    name: str, settings: RemoteSettings, info: RemoteInfo, *, title: str | None = None
) -> tuple[EncoderManifest, dict[str, bytes]]:
    """What `Workspace.add_encoder` takes.

    Raises:
        MucError: `name` cannot name an encoder.
    """
    known = settings.model_copy(update={"dimension": info.dimension, "has_text": info.has_text})
    dialect = DIALECTS.get(settings.dialect)
    manifest = EncoderManifest(
        name=check_name(name),
        title=title or f"{settings.model or dialect.name} at {urlsplit(settings.url).hostname}",
        family=FAMILY,
        architecture=settings.model or dialect.name,
        source=f"An encoder behind a URL, asked as {dialect.title}: {info.sentence}.",
        versions=installed_versions(),
    )
    return manifest, {SETTINGS_FILE: known.to_json()}


def _first_picture(size: int) -> torch.Tensor:
    """A colour gradient, uint8 `[3, size, size]`: no service takes it for an empty picture."""
    ramp = torch.linspace(0, 255, size).to(torch.uint8)
    return torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size), ramp.flip(0).expand(size, size)])
