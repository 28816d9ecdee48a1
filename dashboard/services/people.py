"""Who uses the pages: whoever logged in, if secrets.toml asks for a login; otherwise whoever runs the server.

Streamlit itself would take a secrets.toml that it cannot read for one that asks for no login. Here that is a fault, and
nobody gets in before it is mended.
"""

import ipaddress
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import httpx
import streamlit as st
from authlib.oidc.discovery import OpenIDProviderMetadata
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.services.roles import Role, RoleSettings, User
from muc_core.encoders.manifest import explain
from muc_core.errors import MucError
from muc_core.workspace.log import system_user

ANSWER_WITHIN_S = 5.0
CALLBACK = "/oauth2callback"
EVERYTHING: frozenset[Role] = frozenset({"engineer"})


_Model = TypeVar("_Model", bound=BaseModel)


class NotLoggedIn(MucError):
    """Somebody has yet to log in, or to do so anew."""


class NoRole(MucError):
    """Somebody is logged in and has no role here; `who` as the log names them."""

    def __init__(self, message: str, who: str) -> None:
        super().__init__(message)
        self.who = who


def _check_address(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname or "")):
        return address
    raise ValueError("must begin with https://, or lead to this machine")


def _check_callback(address: str) -> str:
    if not address.endswith(CALLBACK):
        raise ValueError(f"must end in {CALLBACK}")
    return address


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(_check_address)]


class AuthSettings(BaseModel):
    """The table [auth] of secrets.toml, which Streamlit reads too."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    redirect_uri: Annotated[Address, AfterValidator(_check_callback)]
    cookie_secret: str = Field(min_length=32)
    client_id: str = Field(min_length=1)
    client_secret: str = Field(min_length=1)
    server_metadata_url: Address
    client_kwargs: dict[str, JsonValue] = {}


@dataclass(frozen=True)
class LoginSettings:
    """How people log in, and who is what."""

    auth: AuthSettings
    roles: RoleSettings


def login_settings() -> LoginSettings | None:
    """None: nobody is asked to log in. Raises `MucError` naming the field when secrets.toml is not as it must be."""
    found = _secrets()
    if "auth" not in found:
        if "roles" in found:
            raise MucError("secrets.toml has the table [roles] and no [auth]: say in [auth] how people log in")
        return None
    if "roles" not in found:
        raise MucError("secrets.toml has the table [auth] and no [roles]: say in [roles] who is what")
    return LoginSettings(_table("auth", AuthSettings, found), _table("roles", RoleSettings, found))


def asks_for_login() -> bool:
    """Whether nobody gets in without a name, also because secrets.toml is not as it must be."""
    try:
        return login_settings() is not None
    except MucError:
        return True


def _secrets() -> Mapping[str, object]:
    try:
        return st.secrets.to_dict()
    except StreamlitSecretNotFoundError as error:
        if any(os.path.lexists(path) for path in st.get_option("secrets.files")):
            raise MucError(f"secrets.toml cannot be used: {error}") from error
        return {}
    except (OSError, ValueError) as error:
        raise MucError(f"secrets.toml cannot be read ({error})") from error


def _table(name: str, model: type[_Model], found: Mapping[str, object]) -> _Model:
    try:
        return model.model_validate(found[name])
    except ValidationError as error:
        raise MucError(f"the table [{name}] of secrets.toml is not complete or not right ({explain(error)})") from error


def current_user() -> User:
    """Who uses this page.

    Raises:
        NotLoggedIn: nobody yet.
        NoRole: somebody who may do nothing here.
        MucError: secrets.toml is not as it must be.
    """
    settings = login_settings()
    if settings is None:
        who = system_user()
        return User(who, who.partition(":")[2], EVERYTHING)
    claims = logged_in(settings)
    if claims is None:
        raise NotLoggedIn("nobody is logged in here any more; load the page anew to log in")
    name = settings.roles.name_of(claims)
    who = f"login:{name}"
    roles = settings.roles.of(claims)
    if not roles:
        raise NoRole(
            f"you are logged in as {name}, and nobody said what you may do here: ask {settings.roles.contact}", who
        )
    return User(who, str(claims.get("name") or name), roles, since=claims["iat"])


def logged_in(settings: LoginSettings) -> Mapping[str, Any] | None:
    """The claims of whoever logged in, not too long ago; None: nobody."""
    claims = st.user.to_dict()
    if claims.get("is_logged_in") is not True:
        return None
    issued = claims.get("iat")
    age = time.time() - issued if isinstance(issued, int | float) else float("inf")
    return claims if age < settings.roles.hours * 3600 else None


def provider_fault(settings: LoginSettings) -> str | None:
    """Why nobody can log in just now, a sentence; None when the login service answers as it should."""
    address = settings.auth.server_metadata_url
    host = urlsplit(address).netloc
    try:
        answer = httpx.get(address, timeout=ANSWER_WITHIN_S, follow_redirects=True)
        answer.raise_for_status()
        metadata = OpenIDProviderMetadata(answer.json())
        # Of all that the standard asks of it no more than what a login takes.
        metadata.validate_issuer()
        metadata.validate_authorization_endpoint()
        metadata.validate_token_endpoint()
        metadata.validate_jwks_uri()
    except httpx.HTTPStatusError as error:
        return f"the login service at {host} answered {error.response.status_code}"
    except httpx.HTTPError:
        return f"the login service at {host} does not answer"
    except (ValueError, TypeError) as error:
        return f"the login service at {host} does not say how to log in ({error})"
    return None
