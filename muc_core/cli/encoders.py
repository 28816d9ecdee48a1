"""`muc encoders`: which encoders there are, what is known of one, and removing one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from muc_core.cli.output import JsonFlag, emit, flat, moment, table

if TYPE_CHECKING:
    from muc_core.workspace import EncoderRecord

app = typer.Typer(help="List, show or remove encoders.", invoke_without_command=True, add_completion=False)

Name = Annotated[str, typer.Argument(help="Name of an encoder, as `muc encoders` lists it.", show_default=False)]


@app.callback()
def main(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List, show or remove encoders; without a command, list them.

    The workspace is the folder MUC_HOME, or one in your user data directory.
    """
    if ctx.invoked_subcommand is None:
        list_encoders(as_json=as_json)


@app.command("list")
def list_encoders(as_json: JsonFlag = False) -> None:
    """List the encoders of the workspace and of the demo."""
    from muc_core.workspace import Workspace

    records = Workspace().encoders()
    nothing = "There are no encoders yet; `muc train` makes one, `muc demo build` those of the demo."
    emit([as_data(record) for record in records], encoder_table(records) if records else nothing, as_json=as_json)


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """Show what is known of an encoder: how it was made, on which data, with which settings and seeds."""
    from muc_core.workspace import Workspace

    record = Workspace().encoder(name)
    rows = [(key, value) for key, value in flat(as_data(record)) if value not in (None, {}, [])]
    emit(as_data(record), table({"": "left", " ": "left"}, rows, title=record.manifest.title), as_json=as_json)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove an encoder from the workspace. The demo's encoders stay."""
    from muc_core.workspace import Workspace

    workspace = Workspace()
    record = workspace.encoder(name)
    if not yes:
        typer.confirm(f"Remove the encoder {name} and its weights from {record.folder}?", abort=True, err=True)
    workspace.delete_encoder(name)
    emit({"removed": name}, f"Removed {name}.", as_json=as_json)


def as_data(record: "EncoderRecord") -> dict[str, Any]:
    """An encoder for `--json`: its manifest and where it lies."""
    return {**record.manifest.model_dump(mode="json"), "folder": str(record.folder), "shipped": record.shipped}


def encoder_table(records: Iterable["EncoderRecord"]) -> Table:
    columns = {
        "name": "left",
        "method": "left",
        "made from": "left",
        "architecture": "left",
        "created": "left",
        "": "left",
    }
    rows = [
        (
            record.manifest.name,
            record.manifest.method or "original",
            record.manifest.original,
            record.manifest.architecture,
            moment(record.manifest.created),
            "demo" if record.shipped else "",
        )
        for record in records
    ]
    return table(columns, rows)
