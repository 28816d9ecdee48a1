"""Ed25519 keys (RFC 8032) in PEM: the private one under a passphrase (PKCS #8) if its owner wants, the public one to be
handed around."""

import hashlib

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from muc_core.errors import MucError

__all__ = [
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "fingerprint",
    "is_signed",
    "new_key",
    "read_private_key",
    "read_public_key",
    "write_private_key",
    "write_public_key",
]


def new_key() -> Ed25519PrivateKey:
    """A new private key from the operating system's randomness."""
    return Ed25519PrivateKey.generate()


def write_private_key(key: Ed25519PrivateKey, passphrase: str | None) -> bytes:
    """The private key as PEM, encrypted unless the passphrase is None. Raises `MucError` for an empty passphrase."""
    if passphrase == "":  # nosec B105
        raise MucError("the passphrase is empty; a signing key needs one, because whoever reads its file could sign")
    lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def write_public_key(key: Ed25519PublicKey) -> bytes:
    """The public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_private_key(pem: bytes, passphrase: str, name: str) -> Ed25519PrivateKey:
    """The private key of a PEM file.

    Args:
        name: of the file, for messages.

    Raises:
        MucError: the passphrase is wrong, or the file holds no Ed25519 key.
    """
    if b"PRIVATE KEY-----" not in pem:
        raise MucError(f"{name} holds no private key; `muc keys new` makes one")
    try:
        key = load_pem_private_key(pem, passphrase.encode() if b"ENCRYPTED" in pem else None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        raise MucError(f"{name} cannot be opened: the passphrase is wrong, or the file is damaged") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise MucError(f"{name} holds a key of another kind; Ed25519 is accepted, as `muc keys new` makes it")
    return key


def read_public_key(pem: bytes, name: str) -> Ed25519PublicKey:
    """The public key of a PEM file. Raises `MucError`, naming the file, when it holds no Ed25519 public key."""
    try:
        if not pem.startswith(b"-----BEGIN PUBLIC KEY-----"):
            raise ValueError("a key somewhere within another file, such as a pack, is not what was meant")
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise MucError(f"{name} holds no public key; give the file that `muc keys new` wrote beside the key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise MucError(f"{name} holds a key of another kind; Ed25519 is accepted, as `muc keys new` makes it")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key, in hexadecimal: short enough to be read out and compared."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def is_signed(content: bytes, signature: bytes, key: Ed25519PublicKey) -> bool:
    """Whether the signature is this key's over this content."""
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
