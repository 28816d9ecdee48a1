"""`muc workspace`: where encoders, runs, audits and jobs are kept, and moving the index of them to a database."""

from typing import TYPE_CHECKING, Annotated

import typer

from muc_core.cli.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from muc_core.workspace.moving import Moved

app = typer.Typer(invoke_without_command=True)


@app.callback()
def main(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Show where the workspace is, or move its index; without a command, show it.

    The index lists what the folders hold, and the jobs. It is a file in the workspace, or in PostgreSQL where the
    environment variable MUC_DATABASE_URL names a database, so that several machines share one queue of jobs.
    """
    if ctx.invoked_subcommand is None:
        show(as_json=as_json)


@app.command()
def show(as_json: JsonFlag = False) -> None:
    """Show where the workspace and its index are."""
    from muc_core.workspace import Workspace

    workspace = Workspace()
    data = {"home": str(workspace.home), "index": workspace.database.name}
    emit(data, table({"": "left", " ": "left"}, data.items()), as_json=as_json)


@app.command()
def move(
    back: Annotated[bool, typer.Option("--back", help="From the database to the file in the workspace.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Move the index to the database that MUC_DATABASE_URL names (postgresql://USER:PASSWORD@HOST/DATABASE).

    No job may be queued or running. Nothing is moved in part: killed in the middle, it is where it was.
    """
    from muc_core.workspace.moving import move_index
    from muc_core.workspace.workspace import chosen_home

    moved = move_index(chosen_home(), back=back)
    data = {"index": moved.name, "jobs": moved.jobs, "moved": moved.just_now}
    emit(data, _told(moved, back), as_json=as_json)


def _told(moved: "Moved", back: bool) -> str:
    if not moved.just_now:
        return f"The index is in {moved.name} already, {moved.jobs} jobs in it."
    then = "Unset MUC_DATABASE_URL" if back else "Keep MUC_DATABASE_URL set"
    return f"The index is in {moved.name} now, {moved.jobs} jobs in it. {then} wherever this workspace is used."
