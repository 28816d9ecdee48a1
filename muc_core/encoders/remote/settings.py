"""What is known of an encoder behind a URL: where it is, how it is spoken to, which pictures it gets; never its key."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.manifest import explain
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.numbers import NumberType
from muc_core.errors import MucError

SETTINGS_FILE = "remote.json"
"""Stored beside the manifest."""

PictureFormat = Literal["png", "jpeg"]


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; write one such as https://api.example.org/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if any(not character.isprintable() or character.isspace() for character in parts.geturl()):
        raise ValueError("has spaces or characters that cannot be shown")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user name or password in it; name an environment variable that holds the key instead")
    if parts.query or parts.fragment:
        raise ValueError("must end before ? and #; keys belong into an environment variable")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, where, parts.path.rstrip("/"), "", ""))


class KeyringEntry(BaseModel):
    """Where the operating system's keyring holds a key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    service: str = Field(min_length=1, max_length=200, description="Name of the service in the keyring.")
    user: str = Field(min_length=1, max_length=200, description="Name of the user in the keyring.")


class RemoteSettings(BaseModel):
    """How an encoder behind a URL is asked."""

    # A key that was typed into the wrong field must not come back in an error text.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_checked_url)] = Field(
        description="Address of the service, with or without the dialect's path, such as https://api.example.org/v1."
    )
    dialect: str = Field(description="How requests and answers are written.")
    model: str = Field(default="", max_length=300, description="Name of the model, as the service calls it.")
    key_environment: str | None = Field(
        default=None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="Name of the environment variable that holds the key, in capitals; not the key itself.",
    )
    key_keyring: KeyringEntry | None = Field(default=None, description="Where the keyring holds the key.")
    image_size: int = Field(default=224, ge=8, le=2048, description="Side in pixels at which pictures are sent.")
    interpolation: Interpolation = Field(
        default="bicubic", description="How pictures of another size are brought to that size."
    )
    picture_format: PictureFormat = Field(
        default="png", description="How pictures are sent; PNG keeps every pixel, JPEG (quality 95) does not."
    )
    number_type: NumberType = Field(default="float", description="In which form vectors are asked for.")
    dimension: int | None = Field(default=None, ge=1, le=65536, description="Length of the vectors; found by asking.")
    has_text: bool = Field(default=False, description="Whether texts are embedded, too; found by asking.")
    timeout_s: float = Field(default=60, gt=0, le=3600, description="Longest wait for one answer, in seconds.")
    retries: int = Field(default=5, ge=0, le=20, description="How often a request that failed for now is repeated.")
    longest_wait_s: float = Field(
        default=120, ge=0, le=3600, description="Longest pause between two tries, in seconds."
    )
    most_items: int | None = Field(
        default=None, ge=1, le=2048, description="Most pictures or texts in a request; empty: the dialect's own limit."
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="Most requests under way at once.")
    allow_private: bool = Field(
        default=False, description="Whether the address may be on this machine or inside a private network."
    )

    @model_validator(mode="after")
    def _fits_the_dialect(self) -> Self:
        dialect = DIALECTS.get(self.dialect)
        if self.number_type not in dialect.number_types:
            raise ValueError(f"{self.dialect} gives numbers as {', '.join(dialect.number_types)} only")
        if dialect.needs_model and not self.model:
            raise ValueError(f"{self.dialect} needs the name of a model")
        if self.most_items is not None and self.most_items > dialect.most_items:
            raise ValueError(f"{self.dialect} takes at most {dialect.most_items} items in a request")
        if self.key_environment is not None and self.key_keyring is not None:
            raise ValueError("the key comes from an environment variable or from the keyring, not from both")
        if self.has_key and self.url.startswith("http:") and not self.allow_private:
            raise ValueError("a key is sent over https only; use https or allow private addresses")
        return self

    @property
    def has_key(self) -> bool:
        return self.key_environment is not None or self.key_keyring is not None

    @property
    def endpoint(self) -> str:
        """The complete URL that requests go to."""
        parts = urlsplit(self.url)
        given = [part for part in parts.path.split("/") if part]
        wanted = DIALECTS.get(self.dialect).path.strip("/").split("/")
        if given[-1:] == wanted[-1:]:
            return self.url
        shared = next((k for k in range(len(wanted), 0, -1) if given[-k:] == wanted[:k]), 0)
        return urlunsplit((parts.scheme, parts.netloc, "/" + "/".join([*given, *wanted[shared:]]), "", ""))

    @property
    def items_a_request(self) -> int:
        return self.most_items or DIALECTS.get(self.dialect).most_items

    @property
    def identity(self) -> str:
        """SHA-256 over what decides the vectors: endpoint, dialect, model, how pictures are sent, kind of numbers."""
        decides = [
            self.endpoint,
            self.dialect,
            self.model,
            self.image_size,
            self.interpolation,
            self.picture_format,
            self.number_type,
        ]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()

    def to_json(self) -> bytes:
        """The content of `remote.json`."""
        return self.model_dump_json(indent=1).encode()


def read_settings(path: Path) -> RemoteSettings:
    """Read `remote.json`. Raises `MucError` when it is missing or not what `to_json` writes."""
    try:
        return RemoteSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MucError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise MucError(f"{path.name} is not that of an encoder behind a URL ({explain(error)})") from None
