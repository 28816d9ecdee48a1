"""Where the key of a service comes from: an environment variable or the operating system's keyring, never a file."""

import os

from pydantic import SecretStr

from muc_core.encoders.remote.settings import KeyringEntry, RemoteSettings
from muc_core.errors import MucError


def read_key(settings: RemoteSettings) -> SecretStr | None:
    """The key, None when the settings name none. Raises `MucError` when there is none where they say."""
    if settings.key_environment is not None:
        return key_of_environment(settings.key_environment)
    if settings.key_keyring is not None:
        return _usable(_key_of_keyring(settings.key_keyring), "the key in the keyring")
    return None


def key_of_environment(variable: str) -> SecretStr:
    """The key that an environment variable holds. Raises `MucError`."""
    value = os.environ.get(variable, "")
    if not value.strip():
        raise MucError(f"the environment variable {variable} is not set; put the key into it and start again")
    return _usable(value, f"the key in the environment variable {variable}")


def _usable(value: str, what: str) -> SecretStr:
    key = value.strip()
    # Anything else would end up in the error text of the HTTP library.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise MucError(f"{what} has spaces or characters that no key has; set it again")
    return SecretStr(key)


def _key_of_keyring(entry: KeyringEntry) -> str:
    import keyring
    from keyring.errors import KeyringError

    try:
        key = keyring.get_password(entry.service, entry.user)
    except KeyringError as error:
        # "from None": a keyring's error may quote what it holds
        raise MucError(
            f"the operating system's keyring cannot be read ({type(error).__name__}); put the key into an environment "
            "variable and name that instead"
        ) from None
    if not key:
        raise MucError(
            f"the keyring has no key for the service {entry.service!r} and the user {entry.user!r}; add it with "
            f"`keyring set {entry.service} {entry.user}`"
        )
    return key
