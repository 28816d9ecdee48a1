"""Keys: what is written is read, and what is none ends in a sentence."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from muc_core.errors import MucError
from muc_core.evidence.keys import new_key, read_private_key, read_public_key, write_private_key, write_public_key


@pytest.mark.parametrize("passphrase", [None, "a b c"])
def test_what_is_written_is_read(passphrase: str | None) -> None:
    key = new_key()
    again = read_private_key(write_private_key(key, passphrase), passphrase or "", "key.pem")
    assert again.private_bytes_raw() == key.private_bytes_raw()
    public = read_public_key(write_public_key(key.public_key()), "key.pub.pem")
    assert public.public_bytes_raw() == key.public_key().public_bytes_raw()


def test_what_is_no_key_is_refused() -> None:
    sound = write_private_key(new_key(), None)
    # the number of Ed25519 made that of X448, whose keys are longer: an internal error of OpenSSL
    der = base64.b64decode(b"".join(sound.splitlines()[1:-1])).replace(b"\x2b\x65\x70", b"\x2b\x65\x6f")
    longer = b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der) + b"\n-----END PRIVATE KEY-----\n"
    for pem in (longer, sound.replace(b"MC4", b"AAA"), write_private_key(new_key(), "right")):
        with pytest.raises(MucError, match=r"key\.pem cannot be opened"):
            read_private_key(pem, "wrong", "key.pem")
    other = X25519PrivateKey.generate()
    private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(MucError, match="of another kind"):
        read_private_key(private, "", "key.pem")
    with pytest.raises(MucError, match="of another kind"):
        read_public_key(public, "key.pub.pem")
    for pem in (b"", b"no key", sound):
        with pytest.raises(MucError, match="holds no public key"):
            read_public_key(pem, "key.pub.pem")
    with pytest.raises(MucError, match="the passphrase is empty"):
        write_private_key(new_key(), "")
