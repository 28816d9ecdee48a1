"""`muc watch`: the same audit on a schedule, with one rate of false alarms over all looks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from muc_core.cli.matrices import Mode, named_data
from muc_core.cli.output import JsonFlag, console, emit, moment, note, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.jobs.watch.look import Subject
    from muc_core.jobs.watch.spec import Look
    from muc_core.jobs.watch.store import Watch
    from muc_core.workspace import Workspace

TRACE, CHANGED = 10, 30
_DEFAULTS: dict[str, Any] = {
    "before": None,
    "controls": "held-out",
    "match": None,
    "data": None,
    "mode": "auto",
    "views": 8,
    "looks": 30,
    "alpha": 0.05,
    "spending": "pocock",
    "seed": 0,
    "probes": True,
}


def watch(
    name: Annotated[
        str | None, typer.Argument(help="Name of the watch; without it, all are listed.", show_default=False)
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Encoder to watch, also one behind a URL.", metavar="NAME", show_default=False)
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(help="The owner's pictures, as `muc audit` takes them.", metavar="SET|PATH", show_default=False),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Encoder before unlearning.", metavar="NAME", show_default=False)
    ] = None,
    controls: Annotated[
        str | None,
        typer.Option(
            help="Pictures like the owner's that were never trained on; otherwise held-out.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ] = None,
    match: Annotated[
        int | None,
        typer.Option(min=20, help="Take so many of the controls, those most like the pictures.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Data that the names of sets refer to.", metavar="demo|PATH", show_default=False),
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="As of `muc audit`; otherwise auto.", show_default=False)] = None,
    views: Annotated[
        int | None, typer.Option(min=2, help="Random views of each picture; otherwise 8.", show_default=False)
    ] = None,
    looks: Annotated[
        int | None, typer.Option(min=1, help="How many looks there will be at most; otherwise 30.", show_default=False)
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Chance of any false alarm of a trace over all looks; otherwise 0.05.", show_default=False),
    ] = None,
    spending: Annotated[
        Literal["pocock", "obrien-fleming"] | None,
        typer.Option(help="How alpha is spread over the looks; otherwise pocock.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Look k has the views of seed + k; otherwise 0.", show_default=False)
    ] = None,
    probes: Annotated[
        bool | None,
        typer.Option(
            "--probes/--no-probes",
            help='Whether changed copies are asked, too; without them the verdict is never "forgotten".',
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="Look again and again, so often: 30m, 12h, 1d.", metavar="TIME", show_default=False),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Make the next look now and end, for cron and CI.")] = False,
    webhook: Annotated[
        str | None,
        typer.Option(help="Address to post an alert's line of JSON to; nothing is sent otherwise.", show_default=False),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="File to write the last look to, as JUnit XML.", show_default=False)
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the watch with its looks.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Audit an encoder again on a schedule, and alert when a trace returns or the model changes.

    The first call registers the watch with --after and --forget; later ones go on where it stopped. Ends with the exit
    code 10 when a trace stands out, which ends the watch, 30 when only the model changed, 0 when neither, 2 for a wrong
    option, or when all looks were made.

    Example: `muc watch artist --before demo-clip --after demo-clip-ac --forget owner:artist --once`
    """
    from muc_core.jobs.watch import store
    from muc_core.workspace import Workspace

    workspace = Workspace()
    if name is None:
        _list(workspace, as_json=as_json)
        return
    if delete:
        store.delete(workspace, name)
        emit({"deleted": name}, f"Deleted the watch {name}.", as_json=as_json)
        return
    if once == (every is not None):
        raise MucError("say how often to look: --once for one look now, or --every TIME such as 1d, one of the two")
    from muc_core.jobs.watch.schedule import seconds
    from muc_core.jobs.watch.tell import check_webhook

    interval = None if every is None else seconds(every)
    if webhook is not None:
        check_webhook(webhook)
    if junit is not None and not junit.resolve().parent.is_dir():
        raise MucError(f"there is no folder {junit.resolve().parent}; make it first or write elsewhere")
    asked = {
        "after": after,
        "forget": forget,
        "before": before,
        "controls": controls,
        "match": match,
        "data": data,
        "mode": None if mode is None else mode.value,
        "views": views,
        "looks": looks,
        "alpha": alpha,
        "spending": spending,
        "seed": seed,
        "probes": probes,
    }
    watched = _registered(workspace, name, {key: value for key, value in asked.items() if value is not None})
    with store.alone(watched):
        watched = store.read(workspace, name)  # as it is now that nobody else writes
        found = _go_on(workspace, watched, interval, webhook=webhook, junit=junit, as_json=as_json)
    raise typer.Exit(TRACE if "trace" in found else CHANGED if "model" in found else 0)


def _registered(workspace: "Workspace", name: str, asked: dict[str, Any]) -> "Watch":
    """The watch of that name, registered if it is new. Raises `MucError` when it is there and asks something else."""
    from pydantic import ValidationError

    from muc_core.encoders.manifest import explain
    from muc_core.jobs.watch import store
    from muc_core.jobs.watch.spec import WatchSpec

    asked = {key: _absolute(value) if key in ("forget", "controls", "data") else value for key, value in asked.items()}
    if name in store.names(workspace):
        known = store.read(workspace, name)
        for key, value in asked.items():
            if (kept := getattr(known.spec, key)) != value:
                raise MucError(
                    f"the watch {name!r} is registered with --{key} {kept}, not {value}; what it asks never changes: "
                    "register another one"
                )
        return known
    for key in ("after", "forget"):
        if key not in asked:
            raise MucError(f"there is no watch {name!r} yet; to register it, name --{key}")
    try:
        draft = WatchSpec(name=name, owner_digest="", controls_digest="", **_DEFAULTS | asked)
    except ValidationError as error:
        raise MucError(f"the watch cannot be registered: {explain(error)}") from error
    subject = _subject(workspace, draft)
    digests = {"owner_digest": subject.owner.digest(), "controls_digest": subject.controls.digest()}
    return store.register(workspace, draft.model_copy(update=digests))


def _absolute(spec: str) -> str:
    """The same set or path, written so that it means the same in another folder."""
    from muc_core.data.sets import absolute_spec, is_named_set

    if spec.startswith("ids:"):
        return f"ids:{Path(spec.removeprefix('ids:')).absolute()}"
    return spec if is_named_set(spec) else absolute_spec(spec)


def _subject(workspace: "Workspace", spec: Any) -> "Subject":
    from muc_core.data.controls import TRANSFORMED_SPEC, find_controls
    from muc_core.data.sets import resolve_items
    from muc_core.jobs.fair_controls import refuse_fitted_controls
    from muc_core.jobs.watch.look import Subject

    if spec.controls == TRANSFORMED_SPEC:
        raise MucError("controls of the last resort give no verdict, so that there is nothing to watch; name others")
    names = [name for name in (spec.before, spec.after) if name is not None]
    records = [workspace.encoder(name) for name in names]
    dataset, split = named_data((records[0], records[-1]), spec.data)
    owner = resolve_items(spec.forget, dataset=dataset, split=split)
    chosen = find_controls(spec.controls, owner, dataset=dataset, split=split, match=spec.match, seed=spec.seed)
    refuse_fitted_controls(chosen.dataset, dataset, split, [record.manifest for record in records])
    return Subject(
        before=workspace.load(spec.before) if spec.before else None,
        after=workspace.load(spec.after),
        owner=owner,
        controls=chosen.dataset,
        encoders={record.manifest.name: record.manifest.content_digest for record in records},
        warnings=chosen.warnings,
    )


def _go_on(
    workspace: "Workspace",
    watched: "Watch",
    interval: float | None,
    *,
    webhook: str | None,
    junit: Path | None,
    as_json: bool,
) -> set[str]:
    """Make the looks that are due; returns all alerts."""
    from muc_core.jobs.watch import store, tell
    from muc_core.jobs.watch.look import make_look

    found: set[str] = set()
    if watched.next_number is None:
        return _ended(watched, junit, as_json=as_json)
    for _ in _due(watched, interval):
        with Bar(quiet=as_json) as progress:
            spec, subject = watched.spec, _subject(workspace, watched.spec)
            workspace.note_audit(
                before=spec.before, after=spec.after, owner=spec.owner_digest, controls=spec.controls_digest
            )
            look, canaries = make_look(watched, subject, progress)
        watched = store.keep(watched, look, canaries)
        found |= set(look.alerts)
        _say(watched, look, junit, as_json=as_json)
        if look.alerts and webhook is not None and (fault := tell.post(webhook, tell.line(watched.spec, look))):
            note(f"Warning: {fault}")
        if watched.next_number is None:
            break
    return found


def _due(watched: "Watch", interval: float | None) -> Iterable[None]:
    from datetime import UTC, datetime

    from muc_core.jobs.watch.schedule import first_wait, turns

    if interval is None:
        return (None,)
    last = watched.looks[-1] if watched.looks else None
    return turns(first_wait(last, interval, datetime.now(UTC)), interval)


def _ended(watched: "Watch", junit: Path | None, *, as_json: bool) -> set[str]:
    """What is told of a watch that makes no more looks. Raises `MucError` unless a trace ended it."""
    if not watched.found_a_trace:
        raise MucError(
            f"all {watched.spec.looks} looks of the watch {watched.spec.name!r} were made; register another one"
        )
    _say(watched, watched.looks[-1], junit, as_json=as_json)
    return {"trace"}


def _say(watched: "Watch", look: "Look", junit: Path | None, *, as_json: bool) -> None:
    from muc_core.jobs.watch import tell
    from muc_core.workspace.files import write_file

    if as_json:
        print(tell.line(watched.spec, look), flush=True)
    else:
        mark = "ALERT " if look.alerts else ""
        console().print(f"{moment(look.moment)}  {mark}{look.sentence}", markup=False)
    if junit is not None:
        write_file(junit, tell.junit(watched.spec, look).encode())


def _list(workspace: "Workspace", *, as_json: bool) -> None:
    from muc_core.jobs.watch import store

    found = [store.read(workspace, name) for name in store.names(workspace)]
    emit(
        [{**one.spec.model_dump(mode="json"), "made": len(one.looks), "state": _state(one)} for one in found],
        table(
            {"watch": "left", "encoder": "left", "pictures": "left", "looks": "right", "state": "left"},
            _rows(found),
        ),
        as_json=as_json,
    )


def _rows(found: Iterable["Watch"]) -> Iterator[tuple[object, ...]]:
    for one in found:
        yield one.spec.name, one.spec.after, one.spec.forget, f"{len(one.looks)} of {one.spec.looks}", _state(one)


def _state(watched: "Watch") -> str:
    if watched.found_a_trace:
        return "a trace was found"
    return "all looks made" if watched.next_number is None else "goes on"
