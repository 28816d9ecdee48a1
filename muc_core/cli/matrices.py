"""`muc matrices`: alignment before, alignment after and the gap, as a figure or as data."""

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from muc_core.cli.output import JsonFlag, console, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.audit.alignment import Float64
    from muc_core.audit.gap import GapInference
    from muc_core.comparison import Comparison
    from muc_core.data.dataset import ImageTextDataset
    from muc_core.data.splits import DataSplit
    from muc_core.workspace import EncoderRecord

FORMATS = (".png", ".svg", ".json")


class Mode(StrEnum):
    AUTO = "auto"
    IMAGE_TEXT = "image-text"
    TWO_VIEW = "two-view"


class Order(StrEnum):
    GIVEN = "given"
    DIAGONAL = "diagonal"
    CLUSTER = "cluster"


DataOfSets = Annotated[
    str | None,
    typer.Option(
        help="Data that the names of sets refer to; otherwise those that the encoders were trained on.",
        metavar="demo|PATH",
        show_default=False,
    ),
]


def matrices(
    before: Annotated[str, typer.Option(help="Encoder before unlearning.", metavar="NAME", show_default=False)],
    after: Annotated[str, typer.Option(help="Encoder after unlearning.", metavar="NAME", show_default=False)],
    items: Annotated[
        str,
        typer.Option(
            help="Pictures to look at: a set such as owner:artist, category:animal-bird, held-out or ids:FILE "
            "(see `muc demo`), or a path to a picture, a folder or a zip.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ],
    controls: Annotated[
        str | None,
        typer.Option(
            help="Pictures that were never trained on, to compare with; held-out is the usual choice.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="image-text: pictures against captions; two-view: random views of a picture against each other; "
            "auto: captions where there are any and the encoders read text."
        ),
    ] = Mode.AUTO,
    order: Annotated[
        Order, typer.Option(help="Order of the rows and columns: as given, by alignment, or like beside like.")
    ] = Order.GIVEN,
    views: Annotated[int, typer.Option(min=2, help="Views of each picture (two-view mode and --inference).")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the views.")] = 0,
    inference: Annotated[
        bool,
        typer.Option(
            "--inference",
            help="Say which cells of the gap are more than the noise of views, with an interval for each, and test "
            "whether the diagonal lost more than the rest.",
        ),
    ] = False,
    data: DataOfSets = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write: .png or .svg for a figure, .json for all numbers.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare an encoder before and after unlearning, picture by picture.

    Prints what became of the alignment of the pictures with their own captions (or their own other views) and with
    those of others, and draws three matrices: alignment before, alignment after, and the gap between them (positive:
    alignment was lost).

    Example: `muc matrices --before demo-clip --after demo-clip-ac --items owner:artist --out gap.png`
    """
    if out is not None and out.suffix.lower() not in FORMATS:
        raise MucError(f"--out {out}: the name must end in {', '.join(FORMATS)}, not {out.suffix or 'nothing'!r}")
    if out is not None and not out.resolve().parent.is_dir():
        raise MucError(f"--out {out}: there is no folder {out.resolve().parent}; make it first or choose another")

    from muc_core.comparison import compare
    from muc_core.data.sets import resolve_items
    from muc_core.workspace import Workspace

    workspace = Workspace()
    encoders = workspace.encoder(before), workspace.encoder(after)
    dataset, split = named_data(encoders, data)
    shown = resolve_items(items, dataset=dataset, split=split)
    with Bar(quiet=as_json) as progress:
        comparison = compare(
            workspace.load(before),
            workspace.load(after),
            shown,
            controls=resolve_items(controls, dataset=dataset, split=split) if controls else None,
            mode=mode.value,
            views=views,
            seed=seed,
            order=order.value,
            progress=progress,
        )
        inferred = None
        if inference:
            from muc_core.auditing import infer_gap

            inferred = infer_gap(
                workspace.load(before),
                workspace.load(after),
                shown,
                with_text=comparison.mode == "image-text",
                views=views,
                seed=seed,
                progress=progress,
            )
    if out is not None:
        _write(comparison, inferred, out)
    if as_json:
        print(_as_json(comparison, inferred))
    else:
        console().print(_for_people(comparison, inferred, out))


def named_data(
    encoders: "tuple[EncoderRecord, EncoderRecord]", data: str | None
) -> "tuple[ImageTextDataset, DataSplit | None]":
    """The data that names of sets refer to, and their split where it is known.

    Raises:
        MucError: the training data are not where they were, or are other pictures now.
    """
    from muc_core.data.sets import load_dataset

    before, after = (record.manifest for record in encoders)
    # That of the encoder after comes first: its split says what it was asked to forget.
    reference = after.data or before.data
    try:
        dataset = load_dataset(data or (reference.spec if reference else "demo"))
    except MucError as error:
        raise MucError(f"the data that sets are named after: {error}; say with --data where they are") from error
    if reference is None:
        return dataset, None
    if dataset.digest() == reference.digest:
        return dataset, reference.split
    if data is None:
        raise MucError(
            f"the pictures in {reference.spec} are not those that {after.name} was trained on; "
            "bring those back, or name other data with --data"
        )
    return dataset, None


def _as_json(comparison: "Comparison", inferred: "GapInference | None") -> str:
    if inferred is None:
        return comparison.to_json()
    return json.dumps(json.loads(comparison.to_json()) | {"inference": inferred.as_dict()})


def _write(comparison: "Comparison", inferred: "GapInference | None", out: Path) -> None:
    if out.suffix.lower() == ".json":
        from muc_core.workspace.files import write_file

        write_file(out, (_as_json(comparison, inferred) + "\n").encode())
    else:
        from muc_core.figures import matrices_figure

        matrices_figure(comparison, out, inferred)


def _for_people(comparison: "Comparison", inferred: "GapInference | None", out: Path | None) -> RenderableType:
    own = "own caption" if comparison.mode == "image-text" else "own views"
    groups = [("items", len(comparison.ids), comparison.before.items, comparison.after.items)]
    if comparison.controls is not None:
        controls = comparison.controls
        groups.append(("controls", len(controls.ids), controls.before, controls.after))
    rows: list[tuple[str, str, str, str]] = []
    for name, count, first, second in groups:
        rows.append(_row(f"{name} ({count}): similarity to {own}", first.positive.mean(), second.positive.mean()))
        rows.append(_row("  more than to the others (margin)", first.margin.mean(), second.margin.mean()))
        rows.append(_row("  nearest of all", _share_first(first.rank), _share_first(second.rank), percent=True))
    title = f"{comparison.before_encoder.name} (before) and {comparison.after_encoder.name} (after)"
    columns = {"means": "left", "before": "right", "after": "right", "gap": "right"}
    written = () if out is None else ("", f"Written: {out}")
    notes = (f"Note: {warning}" for warning in comparison.warnings)
    said = () if inferred is None else (inferred.meaning,)
    return Group(table(columns, rows, title=title), "", comparison.finding, *said, *notes, *written)


def _share_first(rank: "Float64") -> float:
    """Share of items whose own partner is the most similar of all; NaN where there is nothing to compare with."""
    return float("nan") if any(map(math.isnan, rank)) else float((rank == 1).mean())


def _row(name: str, before: float, after: float, *, percent: bool = False) -> tuple[str, str, str, str]:
    def cell(value: float) -> str:
        if math.isnan(value):
            return "–"
        # Adding 0 turns a rounded -0.0 into 0.0.
        return f"{round(value, 2) + 0.0:{'.0%' if percent else '.2f'}}"

    return name, cell(before), cell(after), cell(before - after)
