"""`muc jobs`: long work in its own process - listing, showing, following and cancelling it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from muc_core.cli.group import INTERRUPTED
from muc_core.cli.output import JsonFlag, emit, flat, moment, note, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.jobs.table import Job
    from muc_core.workspace import Workspace

Detach = Annotated[bool, typer.Option("--detach", help="Start the job and return at once.")]
Launcher = Annotated[
    str | None,
    typer.Option(
        "--launcher",
        help="By which processes: local (one, on this machine), accelerate (several, here or on other hosts) or slurm; "
        "how many and where is in launchers.toml in the workspace (docs/scale.md), and so is the default.",
        metavar="local|accelerate|slurm",
        show_default=False,
    ),
]
JobId = Annotated[str, typer.Argument(help="Id of a job, as `muc jobs` lists it.", show_default=False)]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def main(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List, show, follow, cancel or resume jobs; without a command, list them.

    Training and unlearning run as jobs, one at a time, oldest first. They survive a closed terminal or browser tab.
    """
    if ctx.invoked_subcommand is None:
        list_jobs(as_json=as_json)


@app.command("list")
def list_jobs(as_json: JsonFlag = False) -> None:
    """List the jobs, newest first."""
    from muc_core.jobs.table import JobTable
    from muc_core.workspace import Workspace

    jobs = JobTable(Workspace()).jobs()
    columns = {"id": "left", "kind": "left", "state": "left", "progress": "right", "message": "left", "created": "left"}
    rows = [
        (job.id, job.kind, job.state, f"{job.step}/{job.total}", job.error or job.message, moment(job.created))
        for job in jobs
    ]
    people = table(columns, rows) if jobs else "There are no jobs yet; `muc train` and `muc unlearn` start one."
    emit([_as_data(job) for job in jobs], people, as_json=as_json)


@app.command()
def show(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Show a job: its settings, how far it is, and its result or error."""
    from muc_core.jobs.table import JobTable
    from muc_core.workspace import Workspace

    _emit_job(JobTable(Workspace()).job(job_id), as_json=as_json)


@app.command()
def follow(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Watch a job until it is over. Ctrl-C stops watching; the job goes on."""
    from muc_core.workspace import Workspace

    try:
        job = _watch(Workspace(), job_id, quiet=as_json)
    except KeyboardInterrupt:
        note(f"The job goes on; to cancel it: muc jobs cancel {job_id}")
        raise typer.Exit(INTERRUPTED) from None
    _finish(job, as_json=as_json)


@app.command()
def cancel(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Cancel a job that waits or runs. What it saved so far stays."""
    from muc_core.jobs import launcher
    from muc_core.jobs.table import JobTable
    from muc_core.workspace import Workspace

    workspace = Workspace()
    job = JobTable(workspace).job(job_id)
    if not job.active:
        raise MucError(f"the job {job.id} is over ({job.state}); only a queued or running job can be cancelled")
    _emit_job(launcher.cancel(workspace, job_id), as_json=as_json)


@app.command()
def resume(job_id: JobId, detach: Detach = False, as_json: JsonFlag = False) -> None:
    """Go on with a job that failed, was cancelled or lost.

    Training goes on from the state it kept last, to the same weights. Ctrl-C cancels it again; `--detach` leaves it
    alone.
    """
    from muc_core.jobs import launcher
    from muc_core.workspace import Workspace

    workspace = Workspace()
    _see_through(workspace, launcher.resume(workspace, job_id), detach=detach, as_json=as_json)


@app.command()
def work(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Stop when no job waits any more, instead of waiting for the next.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Do jobs that wait on other hosts, one at a time, whenever this host has none of its own. Ctrl-C stops.

    These hosts share the workspace's folder, at the same path, and its index in a database (MUC_DATABASE_URL).
    """
    from muc_core.jobs import launcher
    from muc_core.workspace import Workspace

    try:
        for job in launcher.work(Workspace()):
            if job is not None:
                emit(
                    _as_data(job), f"{job.id} {job.kind}: {'begun here' if job.active else job.state}", as_json=as_json
                )
            elif until_empty:
                return
    except KeyboardInterrupt:
        note("No further job is taken; one that was begun goes on.")
        raise typer.Exit(INTERRUPTED) from None


def run_job(
    kind: str, settings: BaseModel, *, then: str, detach: bool, as_json: bool, launcher: str | None = None
) -> None:
    """Start a job and, unless it is detached, watch it to its end; Ctrl-C cancels it.

    Args:
        then: a command that the user may want next.
        launcher: by which processes; None: as the workspace says.

    Raises:
        MucError: the job failed or was lost; with its own words.
    """
    from muc_core.jobs import submit
    from muc_core.workspace import Workspace

    workspace = Workspace()
    job = submit(workspace, kind, settings, launcher=launcher)
    if _see_through(workspace, job, detach=detach, as_json=as_json):
        note(f"Next: {then}")


def _see_through(workspace: "Workspace", job: "Job", *, detach: bool, as_json: bool) -> bool:
    """Watch a job that was queued to its end, unless it is detached; whether it was watched. Raises `MucError`."""
    from muc_core.jobs import launcher

    if detach:
        emit(_as_data(job), f"Queued as the job {job.id}.", as_json=as_json)
        note(f"To watch it: muc jobs follow {job.id}")
        return False
    try:
        job = _watch(workspace, job.id, quiet=as_json)
    except KeyboardInterrupt:
        note("Cancelling the job ...")
        job = launcher.cancel(workspace, job.id)
    _finish(job, as_json=as_json)
    return True


def _watch(workspace: "Workspace", job_id: str, *, quiet: bool) -> "Job":
    """The job once it is over."""
    from muc_core.jobs import launcher

    with Bar(quiet=quiet) as bar:
        for job in launcher.follow(workspace, job_id):
            waiting = "waiting for another job to end" if job.state == "queued" else job.kind
            bar.report(job.step, job.total, job.message or waiting, job.values)
    return job


def _finish(job: "Job", *, as_json: bool) -> None:
    if job.state == "cancelled":
        note(f"The job {job.id} was cancelled.")
        raise typer.Exit(INTERRUPTED)
    if job.state != "done":
        raise MucError(job.error or f"the job {job.id} is {job.state}")
    seconds = job.seconds or 0
    results = ", ".join(f"{name} {value}" for name, value in job.result.items())
    figures = ", ".join(f"{name} {value:.3g}" for name, value in job.values.items())
    people = f"Done in {seconds:.0f} s: {results}" + (f" ({figures})" if figures else "")
    emit(_as_data(job), people, as_json=as_json)


def _as_data(job: "Job") -> dict[str, Any]:
    return job.model_dump(mode="json")


def _emit_job(job: "Job", *, as_json: bool) -> None:
    data = _as_data(job)
    shown = [(key, value) for key, value in flat(data) if key != "history" and value not in (None, "", {}, [], False)]
    emit(data, table({"": "left", " ": "left"}, shown), as_json=as_json)
