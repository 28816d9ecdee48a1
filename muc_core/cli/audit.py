"""`muc audit`: a verdict on whether an encoder forgot, with its error rate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from muc_core.cli.matrices import Mode, named_data
from muc_core.cli.output import JsonFlag, console, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.audit.result import AuditResult

EXIT_CODES = {"forgotten": 0, "under-forgotten": 10, "over-forgotten": 11, "cannot tell": 12}
QUICK_VIEWS, QUICK_PERMUTATIONS = 2, 999


def audit(
    after: Annotated[str, typer.Option(help="Encoder after unlearning.", metavar="NAME", show_default=False)],
    forget: Annotated[
        str,
        typer.Option(
            help="The owner's pictures: a set such as owner:artist or ids:FILE (see `muc demo`), or a path to a folder "
            "or zip.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ],
    before: Annotated[
        str | None,
        typer.Option(
            help="Encoder before unlearning; without it, whether there was anything to forget is not asked.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    controls: Annotated[
        str, typer.Option(help="Pictures like the owner's that were never trained on.", metavar="SET|PATH")
    ] = "held-out",
    retrained: Annotated[
        str | None,
        typer.Option(help="Encoder retrained without the pictures, to put beside.", metavar="NAME", show_default=False),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="image-text: pictures against captions; two-view: views of a picture against each other; auto: "
            "captions where there are any and the encoders read text."
        ),
    ] = Mode.AUTO,
    views: Annotated[int, typer.Option(min=2, help="Random views of each picture.")] = 8,
    permutations: Annotated[int, typer.Option(min=99, help="Most permutations of a test.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of views and permutations.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: two views, 999 permutations, no probes.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data that the names of sets refer to; otherwise those that the encoders were trained on.",
            metavar="demo|PATH",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write all numbers to, as JSON.", show_default=False)] = None,
    junit: Annotated[
        Path | None, typer.Option(help="File to write for a build server, as JUnit XML.", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="File to write for people.", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Audit whether an encoder forgot pictures, against controls that it never saw.

    Ends with the exit code 0 when no trace was found at the stated detectability, 10 when the pictures are
    under-forgotten, 11 when they are over-forgotten, 12 when it cannot tell, 2 for a wrong option or input.

    Example: `muc audit --before demo-clip --after demo-clip-ac --forget owner:artist --controls held-out`
    """
    files = [file for file in (out, junit, html) if file is not None]
    for file in files:
        if not file.resolve().parent.is_dir():
            raise MucError(f"there is no folder {file.resolve().parent}; make it first or write elsewhere")

    from muc_core.audit.audit import AuditSettings
    from muc_core.auditing import audit_encoders
    from muc_core.data.sets import resolve_items
    from muc_core.reports import to_html, to_junit
    from muc_core.workspace import Workspace
    from muc_core.workspace.files import write_file

    workspace = Workspace()
    records = workspace.encoder(before or after), workspace.encoder(after)
    dataset, split = named_data(records, data)
    with Bar(quiet=as_json) as progress:
        result = audit_encoders(
            workspace.load(after),
            resolve_items(forget, dataset=dataset, split=split),
            resolve_items(controls, dataset=dataset, split=split),
            before=workspace.load(before) if before else None,
            retrained=workspace.load(retrained) if retrained else None,
            mode=mode.value,
            views=QUICK_VIEWS if quick else views,
            probes=not quick,
            settings=AuditSettings(permutations=QUICK_PERMUTATIONS if quick else permutations, seed=seed),
            progress=progress,
        )
    title = f"Did {after} forget {forget}?"
    for target, content in (
        (out, result.model_dump_json(indent=1) + "\n"),
        (junit, to_junit(result, title=title)),
        (html, to_html(result, title=title)),
    ):
        if target is not None:
            write_file(target, content.encode())
    if as_json:
        print(result.model_dump_json())
    else:
        console().print(_for_people(result, title, files))
    raise typer.Exit(EXIT_CODES[result.verdict])


def _for_people(result: "AuditResult", title: str, files: list[Path]) -> RenderableType:
    rows = [
        (
            finding.question,
            f"{finding.effect.value:.2f}",
            f"{finding.effect.low:.2f} to {finding.effect.high:.2f}",
            f"{finding.p:.4f}",
        )
        for finding in result.findings.values()
    ]
    tests = table({"question": "left", "effect": "right", "95 % interval": "right", "p": "right"}, rows, title=title)
    meaning, *sentences = result.explain()
    passed = sum(check.passed is True for check in result.checks)
    return Group(
        tests,
        "Effects are in units of the controls' spread.",
        "",
        meaning,
        *(f"- {sentence}" for sentence in sentences),
        f"- {passed} of {len(result.checks)} checks of controls and answers passed.",
        *(f"Written: {file}" for file in files),
    )
