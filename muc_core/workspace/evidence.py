"""The signing key of a workspace, and the evidence packs that were made here.

signing-key.pem, signing-key.pub.pem   the private key, readable by its owner alone, and the public one
evidence/ID.muc.zip                    packs
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muc_core.data.files import read_file
from muc_core.errors import MucError
from muc_core.evidence.keys import (
    Ed25519PrivateKey,
    fingerprint,
    new_key,
    read_private_key,
    read_public_key,
    write_private_key,
    write_public_key,
)
from muc_core.workspace.files import new_file, write_file, writing
from muc_core.workspace.workspace import Workspace, new_id

SUFFIX = ".muc.zip"
_MOST_BYTES_OF_A_KEY = 2**20


def key_file(workspace: Workspace) -> Path:
    """Where the workspace's private key is, or will be."""
    return workspace.home / "signing-key.pem"


def public_file(private: Path) -> Path:
    """Where the public key of a private one is."""
    return private.with_name(f"{private.stem}.pub.pem")


def make_key(workspace: Workspace, file: Path, passphrase: str | None) -> None:
    """A new private key, readable by its owner alone, and the public one beside it.

    Args:
        workspace: whose log names it.
        file: of the private key.
        passphrase: that locks it; None leaves it unlocked, so that whoever can read the file can sign.

    Raises:
        MucError: one of the two files is there already, the folder is not, or it cannot be written.
    """
    refuse_to_replace(file)
    key = new_key()
    private = write_private_key(key, passphrase)
    workspace.note("key made", {"fingerprint": fingerprint(key.public_key())})
    with new_file(file) as hidden, os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
        to.write(private)
    write_file(public_file(file), write_public_key(key.public_key()))


def refuse_to_replace(file: Path) -> None:
    """Raises `MucError` when a key of that name cannot be made: it or its public one is there, or no folder is."""
    if not file.resolve().parent.is_dir():
        raise MucError(f"there is no folder {file.resolve().parent}; make it first or write elsewhere")
    for taken in (file, public_file(file)):
        if taken.exists():
            raise MucError(f"{taken} is there already and stays as it is; name another file with --out")


def is_locked(file: Path) -> bool:
    """Whether a private key asks for a passphrase. Raises `MucError` when it cannot be read."""
    return b"ENCRYPTED" in read_key_file(file, "make a key with `muc keys new`, or name one with --key")


def open_key(file: Path, passphrase: str) -> Ed25519PrivateKey:
    """The private key of a file. Raises `MucError` when there is none or it stays locked."""
    pem = read_key_file(file, "make a key with `muc keys new`, or name one with --key")
    return read_private_key(pem, passphrase, str(file))


def fingerprint_of(file: Path) -> str:
    """Of a private key, by the public one beside it. Raises `MucError` when that is not there."""
    public = public_file(file)
    pem = read_key_file(public, "`muc keys new` makes a key and this file beside it")
    return fingerprint(read_public_key(pem, str(public)))


def read_key_file(file: Path, otherwise: str) -> bytes:
    """The content of a key's file. Raises `MucError` that ends in what to do otherwise."""
    return read_file(file, str(file), _MOST_BYTES_OF_A_KEY, otherwise=otherwise)


@dataclass(frozen=True)
class KeptPack:
    """A pack that was made here; `size` in bytes."""

    path: Path
    size: int


def packs_folder(workspace: Workspace) -> Path:
    """Where packs that were made here are kept; may be missing."""
    return workspace.home / "evidence"


def keep_pack(workspace: Workspace, content: bytes) -> Path:
    """Keep a pack under a name that sorts by age. Raises `MucError` when it cannot be written."""
    folder = packs_folder(workspace)
    with writing(folder):
        folder.mkdir(exist_ok=True)
    path = folder / f"{new_id()}{SUFFIX}"
    write_pack(workspace, path, content)
    return path


def write_pack(workspace: Workspace, path: Path, content: bytes) -> None:
    """Write a pack to any path, and its digest to the workspace's log. Raises `MucError` when it cannot be written."""
    workspace.note("evidence pack", {"file": path.name, "digest": hashlib.sha256(content).hexdigest()})
    write_file(path, content)


def kept_packs(workspace: Workspace) -> list[KeptPack]:
    """Packs that were made here, newest first."""
    return list(_packs(packs_folder(workspace)))


def _packs(folder: Path) -> Iterator[KeptPack]:
    if not folder.is_dir():
        return
    for path in sorted(folder.glob(f"[!.]*{SUFFIX}"), reverse=True):
        try:
            yield KeptPack(path, path.stat().st_size)
        except FileNotFoundError:  # deleted at this moment
            continue
