"""`muc log`: who did what in this workspace, and whether the log is as it was written."""

from typing import Annotated

import typer

from muc_core.cli.output import JsonFlag, emit, moment, note, table
from muc_core.errors import MucError

CHANGED = 20
"""Exit code when something was changed or is missing, as that of `muc verify`."""


def log(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the chain: is no entry changed or missing? Exit code 20 if one is.")
    ] = False,
    holds: Annotated[
        str | None,
        typer.Option(
            help="With --verify: a digest that was noted earlier and must still be that of an entry.",
            metavar="DIGEST",
            show_default=False,
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="How many entries to print, the latest.", metavar="N")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Show who did what in this workspace: logins, audits, jobs, encoders added and removed, evidence, refusals.

    Each entry holds the digest of the one before. Note the last digest elsewhere: whoever may write to the workspace
    could begin the chain anew, and only that digest would show it.

    Example: `muc log --verify --holds DIGEST`
    """
    from muc_core.workspace import Workspace

    if holds is not None and not verify:
        raise MucError("--holds says what the log must hold when it is checked; add --verify")
    log = Workspace().log
    found = log.read()
    if not verify:
        entries = found.entries[-last:]
        rows = [
            (
                entry.number,
                moment(entry.when),
                entry.who,
                entry.what,
                ", ".join(f"{name} {_short(value)}" for name, value in entry.which.items()),
            )
            for entry in entries
        ]
        columns = {"number": "right", "when": "left", "who": "left", "what": "left", "which": "left"}
        people = table(columns, rows) if rows else "Nothing was logged yet."
        emit([entry.model_dump() for entry in entries], people, as_json=as_json)
        for fault in (*found.faults, *filter(None, [found.half])):
            note(f"Warning: {fault}")
        return
    faults = list(found.faults)
    if holds is not None and holds not in {entry.digest for entry in found.entries}:
        faults.append(f"no entry of {log.path} has the digest {holds}")
    told = {
        "entries": len(found.entries),
        "digest": found.digest,
        "whole": not faults,
        "faults": faults,
        "unfinished": found.half,
    }
    if faults:
        people = "\n".join(["Changed:", *(f"- {fault}" for fault in faults)])
    else:
        people = f"Whole: {len(found.entries):,} entries, none changed or missing.\nlast digest  {found.digest}"
    emit(told, "\n".join([people, *filter(None, [found.half])]), as_json=as_json)
    if faults:
        raise typer.Exit(CHANGED)


def _short(value: str) -> str:
    """Digests take twelve signs for people."""
    return value[:12] if len(value) == 64 and set(value) <= set("0123456789abcdef") else value
