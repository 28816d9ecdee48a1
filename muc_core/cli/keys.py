"""`muc keys`: the key that evidence is signed with."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muc_core.cli.output import JsonFlag, emit
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.evidence.keys import Ed25519PrivateKey

PASSPHRASE = "MUC_KEY_PASSPHRASE"
"""Environment variable with the passphrase, for programs; people are asked."""

app = typer.Typer(invoke_without_command=True)


@app.callback()
def main(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Make or show the key that evidence is signed with (Ed25519); without a command, show it.

    The passphrase is asked for, or taken from the environment variable MUC_KEY_PASSPHRASE.
    """
    if ctx.invoked_subcommand is None:
        show(as_json=as_json)


@app.command()
def new(
    out: Annotated[
        Path | None,
        typer.Option(help="File for the private key; otherwise one in the workspace.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key: the private one, readable by you alone and under a passphrase, and beside it the public one.

    Give the public file, or its fingerprint, to those who will check your evidence.
    """
    from muc_core.evidence.keys import new_key, write_private_key, write_public_key
    from muc_core.workspace.files import new_file, write_file

    file = out or _key_of_the_workspace()
    public = _public_file(file)
    if not file.resolve().parent.is_dir():
        raise MucError(f"there is no folder {file.resolve().parent}; make it first or write elsewhere")
    for taken in (file, public):
        if taken.exists():
            raise MucError(f"{taken} is there already and stays as it is; name another file with --out")
    key = new_key()
    private = write_private_key(key, passphrase(f"Passphrase for {file}", confirm=True))
    with new_file(file) as hidden, os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
        to.write(private)
    write_file(public, write_public_key(key.public_key()))
    _tell(file, as_json=as_json)


@app.command()
def show(
    key: Annotated[
        Path | None,
        typer.Option(help="File of the private key; otherwise the one in the workspace.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show where the key is, and the public key with its fingerprint."""
    _tell(key or _key_of_the_workspace(), as_json=as_json)


def passphrase(question: str, *, confirm: bool = False) -> str:
    """From the environment, or asked. Raises `MucError` where there is nobody to ask."""
    given = os.environ.get(PASSPHRASE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise MucError(f"the passphrase of the key is needed; set the environment variable {PASSPHRASE}")
    return str(typer.prompt(question, hide_input=True, confirmation_prompt=confirm))


def signing_key(file: Path | None) -> "Ed25519PrivateKey":
    """The private key of a file, or of the workspace. Raises `MucError` when there is none or it stays locked."""
    from muc_core.evidence.keys import read_private_key

    file = file or _key_of_the_workspace()
    pem = read_file(file, "make a key with `muc keys new`, or name one with --key")
    return read_private_key(pem, passphrase(f"Passphrase of {file}") if b"ENCRYPTED" in pem else "", str(file))


def read_file(file: Path, otherwise: str) -> bytes:
    """A small file's bytes. Raises `MucError` that ends in what to do otherwise."""
    try:
        with file.open("rb") as stream:
            return stream.read(2**20)
    except OSError as error:
        raise MucError(f"{file} cannot be read ({error.strerror or error}); {otherwise}") from error


def _tell(file: Path, *, as_json: bool) -> None:
    from muc_core.evidence.keys import fingerprint, read_public_key

    public = _public_file(file)
    pem = read_file(public, "`muc keys new` makes a key and this file beside it")
    mark = fingerprint(read_public_key(pem, str(public)))
    people = f"private key  {file}\npublic key   {public}\nfingerprint  {mark}\n\n{pem.decode(errors='replace')}"
    emit({"private": str(file), "public": str(public), "fingerprint": mark}, people, as_json=as_json)


def _public_file(file: Path) -> Path:
    return file.with_name(f"{file.stem}.pub.pem")


def _key_of_the_workspace() -> Path:
    from muc_core.workspace import Workspace

    return Workspace().home / "signing-key.pem"
