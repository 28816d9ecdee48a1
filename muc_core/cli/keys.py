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

PASSPHRASE = "MUC_KEY_PASSPHRASE"  # nosec B105
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
    no_passphrase: Annotated[
        bool,
        typer.Option("--no-passphrase", help="Leave the key unlocked: whoever can read its file can sign."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a key: the private one, readable by you alone and under a passphrase, and beside it the public one.

    Give the public file, or its fingerprint, to those who will check your evidence.
    """
    from muc_core.workspace import Workspace
    from muc_core.workspace.evidence import key_file, make_key, refuse_to_replace

    workspace = Workspace()
    file = out or key_file(workspace)
    refuse_to_replace(file)
    make_key(workspace, file, None if no_passphrase else passphrase(f"Passphrase for {file}", confirm=True))
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
    from muc_core.workspace.evidence import is_locked, open_key

    file = file or _key_of_the_workspace()
    return open_key(file, passphrase(f"Passphrase of {file}") if is_locked(file) else "")


def _tell(file: Path, *, as_json: bool) -> None:
    from muc_core.workspace.evidence import fingerprint_of, public_file, read_key_file

    public, mark = public_file(file), fingerprint_of(file)
    pem = read_key_file(public, "make it anew with `muc keys new`").decode(errors="replace")
    people = f"private key  {file}\npublic key   {public}\nfingerprint  {mark}\n\n{pem}"
    emit({"private": str(file), "public": str(public), "fingerprint": mark}, people, as_json=as_json)


def _key_of_the_workspace() -> Path:
    from muc_core.workspace import Workspace
    from muc_core.workspace.evidence import key_file

    return key_file(Workspace())
