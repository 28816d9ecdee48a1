"""`muc audit`: a verdict on whether an encoder forgot, with its error rate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from muc_core.cli.audit_vectors import audit_file, refuse_other_options, vectors_of
from muc_core.cli.decoys import decoys_for
from muc_core.cli.garbage import no_garbage
from muc_core.cli.keys import signing_key
from muc_core.cli.matrices import DataOfSets, Mode, named_data
from muc_core.cli.output import JsonFlag, console, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.audit.result import AuditResult
    from muc_core.data.dataset import ImageTextDataset
    from muc_core.data.splits import DataSplit

EXIT_CODES = {"forgotten": 0, "under-forgotten": 10, "over-forgotten": 11, "cannot tell": 12}
QUICK_VIEWS, QUICK_PERMUTATIONS = 2, 999


def audit(
    context: typer.Context,
    after: Annotated[
        str | None, typer.Option(help="Encoder after unlearning.", metavar="NAME", show_default=False)
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            help="The owner's pictures: a set such as owner:artist or ids:FILE (see `muc demo`), or a path to a folder "
            "or zip.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            help="Encoder before unlearning; without it, whether there was anything to forget is not asked.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    controls: Annotated[
        str,
        typer.Option(
            help="Pictures like the owner's that were never trained on; transformed: as a last resort, other people's "
            'pictures strongly changed, on which the verdict is always "cannot tell".',
            metavar="SET|PATH|transformed",
        ),
    ] = "held-out",
    match: Annotated[
        int | None,
        typer.Option(
            min=20,
            help="Take so many of the controls, those that look most like the owner's pictures; otherwise all.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    retain: Annotated[
        str | None,
        typer.Option(
            help="Pictures that were trained on and not to be forgotten, to see what became of them; otherwise "
            "some drawn from those, where they are known.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            help="Captions of the pictures that are given as a path: a .csv, .tsv or .jsonl with file and caption.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
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
        bool,
        typer.Option(
            "--quick", help='A first look: two views, 999 permutations, no probes; its verdict is never "forgotten".'
        ),
    ] = False,
    data: DataOfSets = None,
    decoys: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="For encoders behind a URL: so many pictures of others are asked about with each of the owner's, in "
            "shuffled order, so that the service is not told which are meant. Each costs as much as a picture; the "
            "result stays the same.",
        ),
    ] = 0,
    decoys_from: Annotated[
        str,
        typer.Option(
            help="What decoys are drawn from; best what the owner's pictures cannot be told from.", metavar="SET|PATH"
        ),
    ] = "retain",
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="In place of pictures and encoders: a file of vectors of both, as --write-embeddings writes it. What "
            'could not be checked without them keeps the verdict from being "forgotten".',
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    write_embeddings: Annotated[
        Path | None,
        typer.Option(
            help="File to write the vectors to that the audit compares, with the items' ids and no picture.",
            metavar="FILE.safetensors",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write all numbers to, as JSON.", show_default=False)] = None,
    junit: Annotated[
        Path | None, typer.Option(help="File to write for a build server, as JUnit XML.", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="File to write for people.", show_default=False)] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            help="File to write signed evidence to, which `muc verify` checks; pictures stay out of it.",
            metavar="FILE.muc.zip",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Private key to sign it with; otherwise the one that `muc keys new` made.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Audit whether an encoder forgot pictures, against controls that it never saw.

    Ends with the exit code 0 when no trace was found at the stated detectability, 10 when the pictures are
    under-forgotten, 11 when they are over-forgotten, 12 when it cannot tell, 2 for a wrong option or input.

    Example: `muc audit --before demo-clip --after demo-clip-ac --forget owner:artist --controls held-out`
    """
    files = [file for file in (out, junit, html, evidence, write_embeddings) if file is not None]
    for file in files:
        if not file.resolve().parent.is_dir():
            raise MucError(f"there is no folder {file.resolve().parent}; make it first or write elsewhere")
    if embeddings is not None:
        refuse_other_options(context)
        with no_garbage():
            from muc_core.audit.audit import AuditSettings
        result = audit_file(embeddings, AuditSettings(permutations=permutations, seed=seed))
        title = f"Was it forgotten, by the vectors in {embeddings.name}?"
        _tell(result, title, out=out, junit=junit, html=html, files=files, as_json=as_json)
    if after is None or forget is None:
        raise MucError(
            f"{'--after' if after is None else '--forget'} is missing; name the encoder after and the pictures to "
            "audit, or a file of vectors with --embeddings"
        )
    if quick and retain is not None:
        raise MucError("--quick looks at no retained pictures; leave out --retain or --quick")
    if retain is not None and before is None:
        raise MucError("--retain asks what became of pictures since the encoder before; name it with --before")
    if key is not None and evidence is None:
        raise MucError("--key signs evidence; name its file with --evidence, or leave out --key")
    signer = signing_key(key) if evidence is not None else None

    with no_garbage():
        from muc_core.audit.audit import AuditSettings
        from muc_core.auditing import Audited, audit_encoders
        from muc_core.data.captions import with_captions
        from muc_core.data.controls import find_controls
        from muc_core.data.sets import is_named_set, resolve_items
        from muc_core.evidence.manifest import EncoderIdentity, Role, check_size
        from muc_core.jobs.fair_controls import refuse_fitted_controls
        from muc_core.workspace import Workspace
        from muc_core.workspace.evidence import write_pack
        from muc_core.workspace.files import write_file

    workspace = Workspace()
    names: dict[Role, str | None] = {"before": before, "after": after, "retrained": retrained}
    records = workspace.encoder(before or after), workspace.encoder(after)
    dataset, split = named_data(records, data)
    owner = resolve_items(forget, dataset=dataset, split=split)
    chosen = find_controls(controls, owner, dataset=dataset, split=split, match=match, seed=seed)
    compared = chosen.dataset
    refuse_fitted_controls(compared, dataset, split, [record.manifest for record in records])
    if captions is not None:
        if is_named_set(forget):
            raise MucError(f"--captions are for pictures given as a path; those of {forget!r} have theirs")
        owner = with_captions(owner, captions)
        if not all(compared.texts):
            compared = with_captions(compared, captions)
    settings = AuditSettings(permutations=QUICK_PERMUTATIONS if quick else permutations, seed=seed)
    if evidence is not None:
        check_size(len(owner), len(compared), settings)
    others = None if quick else _retained(retain, owner, dataset, split, seed)
    workspace.note_audit(before=before, after=after, owner=owner.digest(), controls=compared.digest())
    computed_from: list[Audited] = []
    asked = {role: workspace.load(name) for role, name in names.items() if name is not None}
    hidden_among = decoys_for(
        list(asked.values()),
        owner,
        compared,
        count=decoys,
        source=decoys_from,
        dataset=dataset,
        split=split,
        views=QUICK_VIEWS if quick else views,
        seed=seed,
    )
    with Bar(quiet=as_json) as progress:
        result = audit_encoders(
            asked["after"],
            owner,
            compared,
            before=asked.get("before"),
            retrained=asked.get("retrained"),
            retained=others,
            mode=mode.value,
            views=QUICK_VIEWS if quick else views,
            probes=not quick,
            decoys=hidden_among,
            settings=settings,
            warnings=chosen.warnings,
            keep=computed_from.append,
            progress=progress,
        )
    title = f"Did {after} forget {forget}?"
    (audited,) = computed_from
    if write_embeddings is not None:
        vectors = vectors_of(audited, names, views=result.views, seed=settings.seed)
        write_file(write_embeddings, vectors)
    if evidence is not None and signer is not None:
        # imported here because the report brings matplotlib and a typesetter, which few audits ask for
        from muc_core.evidence.pack import sign, take_down
        from muc_core.reports.evidence import write_reports

        known = {role: workspace.encoder(name).manifest for role, name in names.items() if name is not None}
        who = {role: EncoderIdentity.of(manifest) for role, manifest in known.items()}
        draft = take_down(
            audited.inputs, result, title=title, owner=audited.owner, controls=audited.controls, encoders=who
        )
        write_pack(workspace, evidence, sign(draft, signer, write_reports))
    _tell(result, title, out=out, junit=junit, html=html, files=files, as_json=as_json)


def _tell(
    result: "AuditResult",
    title: str,
    *,
    out: Path | None,
    junit: Path | None,
    html: Path | None,
    files: list[Path],
    as_json: bool,
) -> NoReturn:
    """Write and print a result, and end with its exit code."""
    from muc_core.reports import to_html, to_junit
    from muc_core.workspace.files import write_file

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


def _retained(
    spec: str | None, owner: "ImageTextDataset", dataset: "ImageTextDataset", split: "DataSplit | None", seed: int
) -> "ImageTextDataset | None":
    """The pictures to look at for collateral: those asked for, or some that were trained on; None: none are known."""
    from muc_core.auditing import some_retained
    from muc_core.data.sets import resolve_items

    if spec is not None:
        return resolve_items(spec, dataset=dataset, split=split)
    return None if split is None else some_retained(dataset, split, owner, seed=seed)


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
    columns = {"question": "left", "effect": "right", "95 % interval": "right", "p": "right"}
    tests = table(columns, rows, title=escape(title))
    meaning, *sentences = result.explain()
    passed = sum(check.passed is True for check in result.checks)
    return Group(
        tests,
        "Effects are in units of the controls' spread.",
        "",
        meaning,
        *(f"- {escape(sentence)}" for sentence in sentences),
        f"- {passed} of {len(result.checks)} checks of controls and answers passed.",
        *_harm(result),
        *(f"Written: {file}" for file in files),
    )


def _harm(result: "AuditResult") -> list[RenderableType]:
    """The most harmed of what nobody asked to forget."""
    if result.collateral is None:
        return []
    found = result.collateral
    kinds = {"pictures": found.items, "classes": found.classes, "texts": found.texts}
    rows = [
        (
            kind if place == 0 else "",
            change.name,
            change.group,
            f"{change.before:.2f}",
            f"{change.after:.2f}",
            f"{change.lost:.2f}",
            "–" if change.interval is None else f"{change.interval.low:.2f} to {change.interval.high:.2f}",
        )
        for kind, changes in kinds.items()
        for place, change in enumerate(changes)
    ]
    columns = {
        "kind": "left",
        "most harmed": "left",
        "among": "left",
        "before": "right",
        "after": "right",
        "lost": "right",
        "interval": "right",
    }
    return ["", table(columns, rows, title="What others lost (margin, in similarity)")]
