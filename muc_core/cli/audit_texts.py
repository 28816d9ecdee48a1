"""`muc audit-texts`: what the text tower gives away of captions, when no picture is shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from muc_core.cli.garbage import no_garbage
from muc_core.cli.matrices import DataOfSets, named_data
from muc_core.cli.output import JsonFlag, console, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.audit.texts import TextAudit
    from muc_core.data.dataset import ImageTextDataset
    from muc_core.data.splits import DataSplit
    from muc_core.workspace import EncoderRecord

NO_VERDICT = 12
"""As `muc audit` ends when it cannot tell."""


def audit_texts(
    after: Annotated[str, typer.Option(help="Encoder after unlearning.", metavar="NAME", show_default=False)],
    captions: Annotated[
        str,
        typer.Option(
            help="The owner's captions: a UTF-8 text file with one a line, or a set whose captions are taken.",
            metavar="FILE|SET",
            show_default=False,
        ),
    ],
    before: Annotated[
        str | None,
        typer.Option(
            help="Encoder before unlearning; without it, whether the captions moved is not asked.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    controls: Annotated[
        str, typer.Option(help="Captions like the owner's that nobody trained on.", metavar="FILE|SET")
    ] = "held-out",
    pool: Annotated[
        str,
        typer.Option(help="Public pictures that the encoders are shown in place of the owner's.", metavar="SET|PATH"),
    ] = "calibration",
    permutations: Annotated[int, typer.Option(min=99, max=100_000, help="Most permutations of a test.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the permutations.")] = 0,
    data: DataOfSets = None,
    out: Annotated[Path | None, typer.Option(help="File to write all numbers to, as JSON.", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """See what an image-text encoder's text tower gives away of captions, when no picture is shown.

    It compares captions with captions that nobody trained on, and says what it saw. There is no verdict: nothing about
    captions tells whether pictures were forgotten, so it always ends with the exit code 12, or 2 for a wrong option.

    Example: `muc audit-texts --before demo-clip --after demo-clip-ac --captions owner:artist`
    """
    with no_garbage():
        from muc_core.audit.audit import AuditSettings
        from muc_core.data.sets import is_named_set, resolve_items
        from muc_core.text_auditing import audit_captions
        from muc_core.workspace import Workspace
        from muc_core.workspace.files import write_file

    workspace = Workspace()
    records = workspace.encoder(before or after), workspace.encoder(after)
    dataset, split = named_data(records, data)
    if is_named_set(controls):
        _refuse_known(resolve_items(controls, dataset=dataset, split=split), dataset, split, records)
    with Bar(quiet=as_json) as progress:
        found = audit_captions(
            workspace.load(after),
            _captions(captions, dataset, split),
            _captions(controls, dataset, split),
            resolve_items(pool, dataset=dataset, split=split),
            before=workspace.load(before) if before else None,
            settings=AuditSettings(permutations=permutations, seed=seed),
            progress=progress,
        )
    if out is not None:
        write_file(out, (found.model_dump_json(indent=1) + "\n").encode())
    if as_json:
        print(found.model_dump_json())
    else:
        console().print(_for_people(found))
    raise typer.Exit(NO_VERDICT)


def _refuse_known(
    controls: "ImageTextDataset",
    dataset: "ImageTextDataset",
    split: "DataSplit | None",
    encoders: "Sequence[EncoderRecord]",
) -> None:
    """Raises `MucError` for controls that were trained on, or that an encoder was fitted to."""
    from muc_core.jobs.fair_controls import refuse_fitted_controls

    known = set() if split is None else set(split.train)
    if trained := [item_id for item_id in controls.ids if item_id in known]:
        raise MucError(
            f"{len(trained):,} of the captions of {controls.name!r} were trained on, such as that of {trained[0]!r}; "
            "controls must not have been: choose others, such as held-out"
        )
    refuse_fitted_controls(controls, dataset, split, [record.manifest for record in encoders])


def _captions(spec: str, dataset: "ImageTextDataset", split: "DataSplit | None") -> tuple[str, ...]:
    from muc_core.data.sets import is_named_set, resolve_items
    from muc_core.text_auditing import read_captions

    if is_named_set(spec):
        return tuple(text for text in resolve_items(spec, dataset=dataset, split=split).texts if text)
    return read_captions(Path(spec))


def _for_people(found: "TextAudit") -> RenderableType:
    columns = {"question": "left", "effect": "right", "95 % interval": "right", "p": "right"}
    rows = [
        (
            finding.question,
            f"{finding.effect.value:.2f}",
            f"{finding.effect.low:.2f} to {finding.effect.high:.2f}",
            f"{finding.p:.4f}",
        )
        for finding in found.findings.values()
    ]
    headline, *sentences = found.explain()
    return Group(
        table(columns, rows, title=f"{found.n_captions:,} captions and {found.n_controls:,} controls; no verdict"),
        f"Effects are in units of the controls' spread; what is said to be seen has p < {found.alpha:g} / {len(rows)}.",
        "",
        headline,
        *(f"- {escape(sentence)}" for sentence in sentences),
    )
